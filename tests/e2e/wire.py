"""A PostgreSQL client that works at the level of the wire (protocol 3).

libpq is too well-behaved to test a pooler: it never splits a header, never sends a Bind without a
Sync, never lies about a length. This module builds and reads single messages, logs in by trust or
SCRAM-SHA-256 (RFC 5802, 7677), and can hand a socket its bytes one at a time.

Message types are one-letter strings, bodies are bytes, both without the length word.
"""

import array
import base64
import fcntl
import hashlib
import hmac
import os
import select
import socket
import struct
import termios
from typing import NamedTuple

from waiting import DEADLINE, wait_until

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = (3 << 16) | 2
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


class Message(NamedTuple):
    """One message from the server."""

    type: str
    body: bytes


class Closed(Exception):
    """The other side closed the connection (or reset it)."""


# ---- building messages ---------------------------------------------------------------------


def message(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def cstring(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def startup(params, version=PROTOCOL_3_0):
    body = struct.pack("!I", version)
    for key, value in params.items():
        body += cstring(key) + cstring(value)
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(pid, secret):
    return struct.pack("!III", 12 + len(secret), 80877102, pid) + secret


def query(sql):
    return message("Q", cstring(sql))


def parse(sql, name="", types=()):
    body = cstring(name) + cstring(sql) + struct.pack("!H", len(types))
    return message("P", body + b"".join(struct.pack("!I", oid) for oid in types))


def bind(values=(), statement="", portal=""):
    """Text parameters, text results; None is NULL."""
    body = cstring(portal) + cstring(statement) + struct.pack("!HH", 0, len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            raw = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(raw)) + raw
    return message("B", body + struct.pack("!H", 0))


def describe(kind, name=""):
    return message("D", kind.encode() + cstring(name))


def close(kind, name=""):
    return message("C", kind.encode() + cstring(name))


def execute(portal="", max_rows=0):
    return message("E", cstring(portal) + struct.pack("!I", max_rows))


def function_call(oid, *args):
    """Call a function by its OID, arguments and result as text."""
    body = struct.pack("!IHH", oid, 0, len(args))
    for arg in args:
        raw = str(arg).encode()
        body += struct.pack("!i", len(raw)) + raw
    return message("F", body + struct.pack("!H", 0))


def copy_data(data):
    return message("d", data)


def copy_fail(reason):
    return message("f", cstring(reason))


SYNC = message("S")
FLUSH = message("H")
COPY_DONE = message("c")
TERMINATE = message("X")


def extended(sql, *values):
    """One whole extended-protocol query on the unnamed statement and portal."""
    return parse(sql) + bind(values) + describe("P") + execute() + SYNC


# ---- reading messages ----------------------------------------------------------------------


def fields(body):
    """The fields of an ErrorResponse or NoticeResponse, by their letter."""
    parts = body.split(b"\0")
    return {part[:1].decode(): part[1:].decode() for part in parts if part}


def row(body):
    """The column values of a DataRow: text, or None for NULL."""
    (count,) = struct.unpack_from("!H", body)
    values, at = [], 2
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(body[at : at + size].decode())
            at += size
    return values


def column_names(body):
    """The column names of a RowDescription."""
    (count,) = struct.unpack_from("!H", body)
    names, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 1 + 18
    return names


def rows(messages):
    """The values of all DataRows among these messages."""
    return [row(m.body) for m in messages if m.type == "D"]


def kinds(messages):
    """The message types as one string, which reads well in a failed comparison."""
    return "".join(m.type for m in messages)


def errors(messages):
    """The fields of each ErrorResponse among these messages."""
    return [fields(m.body) for m in messages if m.type == "E"]


def error(messages):
    """The fields of the one ErrorResponse among these messages."""
    found = errors(messages)
    assert len(found) == 1, f"expected one ErrorResponse in {messages!r}"
    return found[0]


# ---- SCRAM ---------------------------------------------------------------------------------


def _hmac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def _sasl_attributes(text):
    return dict(part.split("=", 1) for part in text.split(","))


class Scram:
    """The client's half of SCRAM-SHA-256, one step a method: a test can spoil any of them."""

    def __init__(self, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n=,r={self.nonce}"
        self.challenge = {}

    def first(self):
        return f"n,,{self.bare}"

    def final(self, server_first):
        self.challenge = _sasl_attributes(server_first)
        assert self.challenge["r"].startswith(self.nonce), "the server did not keep our nonce"
        without_proof = f"c=biws,r={self.challenge['r']}"
        auth_message = f"{self.bare},{server_first},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(
            "sha256",
            self.password,
            base64.b64decode(self.challenge["s"]),
            int(self.challenge["i"]),
        )
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), auth_message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.signature = _hmac(_hmac(salted, b"Server Key"), auth_message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def check(self, server_final):
        assert base64.b64decode(_sasl_attributes(server_final)["v"]) == self.signature


def scram_secret(password, iterations=4096):
    """A SCRAM secret as it stands in pg_authid and in userlist.txt."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    server = _hmac(salted, b"Server Key")
    b64 = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{b64[0]}${b64[1]}:{b64[2]}"


def sasl_initial(text, mechanism="SCRAM-SHA-256"):
    raw = text.encode()
    return message("p", cstring(mechanism) + struct.pack("!i", len(raw)) + raw)


def sasl_response(text):
    return message("p", text.encode())


# ---- the client ----------------------------------------------------------------------------


class Wire:
    """A client connection. `address` is (host, port) or the path of a unix socket."""

    def __init__(self, address):
        """Raises ConnectionRefusedError, also where the listener closed with this one in its
        queue: the kernel says ECONNRESET then, or lets the connection through first."""
        if isinstance(address, tuple):
            try:
                self.sock = socket.create_connection(address, timeout=DEADLINE)
            except ConnectionResetError as gone:
                raise ConnectionRefusedError(str(gone)) from gone
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(DEADLINE)
            self.sock.connect(str(address))
        self._reset()

    def _reset(self):
        self.buffer = bytearray()
        self.parameters = {}
        self.key = None

    @classmethod
    def over(cls, sock):
        """The same over a socket that is connected already."""
        self = cls.__new__(cls)
        self.sock = sock
        self._reset()
        return self

    # -- bytes

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise Closed(str(gone)) from gone

    def send_split(self, data, step=1):
        """Hand over the bytes `step` at a time, each only after the peer has read the one before.

        Needs a unix socket: there SIOCOUTQ says how much the peer has not read yet."""
        assert self.sock.family == socket.AF_UNIX
        for at in range(0, len(data), step):
            self.send(data[at : at + step])
            wait_until(self._was_read, "the peer to read the bytes sent")

    def _was_read(self):
        unread = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.TIOCOUTQ, unread)
        return unread[0] == 0

    def _fill(self):
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError as gone:
            raise Closed(str(gone)) from gone
        if not data:
            raise Closed("end of file")
        self.buffer += data

    def read_byte(self):
        """One byte outside the message format: the answer to SSLRequest."""
        while not self.buffer:
            self._fill()
        return bytes([self.buffer.pop(0)])

    def has_answer(self):
        """Whether there is something to read right now."""
        return bool(self.buffer) or bool(select.select([self.sock], [], [], 0)[0])

    # -- messages

    def read(self):
        """The next message; raises Closed at the end of the connection."""
        while len(self.buffer) < 5:
            self._fill()
        (size,) = struct.unpack_from("!I", self.buffer, 1)
        while len(self.buffer) < size + 1:
            self._fill()
        kind = chr(self.buffer[0])
        body = bytes(self.buffer[5 : size + 1])
        del self.buffer[: size + 1]
        if kind == "S":
            name, value = body.split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()
        return Message(kind, body)

    def read_until(self, final="Z"):
        """Messages up to the one that completes `final`: "ZZ" is the second ReadyForQuery."""
        messages, wanted = [], list(final)
        while wanted:
            try:
                messages.append(self.read())
            except Closed as gone:
                raise Closed(f"{gone}, after {messages!r:.1000}") from gone
            if messages[-1].type == wanted[0]:
                wanted.pop(0)
        return messages

    def read_all(self):
        """Everything up to the end of the connection."""
        messages = []
        while True:
            try:
                messages.append(self.read())
            except Closed:
                return messages

    def query(self, sql):
        self.send(query(sql))
        return self.read_until("Z")

    def answer(self):
        """Messages up to ReadyForQuery or the end of the connection, whichever comes first."""
        messages = []
        try:
            while not messages or messages[-1].type != "Z":
                messages.append(self.read())
        except Closed:
            pass
        return messages

    def values(self, sql):
        """The rows of a query that must succeed."""
        answer = self.query(sql)
        assert "E" not in kinds(answer), error(answer)
        return rows(answer)

    # -- login

    def login(self, user, database, password=None, version=PROTOCOL_3_0, **params):
        """Log in, or return what was said up to the refusal (which then holds an ErrorResponse).

        Keeps the ParameterStatus values in .parameters and (pid, secret) in .key."""
        self.send(startup({"user": user, "database": database, **params}, version))
        said, scram = [], Scram(password or "")
        while not said or said[-1].type not in "EZ":
            said.append(self.read())
            kind, body = said[-1]
            if kind == "R":
                self._answer_authentication(body, scram)
            elif kind == "K":
                self.key = (struct.unpack_from("!I", body)[0], body[4:])
        return said

    def _answer_authentication(self, body, scram):
        (request,) = struct.unpack_from("!I", body)
        rest = body[4:]
        if request == 10:
            assert b"SCRAM-SHA-256" in rest.split(b"\0")
            self.send(sasl_initial(scram.first()))
        elif request == 11:
            self.send(sasl_response(scram.final(rest.decode())))
        elif request == 12:
            scram.check(rest.decode())
        else:
            assert request == 0, f"authentication request {request} is not expected"

    def close(self):
        """Leave politely."""
        try:
            self.sock.sendall(TERMINATE)
        except OSError:
            pass
        self.sock.close()

    def vanish(self):
        """Leave as a crashed client does: a reset where there is one, no Terminate."""
        if self.sock.family == socket.AF_INET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
