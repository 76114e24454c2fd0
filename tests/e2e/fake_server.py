"""A server that is not PostgreSQL: it accepts, and answers with whatever the test says."""

import contextlib
import socket
import threading

from machine import free_port
from wire import SSL_REQUEST


class FakeServer:
    """Sends `greeting` to each connection once it has sent something; then stays silent, or
    closes when `hang_up`. With both empty it is a server that accepts and never answers. It has no
    TLS, and says so to those who ask, unless `tls_answer` says something else."""

    def __init__(self, greeting=b"", hang_up=False, tls_answer=b"N"):
        self.greeting = greeting
        self.hang_up = hang_up
        self.tls_answer = tls_answer
        self.heard = []  # the first packet of each connection
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
            first = conn.recv(10000)
            self.heard.append(first)
            if first == SSL_REQUEST and (self.greeting or self.hang_up):
                conn.sendall(self.tls_answer)
                first = conn.recv(10000)
            if first:
                conn.sendall(self.greeting)
                self.greeted.append(conn)
            if self.hang_up:
                conn.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
        for conn in self.connections:
            conn.close()
