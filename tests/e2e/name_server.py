"""A name server on a loopback port that knows what a test tells it, and a resolv.conf that names it."""

import contextlib
import itertools
import socket
import struct
import threading

TYPE_A = 1
ANSWER, NO_SUCH_NAME, FAILED = 0x8180, 0x8183, 0x8182

_numbers = itertools.count(1)


class NameServer:
    """`names`: name -> list of IPv4 addresses; one that is not there does not exist, and None is a
    name server's failure. `questions` holds the names that were asked for, once per A question."""

    def __init__(self, folder, ttl=60, **names):
        self.names = {name.replace("_", "."): addrs for name, addrs in names.items()}
        self.ttl = ttl
        self.questions = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.conf = folder / f"resolv{next(_numbers)}.conf"
        port = self.sock.getsockname()[1]
        self.conf.write_text(f"nameserver [127.0.0.1]:{port}\noptions timeout:1 attempts:2\n")
        threading.Thread(target=self._serve, daemon=True).start()

    def asked(self, name):
        """How often this name was asked for."""
        return self.questions.count(name)

    def close(self):
        # A thread in recvfrom() keeps the socket: it is woken up first.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                packet, client = self.sock.recvfrom(1024)
                if not packet:
                    return
                self.sock.sendto(self._answer(packet), client)

    def _answer(self, packet):
        """RFC 1035 4.1: header, the question as it came, addresses that point back to its name."""
        labels, at = [], 12
        while size := packet[at]:
            labels.append(packet[at + 1 : at + 1 + size].decode())
            at += 1 + size
        name = ".".join(labels).lower()
        question = packet[12 : at + 5]
        (kind,) = struct.unpack("!H", packet[at + 1 : at + 3])
        if kind == TYPE_A:
            self.questions.append(name)
        code, records = NO_SUCH_NAME, b""
        if name in self.names:
            addrs = self.names[name]
            code = FAILED if addrs is None else ANSWER
            for addr in addrs or () if kind == TYPE_A else ():
                records += struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, self.ttl, 4)
                records += socket.inet_aton(addr)
        header = packet[:2] + struct.pack("!HHHHH", code, 1, len(records) // 16, 0, 0)
        return header + question + records
