"""The first bytes of a connection: requests, versions, options, and what is none of them."""

import signal
import struct
import time

import pytest

import wire
from conftest import unnoticed
from waiting import wait_until

LOGIN = {"user": "alice", "database": "app"}
LONGEST_STARTUP = 10000  # PostgreSQL's MAX_STARTUP_PACKET_LENGTH


def packet(body, length=None):
    """A startup packet with this body, and a length that may lie."""
    return struct.pack("!i", len(body) + 4 if length is None else length) + body


def version(number):
    return struct.pack("!I", number)


HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(200))

GARBAGE = {
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "http": HTTP,
    "tls without asking": TLS_HELLO,
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "length 0": packet(b"", 0) + bytes(8),
    "length 3": packet(b"", 3) + bytes(8),
    "length 4": packet(b"", 4) + bytes(8),
    "length 7": packet(b"\0\3\0", 7) + bytes(8),
    "negative length": packet(version(wire.PROTOCOL_3_0), -1) + bytes(64),
    "least length": packet(version(wire.PROTOCOL_3_0), -(2**31)) + bytes(64),
    "greatest length": packet(version(wire.PROTOCOL_3_0), 2**31 - 1) + bytes(64),
    "only a version": packet(version(wire.PROTOCOL_3_0)),
    "no user": packet(version(wire.PROTOCOL_3_0) + b"database\0app\0\0"),
    "empty user": packet(version(wire.PROTOCOL_3_0) + b"user\0\0database\0app\0\0"),
    "no terminator": packet(version(wire.PROTOCOL_3_0) + b"user\0alice\0database\0app\0"),
    "name without value": packet(version(wire.PROTOCOL_3_0) + b"user\0alice\0database\0\0"),
    "value not terminated": packet(version(wire.PROTOCOL_3_0) + b"user\0alice\0database\0app"),
    "bytes after the end": packet(version(wire.PROTOCOL_3_0) + b"user\0alice\0\0extra\0"),
    "a query first": wire.query("select 1"),
    "a cancel request cut short": struct.pack("!II", 8, 80877102),
    "a cancel request too long": struct.pack("!II", 3000, 80877102) + bytes(2992),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(make_pooler, name):
    """Answered with an error or with the end of the connection, and with no password prompt."""
    pooler = make_pooler(client_login_timeout=5)
    with unnoticed(pooler):
        client = pooler.wire()
        client.send(GARBAGE[name])
        said = client.read_all()
        assert wire.kinds(said) in ("", "E")
        if said:
            fields = wire.fields(said[0].body)
            assert fields["S"] == "FATAL" and fields["C"] in ("08P01", "28000", "0A000", "3D000")


def test_longest_startup_packet(make_pooler):
    """What PostgreSQL accepts is accepted; one byte more is refused before it is read."""
    pooler = make_pooler(ignore_startup_parameters="comment")
    room = LONGEST_STARTUP - len(wire.startup({**LOGIN, "comment": ""}))
    with unnoticed(pooler):
        client = pooler.wire()
        assert client.login("alice", "app", comment="c" * room)[-1].type == "Z"
        assert client.values("select 1") == [["1"]]
        client = pooler.wire()
        client.send(wire.startup({**LOGIN, "comment": "c" * (room + 1)})[:100])
        assert wire.kinds(client.read_all()) in ("", "E")


@pytest.mark.parametrize("threads", [1, 4])
def test_options(make_pooler, threads):
    """-c and --name=value set what may be set at startup, and follow the client from server to server."""
    pooler = make_pooler(default_pool_size=1, threads=threads, ignore_startup_parameters="jit")
    wanted = {
        "-c search_path=pg_catalog,odd": ("search_path", "pg_catalog,odd"),
        "-c  intervalstyle=iso_8601 -c jit=off": ("intervalstyle", "iso_8601"),
        "--TimeZone=Asia/Tokyo": ("timezone", "Asia/Tokyo"),
        "-capplication-name=a\\ b": ("application_name", "a b"),
    }
    clients = [(pooler.wire_login(options=o), *told) for o, told in wanted.items()]
    clients.append((pooler.wire_login(search_path='"$user"'), "search_path", '"$user"'))
    clients.append((pooler.wire_login(), "search_path", '"$user", public'))
    for _ in range(2):
        for client, name, value in clients:
            assert client.values(f"show {name}") == [[value]]


@pytest.mark.parametrize(
    "options, words",
    [
        ("-c enable_seqscan=off", "unsupported startup parameter in options: enable_seqscan"),
        ("-d 3", "only '-c config=val' and '--config=val' are allowed"),
        ("-c search_path", "only '-c config=val' and '--config=val' are allowed"),
        ("-c search_path=" + "x" * 2000, "only '-c config=val' and '--config=val' are allowed"),
    ],
)
def test_options_refused(make_pooler, options, words):
    pooler = make_pooler()
    client = pooler.wire()
    client.send(wire.startup({**LOGIN, "options": options}))
    fields = wire.error(client.read_all())
    assert fields["C"] == "08P01" and words in fields["M"]
    assert pooler.wire_login().values("select 1") == [["1"]]


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8, 9, 20])
def test_truncated_and_gone(make_pooler, cut):
    """A client that leaves within its startup packet leaves nothing behind."""
    pooler = make_pooler()
    with unnoticed(pooler):
        client = pooler.wire()
        client.send(wire.startup(LOGIN)[:cut])
        client.vanish()


@pytest.mark.parametrize(
    "said_so_far", [b"", wire.startup(LOGIN)[:20], wire.SSL_REQUEST], ids=["nothing", "half", "ssl"]
)
def test_silent_client(make_pooler, said_so_far):
    """client_login_timeout ends it, with a word; a client that did log in is not touched."""
    pooler = make_pooler(client_login_timeout=3, tcp_defer_accept=0)
    with unnoticed(pooler):
        client = pooler.wire()
        client.send(said_so_far)
        if said_so_far == wire.SSL_REQUEST:
            assert client.read_byte() == b"N"
        fields = wire.error(client.read_all())
        assert (fields["S"], fields["M"]) == ("FATAL", "client_login_timeout")


def test_pause_of_the_pooler(make_pooler):
    """What a client said in time counts, although its limit has passed when it is read."""
    pooler = make_pooler(client_login_timeout=1)
    with unnoticed(pooler):
        client = pooler.wire()
        client.send(wire.SSL_REQUEST)
        assert client.read_byte() == b"N"
        pooler.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: pooler.states() == {"T"}, "all its threads to stand still")
        client.send(wire.startup(LOGIN))
        time.sleep(1.2)
        pooler.process.send_signal(signal.SIGCONT)
        assert client.read_until("Z")[0].type == "R"


def test_silent_at_the_password(make_pooler):
    pooler = make_pooler(client_login_timeout=3, auth_type="scram-sha-256")
    client = pooler.wire()
    client.send(wire.startup(LOGIN))
    said = client.read_all()
    assert wire.kinds(said) == "RE" and wire.error(said)["M"] == "client_login_timeout"
    with pooler.connect(password="alice-secret") as conn:
        assert conn.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "requests",
    [[wire.SSL_REQUEST], [wire.GSSENC_REQUEST], [wire.GSSENC_REQUEST, wire.SSL_REQUEST]],
    ids=["ssl", "gss", "gss then ssl"],
)
def test_encryption_refused(make_pooler, requests):
    """Both requests are answered with N, and the connection goes on in plain."""
    client = make_pooler().wire()
    for request in requests:
        client.send(request)
        assert client.read_byte() == b"N"
    assert client.login("alice", "app")[-1].type == "Z"
    assert client.values("select 1") == [["1"]]


def test_encryption_requests_do_not_repeat(make_pooler):
    """Nobody may keep a connection busy with the same request for ever."""
    pooler = make_pooler()
    with unnoticed(pooler):
        client = pooler.wire()
        try:
            for _ in range(50):
                client.send(wire.SSL_REQUEST)
                if client.read_byte() != b"N":
                    break
            else:
                pytest.fail("fifty SSLRequests were answered")
        except wire.Closed:
            pass


def test_libpq_prefers_encryption(make_pooler):
    """sslmode=prefer falls back, sslmode=require says why it cannot."""
    pooler = make_pooler()
    with pooler.connect(sslmode="prefer", gssencmode="prefer") as conn:
        assert conn.execute("select 1").fetchone() == (1,)
    with pytest.raises(Exception, match="server does not support SSL"):
        pooler.connect(sslmode="require")


@pytest.mark.parametrize("minor", [1, 2, 9999])
def test_newer_minor_version(make_pooler, minor):
    """Asked for 3.x, the pooler goes on with a version both know, and says which."""
    pooler = make_pooler()
    client = pooler.wire()
    said = client.login("alice", "app", version=(3 << 16) | minor)
    assert said[-1].type == "Z"
    negotiated = [m for m in said if m.type == "v"]
    if negotiated:
        newest, count = struct.unpack_from("!II", negotiated[0].body)
        assert newest & 0xFFFF <= min(minor, 2) and count == 0
    else:
        assert minor <= 2
    assert wire.kinds(said).count("v") <= 1
    assert client.values("select 1") == [["1"]]


def test_unknown_protocol_options(make_pooler):
    """Options named _pq_.* are answered with their names, then the login goes on."""
    client = make_pooler().wire()
    said = client.login("alice", "app", **{"_pq_.colour": "blue", "_pq_.size": "9"})
    negotiated = [m.body for m in said if m.type == "v"]
    assert len(negotiated) == 1
    assert struct.unpack_from("!I", negotiated[0], 4) == (2,)
    assert negotiated[0][8:].split(b"\0")[:2] == [b"_pq_.colour", b"_pq_.size"]
    assert client.values("select 1") == [["1"]]


@pytest.mark.parametrize("number", [1 << 16, 2 << 16, 4 << 16, (9 << 16) | 9])
def test_other_major_versions(make_pooler, number):
    pooler = make_pooler()
    with unnoticed(pooler):
        client = pooler.wire()
        client.send(wire.startup(LOGIN, number))
        fields = wire.error(client.read_all())
        assert fields["S"] == "FATAL" and fields["C"] in ("0A000", "08P01")


def test_unknown_startup_parameter(make_pooler):
    """Refused, for it could not be kept for the client; unless it is to be ignored."""
    pooler = make_pooler(ignore_startup_parameters="extra_float_digits, seq_page_cost")
    with unnoticed(pooler):
        fields = wire.error(pooler.wire().login("alice", "app", enable_seqscan="off"))
        assert fields["M"] == "unsupported startup parameter: enable_seqscan"
        assert (fields["S"], fields["C"]) == ("FATAL", "08P01")
        client = pooler.wire_login(extra_float_digits="3", seq_page_cost="7")
        assert client.values("show seq_page_cost") == [["1"]]


def test_names_that_are_too_long(make_pooler):
    pooler = make_pooler()
    with unnoticed(pooler):
        for names, text in (
            (("u" * 200, "app"), "username too long"),
            (("alice", "d" * 200), "database name too long"),
        ):
            assert wire.error(pooler.wire().login(*names))["M"] == text


def test_cancel_request_for_nobody(make_pooler):
    """Closed without a word, as PostgreSQL does."""
    pooler = make_pooler()
    with unnoticed(pooler):
        for secret in (b"abcd", b"x" * 32):
            client = pooler.wire()
            client.send(wire.cancel_request(12345, secret))
            assert client.read_all() == []


def test_startup_in_single_bytes(make_pooler):
    client = make_pooler().wire(unix=True)
    client.send_split(wire.SSL_REQUEST)
    assert client.read_byte() == b"N"
    client.send_split(wire.startup(LOGIN) + wire.query("select 'split'"))
    client.read_until("Z")
    assert wire.rows(client.read_until("Z")) == [["split"]]


def test_everything_in_one_packet(make_pooler):
    """A client that does not wait for the greeting before it asks."""
    client = make_pooler().wire()
    client.send(wire.startup(LOGIN) + wire.query("select 1") + wire.extended("select 2"))
    client.read_until("Z")
    assert wire.rows(client.read_until("ZZ")) == [["1"], ["2"]]


def test_greeting_follows_the_server(make_pooler, cluster, threads):
    """What a new server says at login is what new clients hear; who is there keeps what he heard."""
    pooler = make_pooler(threads=threads, default_pool_size=1)
    before = pooler.wire_login()
    heard = dict(before.parameters)
    assert (heard["is_superuser"], heard["TimeZone"]) == ("off", before.values("show timezone")[0][0])
    cluster.sql("alter role alice superuser")
    cluster.sql("alter database app set timezone = 'Asia/Tokyo'")
    try:
        cluster.terminate(pooler.server_pids())
        assert before.values("select 1") == [["1"]]  # on a new server
        assert before.values("show timezone") == [[heard["TimeZone"]]]
        after = pooler.wire_login()
        assert (after.parameters["is_superuser"], after.parameters["TimeZone"]) == (
            "on",
            "Asia/Tokyo",
        )
        for _ in range(2):  # by turns on the one server
            assert after.values("show timezone") == [["Asia/Tokyo"]]
            assert before.values("show timezone") == [[heard["TimeZone"]]]
    finally:
        cluster.sql("alter role alice nosuperuser")
        cluster.sql("alter database app reset timezone")
