"""The HTTP port: where it listens, who is well and who is not, and strangers who ask badly."""

import contextlib
import json
import socket

import pytest

import wire
from limits import reload
from machine import free_port
from pooler import ADMIN
from scraper import OPENMETRICS, Scraper, read, scraped
from test_pooling import busy
from waiting import DEADLINE, wait_until


def health(scraper):
    """Status and reasons; /ready says the same in a word, where nothing has happened in between."""

    def look():
        code, _, text = scraper.ask("/health")
        said = json.loads(text)
        assert code == (200 if said["status"] == "ok" else 503)
        return said["status"], said["reasons"]

    while True:
        before = look()
        code, _, word = scraper.ask("/ready")
        if look()[0] == before[0]:
            assert (code, word) == (200, "ready\n") if before[0] == "ok" else (503, before[0] + "\n")
            return before


def talk(scraper, data):
    """What comes back for these bytes, up to the end of the connection."""
    with socket.create_connection((scraper.host, scraper.port), timeout=DEADLINE) as sock:
        said = b""
        with contextlib.suppress(OSError):  # it need not hear us out
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while more := sock.recv(65536):
                said += more
        return said


# ---- health


def test_pause_of_all(make_pooler):
    scraper = scraped(pooler := make_pooler())
    assert health(scraper) == ("ok", [])
    pooler.command("pause")
    assert health(scraper) == ("paused", ["everything is paused"])
    pooler.command("resume")
    assert health(scraper) == ("ok", [])
    pooler.command("suspend")
    assert health(scraper)[0] == "paused"
    pooler.command("resume")
    assert health(scraper) == ("ok", [])


def test_one_database_alone_is_a_reason(make_pooler):
    """The others are served, so a load balancer need not turn away."""
    scraper = scraped(pooler := make_pooler())
    pooler.command("pause app")
    pooler.command("disable other")
    assert health(scraper) == ("ok", ["database app is paused", "database other is disabled"])
    pooler.command("resume app")
    pooler.command("enable other")
    assert health(scraper) == ("ok", [])


@pytest.mark.parametrize("how", ["wait_for_servers", "wait_for_clients"])
def test_draining(make_pooler, how):
    scraper = scraped(pooler := make_pooler())
    (client,) = busy(pooler, 1)
    pooler.command(f"shutdown {how}")
    wait_until(lambda: health(scraper)[0] == "draining", "the pooler to say that it ends")
    assert scraper.value("draining") == 1
    client.execute("commit")
    client.close()
    assert pooler.wait_exit() == 0


def test_no_server(make_pooler):
    """Nobody listens there; and later, when nobody asks any more, nothing is known."""
    pooler = make_pooler(databases={"gone": {"port": free_port()}}, server_login_retry=0.2)
    scraper = scraped(pooler)
    client = pooler.wire()
    client.send(wire.startup({"user": "alice", "database": "gone"}))
    status, (reason,) = wait_until(
        lambda: (said := health(scraper)) and said[1] and said, "a pool without a server"
    )
    assert status == "no server" and "gone/alice" in reason
    with_server = pooler.connect()
    with_server.execute("select 1")
    assert health(scraper)[0] == "ok" and health(scraper)[1]
    client.vanish()
    wait_until(lambda: health(scraper) == ("ok", []), "the pool to be forgotten about")


def test_a_server_that_refuses_is_there(make_pooler):
    pooler = make_pooler(userlist={"stranger": "x"})
    scraper = scraped(pooler)
    client = pooler.wire()
    client.send(wire.startup({"user": "stranger", "database": "app"}))
    client.read_until("E")
    assert health(scraper) == ("ok", [])


# ---- where it listens


def test_off_by_default(make_pooler):
    pooler = make_pooler()
    assert "prometheus_listen" not in pooler.log()
    rows = {row["key"]: row["value"] for row in pooler.show("config")}
    assert rows["prometheus_listen"] == ""


def test_a_bare_port_is_loopback(make_pooler):
    scraper = Scraper(make_pooler()).open(place=str)
    assert scraper.ask("/ready")[0] == 200
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", scraper.port), timeout=DEADLINE).close()


def test_ipv6(make_pooler):
    scraper = scraped(make_pooler(), host="::1")
    assert scraper.ask("/ready")[0] == 200


@pytest.mark.parametrize("bad", ["0", "70000", "localhost:9127", "::1:9127", "[127.0.0.1]:9127", "x"])
def test_bad_places_are_refused(make_pooler, bad):
    scraper = scraped(pooler := make_pooler())
    pooler.settings["prometheus_listen"] = bad
    pooler.write()
    with pytest.raises(Exception, match="prometheus_listen"):
        pooler.command("reload")
    assert scraper.ask("/ready")[0] == 200


def test_reload_moves_and_closes(make_pooler):
    scraper = scraped(pooler := make_pooler())
    before = scraper.port
    scraper.open()
    assert scraper.ask("/ready")[0] == 200
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", before), timeout=DEADLINE).close()
    reload(pooler, prometheus_listen="")
    with pytest.raises(OSError):
        scraper.ask("/ready")


def test_reload_while_connections_are_open(make_pooler):
    """Idle ones, half requests and answers nobody reads do not hold it up."""
    scraper = scraped(pooler := make_pooler())
    with contextlib.ExitStack() as open_ones:
        for data in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
            sock = open_ones.enter_context(
                socket.create_connection(("127.0.0.1", scraper.port), timeout=DEADLINE)
            )
            sock.sendall(data)
        scraper.open()
        assert scraper.ask("/ready")[0] == 200
    assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_a_taken_port_is_tried_again(make_pooler):
    """Clients are served meanwhile."""
    pooler = make_pooler()
    scraper = Scraper(pooler)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        scraper.port = taken.getsockname()[1]
        reload(pooler, prometheus_listen=scraper.port)
        wait_until(lambda: "trying again" in pooler.log(), "a word about the port")
        assert pooler.connect().execute("select 1").fetchone() == (1,)

    def answers():
        with contextlib.suppress(OSError):
            return scraper.ask("/ready")[0] == 200

    wait_until(answers, "the port to be taken over")


def test_in_the_file_from_the_start(make_pooler):
    for _ in range(5):
        pooler = make_pooler(prometheus_listen=(port := free_port()))
        scraper = Scraper(pooler)
        scraper.port = port
        if f"listening on 127.0.0.1 port {port}" in pooler.log():
            break
    assert scraper.ask("/ready")[0] == 200


# ---- strangers


def test_paths_and_methods(make_pooler):
    scraper = scraped(make_pooler())
    assert scraper.ask("/")[0] == 404 and scraper.ask("/metrics/")[0] == 404
    assert scraper.ask("/metrics?x=1")[0] == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = scraper.ask("/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD"), method
    for path in ("/metrics", "/health", "/ready"):
        status, headers, text = scraper.ask(path, "HEAD")
        assert (status, text) == (200, "") and int(headers["Content-Length"]) > 0
    assert scraper.ask("/metrics/database")[0] == 503


def test_keep_alive(make_pooler):
    scraper = scraped(make_pooler())
    connection = scraper.connection()
    for openmetrics in (False, True) * 3:
        connection.request("GET", "/metrics", headers={"Accept": OPENMETRICS} if openmetrics else {})
        read(connection.getresponse().read().decode(), openmetrics)
    connection.close()


@pytest.mark.parametrize(
    "data, status",
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), b""),
        (wire.startup({"user": "alice", "database": "app"}), b""),
        (b"\0" * 100000, b""),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + b"," * 4000 + b"\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: a;q=,;;=;q=9" + b";" * 99 + b"\r\n\r\n", b"200"),
    ],
    ids=["header", "path", "no host", "length", "TLS", "PostgreSQL", "zeros", "commas", "semicolons"],
)
def test_hostile_requests(make_pooler, data, status):
    scraper = scraped(pooler := make_pooler())
    said = talk(scraper, data)
    assert said == b"" if status == b"" and not said else said.startswith(b"HTTP/1.1 " + (status or b"4"))
    assert scraper.ask("/ready")[0] == 200
    assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_slow_strangers_are_cut(make_pooler):
    """More of them than connections are had: who asks properly is served when their time is over."""
    pooler = make_pooler(prometheus_timeout=1)
    scraper = scraped(pooler)
    with contextlib.ExitStack() as slow:
        for n in range(40):
            sock = slow.enter_context(
                socket.create_connection(("127.0.0.1", scraper.port), timeout=DEADLINE)
            )
            sock.sendall(b"GET /metrics HT" if n % 2 else b"")
        assert scraper.ask("/ready")[0] == 200
        assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_who_leaves_before_the_answer(make_pooler):
    scraper = scraped(pooler := make_pooler())
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", scraper.port), timeout=DEADLINE) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(scraper.families()) > 20
    assert pooler.connect("pgbouncer", ADMIN).execute("show version").fetchone()
