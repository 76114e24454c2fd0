"""TLS on both sides: every sslmode, certificates that fit and that do not, and those in between who
try to slip something in."""

import socket
import ssl
import threading

import psycopg
import pytest

import wire
from conftest import unnoticed
from fake_server import FakeServer
from papers import client_side
from test_config import run
from waiting import DEADLINE, wait_until

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def works(conn):
    return conn.execute("select 6 * 7").fetchone() == (42,)


# ---- clients


@pytest.mark.parametrize("ours", MODES)
@pytest.mark.parametrize("theirs", MODES)
def test_client_modes(make_pooler, paper, ours, theirs):
    """Each mode of the pooler meets each mode of libpq; the client shows a certificate of ours."""
    pooler = make_pooler(**client_side(paper, ours))
    arguments = {
        "sslmode": theirs,
        "sslrootcert": paper.ours.certificate,
        "sslcert": paper.alice.certificate,
        "sslkey": paper.alice.key,
    }
    # libpq refuses a key that others may read; these are the servers' account's, or root's.
    offers = ours != "disable"
    wants, must = theirs not in ("disable", "allow"), theirs in MODES[3:]
    if (must and not offers) or (theirs == "disable" and ours in MODES[3:]):
        with pytest.raises(psycopg.OperationalError, match="SSL"):
            pooler.connect(**arguments)
        return
    conn = pooler.connect(**arguments)
    encrypted = offers and (wants or ours in MODES[3:])
    assert conn.pgconn.ssl_in_use == encrypted
    assert works(conn)
    (row,) = [r for r in pooler.show("clients") if r["user"] == "alice"]
    assert row["tls"].startswith("TLSv1.3/TLS_") if encrypted else row["tls"] == ""


@pytest.mark.parametrize("mode", ("require", "verify-ca", "verify-full"))
@pytest.mark.parametrize("shows", ("nothing", "ours", "stranger's"))
def test_client_certificates(make_pooler, paper, mode, shows):
    pooler = make_pooler(**client_side(paper, mode))
    pair = {"nothing": None, "ours": paper.alice, "stranger's": paper.stranger}[shows]
    shown = {"sslcert": pair.certificate, "sslkey": pair.key} if pair else {"sslcert": "/nowhere"}
    if mode == "require" or shows == "ours":
        assert works(pooler.connect(sslmode="require", **shown))
    else:
        with pytest.raises(psycopg.OperationalError, match="SSL|certificate|closed"):
            works(pooler.connect(sslmode="require", **shown))


def test_unix_socket_needs_no_tls(make_pooler, paper):
    pooler = make_pooler(**client_side(paper, "verify-full"))
    assert works(pooler.connect(host=str(pooler.folder)))
    raw = pooler.wire(unix=True)
    raw.send(wire.SSL_REQUEST)
    assert raw.read_byte() == b"N"


def test_wrong_host(make_pooler, paper):
    """verify-full of libpq sees whom the certificate is for."""
    pooler = make_pooler(**client_side(paper, "prefer", paper.elsewhere))
    trust = {"sslrootcert": paper.ours.certificate}
    assert works(pooler.connect(sslmode="verify-ca", **trust))
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        pooler.connect(sslmode="verify-full", **trust)


def test_slipped_in_behind_the_request(make_pooler, paper):
    """A startup packet behind the SSLRequest is not taken for the client's own (CVE-2021-23214)."""
    pooler = make_pooler(**client_side(paper, "prefer"))
    with unnoticed(pooler):
        raw = pooler.wire()
        raw.send(wire.SSL_REQUEST + wire.startup({"user": "alice", "database": "app"}))
        said = raw.read_all()
        assert wire.error(said)["M"] == "received unencrypted data after SSL request"


def tls_socket(pooler, *, alpn=("postgresql",), ask=False, version=None):
    """A socket on which TLS has begun: directly, or after an SSLRequest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    sock = socket.create_connection(pooler.address, timeout=DEADLINE)
    if ask:
        sock.sendall(wire.SSL_REQUEST)
        assert sock.recv(1) == b"S"
    return context.wrap_socket(sock, server_hostname="localhost")


def ended(sock):
    """Whether the other side has closed."""
    try:
        return sock.recv(1) == b""
    except (ssl.SSLError, ConnectionResetError):
        return True


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
@pytest.mark.parametrize("ask", (False, True), ids=("direct", "asked"))
def test_direct_tls(make_pooler, paper, ask, version):
    """The first byte may be TLS's own; ALPN says that it is PostgreSQL that is wanted."""
    pooler = make_pooler(**client_side(paper, "require"))
    client = wire.Wire.over(tls_socket(pooler, ask=ask, version=version))
    pooler.clients.append(client)
    assert client.login("alice", "app")[-1].type == "Z"
    assert client.values("select 1") == [["1"]]
    assert client.sock.selected_alpn_protocol() == "postgresql"


@pytest.mark.parametrize("alpn", (None, ("http/1.1",)))
def test_direct_tls_for_something_else(make_pooler, paper, alpn):
    pooler = make_pooler(**client_side(paper, "prefer"))
    with unnoticed(pooler):
        try:
            sock = tls_socket(pooler, alpn=alpn)
        except ssl.SSLError:
            return  # refused in the handshake
        with sock:
            assert ended(sock)


def test_direct_tls_that_is_not_offered(make_pooler):
    pooler = make_pooler()
    with unnoticed(pooler):
        raw = pooler.wire()
        raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert wire.error(raw.read_all())["C"] == "08P01"


@pytest.mark.parametrize("junk", (b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"A" * 400))
def test_junk_for_a_handshake(make_pooler, paper, junk):
    pooler = make_pooler(**client_side(paper, "prefer"))
    with unnoticed(pooler):
        raw = pooler.wire()
        raw.send(wire.SSL_REQUEST)
        assert raw.read_byte() == b"S"
        raw.send(junk)
        assert ended(raw.sock) or raw.sock.recv(10000) is not None


def test_silent_handshakes_keep_nobody_out(make_pooler, paper):
    """Who begins a handshake and says nothing more is ended by client_login_timeout."""
    pooler = make_pooler(**client_side(paper, "prefer", client_login_timeout=3))
    silent = [pooler.wire() for _ in range(20)]
    for raw in silent:
        raw.send(wire.SSL_REQUEST)
        assert raw.read_byte() == b"S"
        raw.send(b"\x16\x03\x01")
    assert works(pooler.connect(sslmode="require"))
    for raw in silent:
        assert ended(raw.sock)


def test_asked_twice(make_pooler, paper):
    pooler = make_pooler(**client_side(paper, "prefer"))
    with unnoticed(pooler):
        client = wire.Wire.over(tls_socket(pooler, ask=True))
        pooler.clients.append(client)
        client.send(wire.SSL_REQUEST)
        assert wire.error(client.read_all())["C"] == "08P01"


def test_goodbye_is_said(make_pooler, paper):
    """The pooler ends a TLS connection with close_notify, so that the client knows that nothing
    was cut off."""
    pooler = make_pooler(**client_side(paper, "prefer"))
    sock = tls_socket(pooler)
    client = wire.Wire.over(sock)
    pooler.clients.append(client)
    client.login("alice", "nowhere")
    sock.suppress_ragged_eofs = False
    assert sock.recv(1) == b""


@pytest.mark.parametrize("size", (1, 5000, 16384, 16385, 300_000, 20_000_000))
def test_sizes(make_pooler, paper, size):
    """Results and parameters of all sizes go through whole, in both directions."""
    pooler = make_pooler(**client_side(paper, "require"))
    conn = pooler.connect(sslmode="require")
    text = "x" * (size - 1) + "y"
    assert conn.execute("select repeat('x', %s) || 'y'", (size - 1,)).fetchone() == (text,)
    assert conn.execute("select length(%s), right(%s, 1)", (text, text)).fetchone() == (size, "y")


def test_many_rows_for_a_slow_reader(make_pooler, paper):
    """The client reads late: what waits for it is neither lost nor doubled, and others go on."""
    pooler = make_pooler(**client_side(paper, "require"))
    client = wire.Wire.over(tls_socket(pooler))
    pooler.clients.append(client)
    client.login("alice", "app")
    client.send(wire.query("select g, repeat('z', 300) from generate_series(1, 60000) g"))
    assert works(pooler.connect(sslmode="require"))
    rows = wire.rows(client.read_until("Z"))
    assert [int(r[0]) for r in rows] == list(range(1, 60001))


def test_leaving_while_waiting(make_pooler, paper):
    """A client that says goodbye to TLS alone, without Terminate, while it waits for a server: it is
    not kept in the queue. What it has asked for by then is not done."""
    pooler = make_pooler(default_pool_size=1, **client_side(paper, "require"))
    holder = pooler.connect(sslmode="require")
    with holder.transaction():
        holder.execute("select 1")
        client = wire.Wire.over(tls_socket(pooler))
        pooler.clients.append(client)
        client.login("alice", "app")
        client.send(wire.query("select 2"))
        pooler.wait_waiting(1)
        client.send(wire.query("select 3"))
        client.sock.unwrap()
        pooler.wait_waiting(0)
    assert works(holder)


def test_copy_both_ways(make_pooler, paper, cluster):
    cluster.make_table("copied", "a int, b text")
    pooler = make_pooler(**client_side(paper, "require"))
    conn = pooler.connect(sslmode="require")
    with conn.cursor().copy("copy copied from stdin") as copy:
        for n in range(20000):
            copy.write_row((n, "row %d" % n))
    with conn.cursor().copy("copy (select * from copied order by a) to stdout") as copy:
        assert [int(r[0]) for r in copy.rows()] == list(range(20000))


def test_cancel_over_tls(make_pooler, paper):
    """libpq 15 sends its cancel request in clear, whatever the session has: that is let in."""
    pooler = make_pooler(**client_side(paper, "require"))
    conn = pooler.connect(sslmode="require")
    timer = threading.Thread(
        target=lambda: (wait_until(lambda: pooler.cluster.backends("query ~ 'pg_sleep'"), "sleep"),
                        conn.cancel())
    )  # fmt: skip
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("select pg_sleep(60)")
    timer.join()


def test_reload_takes_new_certificates(make_pooler, paper):
    """New clients see the new certificate; old ones stay. A file that will not do changes nothing."""
    pooler = make_pooler(**client_side(paper, "require"))
    trust = {"sslmode": "verify-full", "sslrootcert": paper.ours.certificate}
    old = pooler.connect(**trust)
    pooler.settings.update(client_side(paper, "require", paper.elsewhere))
    pooler.write()
    pooler.command("reload")
    assert works(old)
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        pooler.connect(**trust)
    pooler.settings["client_tls_key_file"] = paper.alice.key
    pooler.write()
    with pytest.raises(psycopg.Error, match="client_tls_key_file"):
        pooler.command("reload")
    assert works(old) and works(pooler.connect(sslmode="require"))


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"client_tls_key_file": None}, "TLS needs both client_tls_cert_file and client_tls_key"),
        ({"client_tls_cert_file": "/nowhere"}, "/nowhere: No such file"),
        ({"client_tls_protocols": "tlsv9"}, "client_tls_protocols = tlsv9"),
        ({"client_tls_protocols": "!all"}, "leaves no version"),
        ({"client_tls_ciphers": "NONSENSE"}, "client_tls_ciphers = NONSENSE"),
        ({"client_tls13_ciphers": "NONSENSE"}, "client_tls13_ciphers = NONSENSE"),
        ({"client_tls_ecdhcurve": "nonsense"}, "client_tls_ecdhcurve = nonsense"),
        ({"client_tls_dheparams": "strong"}, "client_tls_dheparams = strong"),
        ({"client_tls_ca_file": None, "client_tls_sslmode": "verify-ca"}, "client_tls_ca_file"),
    ],
)
def test_settings_that_will_not_do(binary, cluster, base_folder, paper, change, complaint):
    settings = {**client_side(paper, "require"), **change}
    lines = [f"{key} = {value}" for key, value in settings.items() if value is not None]
    ini = base_folder / "unfit.ini"
    ini.write_text("\n".join(["[databases]", "[pgbouncer]", "auth_type = trust", *lines, ""]))
    done = run(binary, cluster, ini)
    assert done.returncode == 1 and complaint in done.stderr


@pytest.mark.parametrize(
    "settings, version, cipher",
    [
        ({"client_tls_protocols": "tlsv1.2"}, "TLSv1.2", ""),
        ({"client_tls_protocols": "all,!tlsv1.3"}, "TLSv1.2", ""),
        ({"client_tls_protocols": "tlsv1.3"}, "TLSv1.3", ""),
        ({"client_tls_protocols": "tlsv1.2", "client_tls_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
         "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ({"client_tls13_ciphers": "TLS_CHACHA20_POLY1305_SHA256"},
         "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
        ({"client_tls_ecdhcurve": "secp384r1"}, "TLSv1.3", ""),
    ],
)  # fmt: skip
def test_versions_and_ciphers(make_pooler, paper, settings, version, cipher):
    pooler = make_pooler(**client_side(paper, "require", **settings))
    assert works(pooler.connect(sslmode="require"))
    (row,) = [r for r in pooler.show("clients") if r["user"] == "alice"]
    assert row["tls"].split("/")[0] == version and cipher in row["tls"]


# ---- servers


def server_tls(pooler):
    """What SHOW SERVERS and PostgreSQL itself say of alice's server connections."""
    rows = {r["tls"] for r in pooler.show("servers") if r["user"] == "alice"}
    told = pooler.cluster.sql(
        "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid)"
        " where usename = 'alice'"
    )
    assert len(rows) == len(told) == 1
    (shown,) = rows
    assert told == [(shown != "",)]
    return shown


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"server_tls_protocols": "tlsv1.2"}, "TLSv1.2"),
        ({"server_tls_protocols": "tlsv1.3"}, "TLSv1.3"),
        ({"server_tls13_ciphers": "TLS_CHACHA20_POLY1305_SHA256"},
         "TLSv1.3/TLS_CHACHA20_POLY1305_SHA256"),
    ],
)  # fmt: skip
def test_server_versions_and_ciphers(make_pooler, tls_cluster, paper, settings, expected):
    tls_cluster(paper.server)
    pooler = make_pooler(server_tls_sslmode="require", **settings)
    assert works(pooler.connect())
    assert server_tls(pooler).startswith(expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("has", ("none", "ours", "others'", "elsewhere's"))
def test_server_modes(make_pooler, tls_cluster, paper, mode, has):
    """Each mode meets a server without TLS, with the right certificate, with one that nobody
    vouches for, and with one for another host."""
    pair = {
        "none": None,
        "ours": paper.server,
        "others'": paper.stranger,
        "elsewhere's": paper.elsewhere,
    }[has]
    tls_cluster(pair)
    pooler = make_pooler(
        server_tls_sslmode=mode,
        server_tls_ca_file=paper.ours.certificate,
        query_wait_timeout=5,
    )
    fits = {
        "none": MODES[:3],
        "ours": MODES,
        "others'": MODES[:4],
        "elsewhere's": MODES[:5],
    }[has]
    if mode not in fits:
        with pytest.raises(psycopg.OperationalError):
            works(pooler.connect())
        assert "server login failed" in pooler.log()
        return
    conn = pooler.connect()
    assert works(conn)
    encrypted = pair is not None and mode not in ("disable", "allow")
    assert (server_tls(pooler) != "") == encrypted
    assert conn.execute("select length(repeat('x', 3000000))").fetchone() == (3000000,)
    assert len(conn.execute("select repeat('x', 3000000)").fetchone()[0]) == 3000000


@pytest.mark.parametrize(
    "mode, lines, encrypted",
    [
        ("allow", "hostnossl all alice 127.0.0.1/32 reject\n", True),
        ("prefer", "hostssl all alice 127.0.0.1/32 reject\n", False),
        ("require", "hostssl all alice 127.0.0.1/32 reject\n", None),
        ("disable", "hostnossl all alice 127.0.0.1/32 reject\n", None),
    ],
)
def test_server_that_wants_the_other_way(
    make_pooler, tls_cluster, paper, mode, lines, encrypted
):
    """pg_hba.conf lets alice in with TLS only, or without only: allow and prefer find the way."""
    tls_cluster(paper.server, lines)
    pooler = make_pooler(server_tls_sslmode=mode)
    if encrypted is None:
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects"):
            works(pooler.connect())
    else:
        assert works(pooler.connect())
        assert (server_tls(pooler) != "") == encrypted


def test_our_certificate_for_the_server(make_pooler, tls_cluster, paper):
    """PostgreSQL asks the pooler itself for a certificate."""
    line = "hostssl all alice 127.0.0.1/32 cert\n"
    tls_cluster(paper.server, line, ca=paper.ours.certificate)
    shown = {
        "server_tls_cert_file": paper.alice.certificate,
        "server_tls_key_file": paper.alice.key,
    }
    pooler = make_pooler(server_tls_sslmode="require", **shown)
    assert works(pooler.connect())


ODD_TLS_ANSWERS = {
    b"S" + b"x" * 30: "unencrypted bytes",
    b"Nx": "unencrypted bytes",
    b"E": "answers the TLS request with an error",
    b"\0\0": "does not understand",
}


@pytest.mark.parametrize("answer", ODD_TLS_ANSWERS)
def test_answers_to_the_tls_request(make_pooler, answer):
    """More than one byte, or another one, is no answer (CVE-2021-23222)."""
    server = FakeServer(greeting=b"x", tls_answer=answer)
    try:
        pooler = make_pooler(
            databases={"odd": {"port": server.port}},
            server_tls_sslmode="prefer",
            query_wait_timeout=1,
        )
        with pytest.raises(psycopg.OperationalError):
            pooler.connect("odd")
        wait_until(lambda: ODD_TLS_ANSWERS[answer] in pooler.log(), "the complaint")
        assert set(server.heard) == {wire.SSL_REQUEST}
    finally:
        server.close()


def test_cancel_reaches_an_encrypted_server(make_pooler, tls_cluster, paper):
    """The key of the server's session is told under TLS alone."""
    tls_cluster(paper.server)
    pooler = make_pooler(
        server_tls_sslmode="verify-full", server_tls_ca_file=paper.ours.certificate
    )
    conn = pooler.connect()
    timer = threading.Thread(
        target=lambda: (wait_until(lambda: pooler.cluster.backends("query ~ 'pg_sleep'"), "sleep"),
                        conn.cancel())
    )  # fmt: skip
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("select pg_sleep(60)")
    timer.join()
    assert works(conn)


def test_reload_renews_servers(make_pooler, tls_cluster, paper):
    """What servers are checked with changes: those of before are not used any more."""
    tls_cluster(paper.server)
    pooler = make_pooler(server_tls_sslmode="prefer")
    conn = pooler.connect()
    before = conn.execute("select pg_backend_pid()").fetchone()
    pooler.settings.update(
        server_tls_sslmode="verify-ca", server_tls_ca_file=paper.ours.certificate
    )
    pooler.write()
    pooler.command("reload")
    after = conn.execute("select pg_backend_pid()").fetchone()
    assert before != after
    pooler.command("reload")
    assert conn.execute("select pg_backend_pid()").fetchone() == after


def test_servers_change_loops(make_pooler, tls_cluster, paper):
    """Many clients on four threads share two servers under TLS."""
    tls_cluster(paper.server)
    pooler = make_pooler(
        threads=4,
        default_pool_size=2,
        server_tls_sslmode="require",
        **client_side(paper, "require"),
    )
    failures = []

    def work(number):
        try:
            conn = pooler.connect(sslmode="require")
            for n in range(100):
                wanted = number * 1000 + n
                assert conn.execute("select %s::int", (wanted,)).fetchone() == (wanted,)
        except Exception as failure:  # noqa: BLE001 (reported below)
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
