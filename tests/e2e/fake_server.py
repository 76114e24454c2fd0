"""A server that is not PostgreSQL: it accepts, and answers with whatever the test says."""

import contextlib
import socket
import threading

from machine import free_port


class FakeServer:
    """Sends `greeting` to each connection once it has sent something; then stays silent, or
    closes when `hang_up`. With both empty it is a server that accepts and never answers."""

    def __init__(self, greeting=b"", hang_up=False):
        self.greeting = greeting
        self.hang_up = hang_up
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.connections = []
        self.greeted = []  # those that have got the greeting
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listener.accept()
                self.connections.append(conn)
                threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with contextlib.suppress(OSError):
            if conn.recv(10000):
                conn.sendall(self.greeting)
                self.greeted.append(conn)
            if self.hang_up:
                conn.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
        for conn in self.connections:
            conn.close()
