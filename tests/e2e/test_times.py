"""Time limits: each is kept to ten milliseconds, and servers end when they are too old.

How late the pooler is depends on the machine too, so what is held here is the best of many tries;
that no limit strikes early is held in each of them."""

import time

import psycopg
import pytest

import wire
from fake_server import FakeServer
from limits import reload
from test_pooling import busy, pid_of
from waiting import DEADLINE, wait_until

LIMIT = 0.05
GOOD_TO = 0.010


def kept(limit, attempt):
    """Calls attempt() until what it measures, in seconds, is the limit and at most 10 ms more."""
    tried = []

    def good():
        tried.append(attempt())
        assert tried[-1] >= limit, tried
        return tried[-1] <= limit + GOOD_TO

    wait_until(good, lambda: f"{limit} s, kept to 10 ms: {sorted(tried)[:10]}")


def sent(client, text):
    """Seconds from a query to the error that it brings."""
    began = time.monotonic()
    client.send(wire.query(text))
    client.read_until("E")
    return time.monotonic() - began


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_query_timeout(make_pooler, mode):
    client = make_pooler(pool_mode=mode, query_timeout=LIMIT).wire_login()

    def attempt():
        took = sent(client, "select pg_sleep(60)")
        assert client.read_until("Z")
        return took

    kept(LIMIT, attempt)


@pytest.mark.parametrize("text", ["begin; select pg_sleep(60)", "select pg_sleep(60)"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_transaction_timeout(make_pooler, mode, text):
    """Of a transaction that the server has not spoken of yet, and of a query that is one."""
    pooler = make_pooler(pool_mode=mode, transaction_timeout=LIMIT)

    def attempt():
        client = pooler.wire_login()
        return sent(client, text)

    kept(LIMIT, attempt)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_transaction_timeout_counts_transactions(make_pooler, cluster, mode):
    """Neither the time before the transaction nor that of one before it."""
    pooler = make_pooler(pool_mode=mode, transaction_timeout=1)

    def counted():
        return [row for row in pooler.show("stats") if row["database"] == "app"][0]["total_xact_time"]

    def attempt():
        """A client that has done three transactions, what they were counted as and what they took;
        None where the machine stood still in one of them."""
        client = pooler.wire_login()
        client.values("select 1")
        cluster.sql("select pg_sleep(1.2)")
        before, took = counted(), 0.0
        for _ in range(3):
            began = time.monotonic()
            try:
                client.query("begin")
                assert client.values("select pg_sleep(0.4)") == [[""]]
                assert client.query("commit")[-1].body == b"I"
            except (wire.Closed, AssertionError):
                if time.monotonic() - began < 1:
                    raise
                return None
            took += time.monotonic() - began
        return client, counted() - before, took

    client, total, took = wait_until(attempt, "three transactions")
    assert 1_200_000 <= total <= took * 1e6
    began = time.monotonic()
    assert client.query("begin")[-1].body == b"T"
    assert wire.error(client.read_until("E"))["C"] == "25P04"
    assert time.monotonic() - began >= 1


def served(pooler):
    """The pid of the server that answered; None when it took longer than a limit allows."""
    with pooler.connect() as client:
        try:
            return pid_of(client)
        except psycopg.Error:
            return None


def test_a_client_that_is_timed_out_leaves_a_clean_server(make_pooler):
    """Its query is cancelled, its transaction rolled back, its server is the next one's."""
    pooler = make_pooler(default_pool_size=1, transaction_timeout=0.1)
    for text in ("select pg_sleep(60)", "begin", "begin; select pg_sleep(60)", "begin; select 1/0"):
        client = pooler.wire_login()
        pids = wait_until(lambda: len(now := pooler.server_pids()) == 1 and now, "its server")
        client.send(wire.query(text))
        said = client.read_all()
        assert wire.errors(said)[-1]["C"] == "25P04" and said[-1].type == "E"
        assert {wait_until(lambda: served(pooler), "an answer in time")} == pids


@pytest.mark.parametrize("setting", ["idle_transaction_timeout", "transaction_timeout"])
def test_idle_in_a_transaction(make_pooler, setting):
    """Counted from the query that left it open; the clock of this test starts a little earlier."""
    pooler = make_pooler(**{setting: LIMIT})

    def attempt():
        client = pooler.wire_login()
        return sent(client, "begin")

    kept(LIMIT, attempt)


def test_client_idle_timeout(make_pooler):
    pooler = make_pooler(client_idle_timeout=LIMIT)

    def attempt():
        client = pooler.wire_login()
        began = time.monotonic()
        try:
            client.values("select 1")
        except wire.Closed:
            return float("inf")  # it was idle for too long before it asked
        client.read_until("E")
        return time.monotonic() - began

    kept(LIMIT, attempt)


def test_client_login_timeout(make_pooler):
    """From when the client is seen, which tcp_defer_accept puts off until it has said something."""
    pooler = make_pooler(client_login_timeout=LIMIT, tcp_defer_accept=0)

    def attempt():
        began = time.monotonic()
        pooler.wire().read_until("E")
        return time.monotonic() - began

    kept(LIMIT, attempt)


@pytest.mark.parametrize("setting, kind", [("query_wait_timeout", "E"), ("query_wait_notify", "N")])
def test_waiting(make_pooler, setting, kind):
    pooler = make_pooler(default_pool_size=1)
    busy(pooler, 1)
    reload(pooler, **{setting: LIMIT})  # which the pool's first login may take longer than

    def attempt():
        client = pooler.wire_login()
        began = time.monotonic()
        client.send(wire.query("select 1"))
        client.read_until(kind)
        took = time.monotonic() - began
        client.vanish()
        return took

    kept(LIMIT, attempt)


def test_server_connect_timeout(make_pooler):
    """Until the pooler hangs up on a server that accepts and says nothing."""
    # One for each try: clients of failed ones wait on, and their pools dial again.
    silent = [FakeServer() for _ in range(100)]
    tries = iter(range(100))
    try:
        pooler = make_pooler(
            server_connect_timeout=LIMIT,
            server_login_retry=15,
            max_client_conn=200,
            databases={
                f"silent{n}": {"host": "127.0.0.1", "port": server.port}
                for n, server in enumerate(silent)
            },
        )

        def attempt():
            number = next(tries)
            server = silent[number]
            began = time.monotonic()
            pooler.wire().send(wire.startup({"user": "alice", "database": f"silent{number}"}))
            wait_until(lambda: server.connections, "the pooler to connect")
            server.connections[0].settimeout(DEADLINE)
            while server.connections[0].recv(10000):
                pass
            return time.monotonic() - began

        kept(LIMIT, attempt)
    finally:
        for server in silent:
            server.close()


# ---- the ends of servers


def test_server_lifetime(make_pooler, threads):
    """Who is too old ends where it lies idle, although it was used all the time."""
    pooler = make_pooler(threads=threads, databases={"app": {"server_lifetime": 1}})
    began = time.monotonic()
    client = pooler.wire_login()  # and so does its server
    first = client.values("select pg_backend_pid()")
    wait_until(lambda: client.values("select 1") and time.monotonic() - began > 0.6, "some work")
    assert client.values("select pg_backend_pid()") == first or time.monotonic() - began >= 1
    wait_until(lambda: not pooler.server_pids(), "the server to end of age")
    assert time.monotonic() - began >= 1
    assert client.values("select pg_backend_pid()") != first


def test_server_lifetime_of_a_server_in_use(make_pooler):
    """Its transaction is not disturbed; it ends with that."""
    pooler = make_pooler(server_lifetime=0.1)
    client = pooler.wire_login()
    client.query("begin")
    pid = client.values("select pg_backend_pid()")
    client.values("select pg_sleep(0.3)")
    assert client.values("select pg_backend_pid()") == pid
    client.query("commit")
    assert client.values("select pg_backend_pid()") != pid


def test_server_lifetime_renews_the_minimum(make_pooler):
    """What min_pool_size keeps is replaced when it is too old."""
    pooler = make_pooler(min_pool_size=2, server_lifetime=0.5)
    pooler.wire_login()
    first = wait_until(lambda: len(pids := pooler.server_pids()) == 2 and pids, "two servers")
    wait_until(
        lambda: len(pids := pooler.server_pids()) == 2 and not pids & first, "two other ones"
    )


def test_server_lifetime_of_nothing(make_pooler):
    """0: each is used once; one that nobody has used yet stays."""
    pooler = make_pooler(server_lifetime=0, min_pool_size=1)
    client = pooler.wire_login()
    pids = {int(client.values("select pg_backend_pid()")[0][0]) for _ in range(5)}
    assert len(pids) == 5
    kept_one = wait_until(
        lambda: len(now := pooler.server_pids()) == 1 and not now & pids and now, "the next"
    )
    assert {pid_of(pooler.connect())} == kept_one


def test_reload_of_the_ends_of_servers(make_pooler, threads):
    """A shorter time counts for what is idle already."""
    pooler = make_pooler(threads=threads, server_idle_timeout=0, server_lifetime=3600)
    client = pooler.wire_login()
    for setting in ("server_idle_timeout", "server_lifetime"):
        client.values("select 1")
        assert len(pooler.server_pids()) == 1
        reload(pooler, **{setting: 0.05})
        wait_until(lambda: not pooler.server_pids(), f"{setting} to close it")
        reload(pooler, server_idle_timeout=0, server_lifetime=3600)


def test_cancel_wait_timeout_of_nothing(make_pooler):
    """0: no limit. A query that is cancelled late is not taken for one that cannot be cancelled."""
    pooler = make_pooler(default_pool_size=1, query_timeout=LIMIT, cancel_wait_timeout=0)
    client = pooler.wire_login()
    pid = wait_until(lambda: served(pooler), "an answer in time")
    for _ in range(5):
        said = client.query("select pg_sleep(60)")
        assert wire.kinds(said) in ("TEZ", "EZ") and wire.error(said)["C"] == "57014"
    assert pooler.server_pids() == {pid}
    client.send(wire.query("select pg_sleep(60)"))
    client.vanish()
    assert pid_of(pooler.connect(connect_timeout=int(DEADLINE))) == pid
