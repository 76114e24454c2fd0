"""The queue of a pool: notices to those in it, and a length that sheds at once."""

import time

import psycopg
import pytest

import wire
from limits import by_name, limit, refused, reload
from test_pooling import busy
from waiting import wait_until

# ---- query_wait_notify


def test_query_wait_notify(make_pooler, threads):
    """A notice after that time, once; then the answer as usual."""
    pooler = make_pooler(threads=threads, default_pool_size=1, query_wait_notify=0.3)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    began = time.monotonic()
    waiter.send(wire.query("select 1"))
    notice = waiter.read()
    assert notice.type == "N" and time.monotonic() - began >= 0.3
    fields = wire.fields(notice.body)
    assert (fields["S"], fields["C"]) == ("NOTICE", "00000")
    assert fields["M"] == (
        "No server connection available in postgres backend, client being queued"
    )
    holder.execute("commit")
    assert wire.kinds(waiter.read_until("Z")) == "TDCZ"


def test_query_wait_notify_and_timeout(make_pooler):
    """First the notice, then the error; with 0 there is only the error."""
    pooler = make_pooler(default_pool_size=1)
    busy(pooler, 1)
    for notify, kinds in ((0.1, "NE"), (0, "E")):
        reload(pooler, query_wait_notify=notify, query_wait_timeout=3)
        waiter = pooler.wire_login()
        waiter.send(wire.query("select 1"))
        said = waiter.read_all()
        assert wire.kinds(said) == kinds and wire.error(said)["M"] == "query_wait_timeout"


# ---- max_client_waiting


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_queue_limit(make_pooler, threads, where):
    """Who finds the queue full is told at once and stays; those in it are served."""
    pooler = make_pooler(
        threads=threads, default_pool_size=1, **limit(where, "max_client_waiting", 2)
    )
    holder = busy(pooler, 1)[0]
    waiters = [pooler.wire_login() for _ in range(2)]
    for waiter in waiters:
        waiter.send(wire.query("select 'waited'"))
    pooler.wait_waiting(2)
    late = pooler.wire_login()
    said = late.query("select 1")
    assert wire.kinds(said) == "EZ" and said[-1].body == b"I"
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("ERROR", "53300") and "max_client_waiting" in fields["M"]
    holder.execute("commit")
    for waiter in waiters:
        assert wire.rows(waiter.read_until("Z")) == [["waited"]]
    assert late.values("select 1") == [["1"]]


@pytest.fixture
def full(make_pooler):
    """A pooler whose only server is taken and whose queue is full; yields it and the holder."""
    pooler = make_pooler(default_pool_size=1, max_client_waiting=1)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    return pooler, holder


BATCHES = {
    "extended": (wire.extended("select 1"), "EZ"),
    "pipeline": (wire.extended("select 1") + wire.extended("select 2"), "EZEZ"),
    "two queries": (wire.query("select 1") + wire.query("select 2"), "EZEZ"),
    "query in a batch": (wire.parse("select 1") + wire.query("select 2") + wire.SYNC, "EZ"),
    "flush in a batch": (wire.parse("select 1") + wire.FLUSH + wire.SYNC, "EZ"),
    "sync": (wire.SYNC, "EZ"),
    "function call": (wire.function_call(1598), "EZ"),
    "long query": (wire.query("select '" + "x" * 300_000 + "'"), "EZ"),
    "copy data": (wire.query("copy t from stdin") + wire.copy_data(b"1\n") + wire.COPY_DONE, "EZ"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_refused_batch(full, name):
    """The whole of it is refused, in PostgreSQL's order; the next one is served."""
    pooler, holder = full
    client = pooler.wire_login()
    batch, kinds = BATCHES[name]
    client.send(batch)
    said = client.read_until("Z" * kinds.count("Z"))
    assert wire.kinds(said) == kinds
    assert {fields["C"] for fields in wire.errors(said)} == {"53300"}
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    assert client.values("select 3") == [["3"]]


def test_refused_batch_in_single_bytes(full):
    """However the bytes come."""
    pooler, _ = full
    client = pooler.wire_login(unix=True)
    client.send_split(wire.extended("select 1") + wire.query("select 2"))
    assert wire.kinds(client.read_until("ZZ")) == "EZEZ"


def test_refused_prepare_leaves_no_name(full):
    """A name that a refused batch would have given is free."""
    pooler, holder = full
    client = pooler.wire_login()
    client.send(wire.parse("select 1", "s") + wire.SYNC)
    assert wire.kinds(client.read_until("Z")) == "EZ"
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    client.send(wire.parse("select 2", "s") + wire.bind(statement="s") + wire.execute() + wire.SYNC)
    assert wire.rows(client.read_until("Z")) == [["2"]]


def test_psycopg_survives_a_refusal(full):
    """An OperationalError with its SQLSTATE, and the connection goes on."""
    pooler, holder = full
    client = pooler.connect()
    with pytest.raises(psycopg.errors.TooManyConnections):
        client.execute("select %s::int", (1,))
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    assert client.execute("select %s::int", (1,)).fetchone() == (1,)


def test_queue_limit_at_login(make_pooler):
    """Before the pool's first server there is nothing to greet with: there the refusal is FATAL."""
    pooler = make_pooler(default_pool_size=1, max_db_connections=1, max_client_waiting=1)
    busy(pooler, 1)
    first = pooler.wire()
    first.send(wire.startup({"user": "bob", "database": "app"}))
    pooler.wait_waiting(1, user="bob")
    refused(pooler.wire().login("bob", "app"), "max_client_waiting")


def test_reload_of_the_queue_limit(full):
    pooler, holder = full
    client = pooler.wire_login()
    assert wire.kinds(client.query("select 1")) == "EZ"
    reload(pooler, max_client_waiting=0)
    client.send(wire.query("select 1"))
    pooler.wait_waiting(2)
    holder.execute("commit")
    assert wire.rows(client.read_until("Z")) == [["1"]]
    assert by_name(pooler, "databases", "app")["max_client_waiting"] == 0
