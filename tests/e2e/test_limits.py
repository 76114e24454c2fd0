"""Limits and time limits: what is refused, what is waited for, and what is cut off."""

import contextlib

import psycopg
import pytest

import wire
from conftest import unnoticed
from test_pooling import MY_PID, busy, pid_of
from waiting import DEADLINE, wait_until


def fatal(client):
    """The FATAL a client hears as the last thing."""
    said = client.read_all()
    fields = wire.error(said)
    assert fields["S"] == "FATAL" and len(fields["C"]) == 5
    return fields


# ---- max_client_conn


def test_max_client_conn(make_pooler, threads):
    """One too many is told so and leaves no trace; the console stays open to the administrator."""
    pooler = make_pooler(max_client_conn=3, threads=threads)
    clients = [pooler.connect() for _ in range(3)]
    fields = wire.error(pooler.wire().login("alice", "app"))
    assert fields["S"] == "FATAL" and fields["M"].startswith(
        "no more connections allowed (max_client_conn)"
    )
    assert fields["C"] in ("53300", "08P01")
    assert all(client.execute("select 1").fetchone() == (1,) for client in clients)
    clients[0].close()

    def gets_in():
        try:
            with pooler.connect() as conn:
                return conn.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(gets_in, "the place of a client that left")


# ---- waiting for a server


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_query_wait_timeout(make_pooler, threads, where):
    """Who waits too long for a server gets a FATAL; who holds the server does not notice."""
    limits = {
        "global": {"query_wait_timeout": 3},
        "database": {"databases": {"app": {"query_wait_timeout": 3}}},
        "user": {"users": {"alice": "query_wait_timeout=3"}},
    }
    pooler = make_pooler(default_pool_size=1, threads=threads, **limits[where])
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    fields = fatal(waiter)
    assert fields["M"] == "query_wait_timeout"
    assert fields["C"] in ("08P01", "53300", "57014")
    pooler.wait_waiting(0)
    assert holder.execute("select 1").fetchone() == (1,)
    holder.execute("commit")
    assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_no_query_wait_timeout_in_time(make_pooler):
    """A waiter whose turn comes before the deadline is served."""
    pooler = make_pooler(default_pool_size=1, query_wait_timeout=60)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    holder.execute("commit")
    assert wire.rows(waiter.read_until("Z")) == [["1"]]


# ---- idle limits


def test_server_idle_timeout(make_pooler, threads):
    """Servers nobody needs are closed; the next client gets a new one."""
    pooler = make_pooler(default_pool_size=5, server_idle_timeout=1, threads=threads)
    clients = busy(pooler, 5)
    assert len(pooler.server_pids()) == 5
    for client in clients[1:]:
        client.execute("commit")
    wait_until(lambda: len(pooler.server_pids()) == 1, "four idle servers to be closed")
    assert clients[0].execute("select 1").fetchone() == (1,)
    clients[0].execute("commit")
    wait_until(lambda: not pooler.server_pids(), "the last server to be closed")
    assert all(client.execute("select 1").fetchone() == (1,) for client in clients)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_client_idle_timeout(make_pooler, mode):
    """An idle client is told and closed; a busy one, however long its query, is not."""
    pooler = make_pooler(pool_mode=mode, client_idle_timeout=3)
    working = pooler.wire_login()
    working.send(wire.query("select pg_sleep(5)"))
    idle = pooler.wire_login()
    idle.query("select 1")
    assert fatal(idle)["M"] == "client_idle_timeout"
    assert wire.kinds(working.read_until("Z")) == "TDCZ"


def test_client_idle_timeout_counts_from_the_last_query(make_pooler):
    """Queries in between start the time anew."""
    pooler = make_pooler(client_idle_timeout=3)
    client, idle = pooler.wire_login(), pooler.wire_login()
    gone = []

    def idle_is_gone():
        client.values("select pg_sleep(0.1)")
        idle.sock.setblocking(False)
        try:
            gone.append(idle.sock.recv(1000))
        except BlockingIOError:
            pass
        return gone

    wait_until(idle_is_gone, "the idle client to be closed")
    assert b"client_idle_timeout" in gone[0]
    assert client.values("select 1") == [["1"]]


# ---- query_timeout: the query is cancelled, nothing else is lost


def limits_query(where):
    return {
        "global": {"query_timeout": 1},
        "user": {"users": {"alice": "query_timeout=1"}},
    }[where]


@pytest.mark.parametrize("where", ["global", "user"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_query_timeout(make_pooler, threads, mode, where):
    """57014 to the client, which stays, as does the server connection."""
    pooler = make_pooler(
        pool_mode=mode, default_pool_size=1, threads=threads, **limits_query(where)
    )
    client = pooler.connect()
    pid = pid_of(client)
    for _ in range(2):
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("select pg_sleep(60)")
        assert pid_of(client) == pid
    assert pooler.server_pids() == {pid}


def test_query_timeout_in_a_transaction(make_pooler):
    """The transaction fails as after any error, and can be rolled back and done again."""
    pooler = make_pooler(default_pool_size=1, query_timeout=1)
    client = pooler.wire_login()
    pid = client.values(MY_PID)
    client.query("begin")
    said = client.query("select pg_sleep(60)")
    assert wire.error(said)["C"] == "57014" and said[-1].body == b"E"
    assert wire.error(client.query("select 1"))["C"] == "25P02"
    assert client.query("rollback")[-1].body == b"I"
    assert client.values(MY_PID) == pid


def test_query_timeout_in_a_pipeline(make_pooler):
    """The rest of the batch is skipped, the next batch is served."""
    client = make_pooler(default_pool_size=1, query_timeout=1).wire_login()
    slow = wire.parse("select pg_sleep(60)") + wire.bind() + wire.execute()
    client.send(
        slow
        + wire.parse("select 1")
        + wire.bind()
        + wire.execute()
        + wire.SYNC
        + wire.extended("select 2")
    )
    said = client.read_until("ZZ")
    assert wire.error(said)["C"] == "57014"
    assert wire.rows(said) == [["2"]]


def test_query_timeout_of_one_of_many(make_pooler, threads):
    """Only the query that takes too long is cancelled."""
    pooler = make_pooler(default_pool_size=4, query_timeout=3, threads=threads)
    slow, *quick = [pooler.wire_login() for _ in range(4)]
    slow.send(wire.query("select pg_sleep(60)"))
    said = []

    def slow_has_ended():
        for client in quick:
            client.send(wire.query("select pg_sleep(0.05)"))
        for client in quick:
            assert wire.kinds(client.read_until("Z")) == "TDCZ"
        slow.sock.settimeout(0.01)
        try:
            said.append(slow.read())
        except TimeoutError:
            return False
        return said[-1].type == "E"

    wait_until(slow_has_ended, "the slow query to be cancelled")
    assert wire.fields(said[-1].body)["C"] == "57014"


def test_query_timeout_does_not_count_waiting_or_thinking(make_pooler):
    """Time in the queue, and a client's time between its statements, are not the query's."""
    pooler = make_pooler(default_pool_size=1, query_timeout=3)
    holder, waiter = pooler.wire_login(), pooler.wire_login()
    holder.query("begin")
    waiter.send(wire.query("select 'waited'"))
    end = holder.values("select extract(epoch from now() + interval '4 s')")[0][0]
    wait_until(
        lambda: holder.values(f"select extract(epoch from clock_timestamp()) > {end}") == [["t"]],
        "more than query_timeout to pass in the transaction",
    )
    holder.query("commit")
    assert wire.rows(waiter.read_until("Z")) == [["waited"]]


# ---- sizes


def test_wide_row_streams(make_pooler):
    """A row of 50 MB arrives whole, and is at no time held in the pooler's memory."""
    pooler = make_pooler()
    client = pooler.wire_login()
    client.values("select 1")
    before = pooler.peak_memory_kb()
    ((value,),) = client.values("select repeat('0123456789', 5000000)")
    assert len(value) == 50_000_000 and value == "0123456789" * 5_000_000
    if not pooler.is_sanitized():
        assert pooler.peak_memory_kb() - before < 10_000


def test_long_query_streams(make_pooler):
    """The same in the other direction: a statement of 30 MB."""
    pooler = make_pooler()
    client = pooler.wire_login()
    client.values("select 1")
    before = pooler.peak_memory_kb()
    assert client.values(f"select length('{'x' * 30_000_000}')") == [["30000000"]]
    if not pooler.is_sanitized():
        assert pooler.peak_memory_kb() - before < 10_000


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_big_copy(make_pooler, cluster, mode):
    """Twenty megabytes in and out again, with psycopg."""
    pooler = make_pooler(pool_mode=mode)
    cluster.make_table("big", "a int, b text")
    block = b"".join(b"%d\t%s\n" % (n, b"x" * 90) for n in range(10_000))
    with pooler.connect() as conn:
        with conn.cursor().copy("copy big from stdin") as copy:
            for _ in range(20):
                copy.write(block)
        assert conn.execute("select count(*), sum(a) from big").fetchone() == (
            200_000,
            20 * 49_995_000,
        )
        with conn.cursor().copy("copy big to stdout") as copy:
            assert sum(len(data) for data in copy) == 20 * len(block)
        assert conn.execute("select 1").fetchone() == (1,)


def test_reader_that_does_not_read(make_pooler):
    """A client that leaves a big answer unread stops nobody, and costs no memory."""
    pooler = make_pooler(threads=1)
    with unnoticed(pooler) as other:
        stuck = pooler.wire_login()
        before = pooler.peak_memory_kb()
        stuck.send(wire.query("select repeat('x', 1000000) from generate_series(1, 200)"))
        stuck.read()
        for n in range(200):
            assert other.execute("select %s::int", (n,)).fetchone() == (n,)
        if not pooler.is_sanitized():
            assert pooler.peak_memory_kb() - before < 10_000
        assert sum(len(v[0]) for v in wire.rows(stuck.read_until("Z"))) == 200_000_000


def test_writer_that_does_not_read(make_pooler):
    """A client that goes on asking without reading is made to wait, not stored; then it gets all."""
    pooler = make_pooler(threads=1)
    with unnoticed(pooler) as other:
        client = pooler.wire_login()
        before = pooler.peak_memory_kb()
        question = wire.query("select repeat('y', 2000) -- " + "z" * 4000)
        chunk, sent = question * 20, 0
        client.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sent < 1000 * len(chunk):
                sent += client.sock.send(chunk[sent % len(question) :])
        assert other.execute("select 1").fetchone() == (1,)
        if not pooler.is_sanitized():
            assert pooler.peak_memory_kb() - before < 10_000
        client.sock.settimeout(DEADLINE)
        whole = sent // len(question)
        for _ in range(whole):
            assert len(client.read_until("Z")[1].body) == 2006


@pytest.mark.parametrize("length", [0, 3, -1, -(2**31)])
def test_impossible_message_length(make_pooler, threads, length):
    """A length that cannot be ends this client with a word, and nobody else."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    with unnoticed(pooler):
        client = pooler.wire_login()
        client.send(b"Q" + length.to_bytes(4, "big", signed=True) + b"select 1\0")
        fields = wire.error(client.answer())
        assert (fields["S"], fields["C"]) == ("FATAL", "08P01")


def test_unknown_message(make_pooler):
    """A message type that does not exist: as PostgreSQL, FATAL and the end, for this client."""
    pooler = make_pooler(default_pool_size=1)
    with unnoticed(pooler):
        client = pooler.wire_login()
        client.send(wire.message("?", b"what") + wire.query("select 1"))
        fields = wire.error(client.answer())
        assert (fields["S"], fields["C"]) == ("FATAL", "08P01")
