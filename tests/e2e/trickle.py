"""A relay that hands every byte to the pooler by itself, in place of a PostgreSQL server.

What the pooler sends to the server passes unchanged; what the server answers arrives in the
smallest pieces there are, each read by the pooler before the next is sent.
"""

import contextlib
import socket
import threading

from waiting import DEADLINE
from wire import Wire


class Trickle:
    """Listens on a unix socket in `folder`; leads to the cluster's unix socket."""

    PORT = 5432  # part of the socket's file name only

    def __init__(self, folder, cluster):
        self.folder = folder
        self.target = cluster.folder.parent / f".s.PGSQL.{cluster.port}"
        self.listener = socket.socket(socket.AF_UNIX)
        path = folder / f".s.PGSQL.{self.PORT}"
        self.listener.bind(str(path))
        path.chmod(0o777)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                near.settimeout(DEADLINE)
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self.target))
                for relay in (self._whole, self._bytewise):
                    threading.Thread(target=relay, args=(near, far), daemon=True).start()

    @staticmethod
    def _whole(near, far):
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        _end(far)

    @staticmethod
    def _bytewise(near, far):
        wire = Wire.over(near)
        with contextlib.suppress(Exception):
            while data := far.recv(65536):
                wire.send_split(data)
        _end(near)

    def close(self):
        self.listener.close()


def _end(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
