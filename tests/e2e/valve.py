"""A relay in front of PostgreSQL that can keep back what the server says.

It stands between pooler and server, passes everything on, and can be shut: from the next
ReadyForQuery on the server is not heard until it is opened again. It counts the cancel requests that
come by."""

import contextlib
import socket
import struct
import threading

from waiting import DEADLINE

CANCEL_CODE = 80877102


class Valve:
    """Listens on 127.0.0.1:`port`; leads to the cluster's port."""

    def __init__(self, cluster):
        self.target = (cluster.host, cluster.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cancels = 0
        self.is_shut = False
        self.holds = threading.Event()  # something is being kept back
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self):
        """Keep back what comes behind the next ReadyForQuery of any connection."""
        self._open.clear()
        self.holds.clear()
        self.is_shut = True

    def open(self):
        self.is_shut = False
        self._open.set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
                threading.Thread(target=self._to_server, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_pooler, args=(far, near), daemon=True).start()

    def _to_server(self, near, far):
        with contextlib.suppress(OSError):
            first = True
            while data := near.recv(65536):
                if first and len(data) >= 8 and struct.unpack("!i", data[4:8])[0] == CANCEL_CODE:
                    self.cancels += 1
                first = False
                far.sendall(data)
        _end(far)

    def _to_pooler(self, far, near):
        text = b""
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                text += data
                while len(text) >= 5 and len(text) >= (size := 1 + struct.unpack("!i", text[1:5])[0]):
                    holds = text[:1] == b"Z" and self.is_shut  # who hears it may shut() at once
                    near.sendall(text[:size])
                    text = text[size:]
                    if holds:
                        self.holds.set()
                        self._open.wait(DEADLINE)
        _end(near)

    def close(self):
        self.open()
        self.listener.close()


def _end(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
