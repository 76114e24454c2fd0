"""A user that a database forces on its servers (user= in [databases]): one pool for all clients."""

import pytest

import wire
from limits import by_name, reload
from test_pooling import busy
from waiting import wait_until

WHO = "select current_user, session_user"


def fixed(**more):
    return {"databases": {"fixed": {"dbname": "app", "user": "carol", **more}}}


def pools(pooler):
    return {(r["database"], r["user"]) for r in pooler.show("pools") if r["database"] == "fixed"}


def test_one_pool_for_all(make_pooler, threads):
    """Its size holds for all its clients together, in the order in which they came."""
    pooler = make_pooler(threads=threads, default_pool_size=1, **fixed())
    clients = [pooler.wire_login("fixed", user) for user in ("alice", "bob", "carol")]
    for client in clients:
        assert client.values(WHO) == [["carol", "carol"]]
    assert pools(pooler) == {("fixed", "carol")}
    assert len(pooler.server_pids("app", "carol")) == 1
    assert pooler.pool("fixed", "carol")["cl_active"] == 3
    clients[0].query("begin")
    for count, client in enumerate(clients[1:], 1):
        client.send(wire.query("select 'served'"))
        pooler.wait_waiting(count, "fixed", "carol")
    clients[0].query("commit")
    for client in clients[1:]:
        assert wire.rows(client.read_until("Z")) == [["served"]]


def test_shown_under_its_own_name(make_pooler):
    """A client is shown as who it is, a server as who it logged in as."""
    pooler = make_pooler(**fixed())
    client = pooler.connect("fixed", "alice")
    client.execute("begin")
    (shown,) = [c for c in pooler.show("clients") if c["database"] == "fixed"]
    assert (shown["user"], shown["state"]) == ("alice", "active")
    (shown,) = [s for s in pooler.show("servers") if s["database"] == "fixed"]
    assert (shown["user"], shown["state"]) == ("carol", "active")


def test_password(make_pooler):
    """The password of the line is the forced user's alone."""
    pooler = make_pooler(**fixed(password="carol-secret"))
    assert pooler.wire_login("fixed").values(WHO) == [["carol", "carol"]]


def test_limits_of_the_client_and_of_the_pool(make_pooler):
    """What [users] says of the forced user holds for the servers and their time, as in PgBouncer;
    what it says of a client, for that client's own acts."""
    pooler = make_pooler(
        users={
            "alice": "max_statement_length=100 pool_size=9 max_user_connections=9 query_timeout=77",
            "bob": "pool_mode=session transaction_timeout=0.01 client_idle_timeout=0.01",
            "carol": "pool_size=1 pool_mode=transaction max_statement_length=50",
        },
        pool_mode="session",
        max_user_connections=5,
        **fixed(),
    )
    alice, bob = pooler.wire_login("fixed", "alice"), pooler.wire_login("fixed", "bob")
    long = "select 1".ljust(101)
    assert wire.error(alice.query(long))["C"] == "54000"
    # bob's server is his for a transaction alone, and there is one
    assert bob.values(long) == [["1"]]
    bob.query("begin")
    alice.send(wire.query("select 1"))
    pooler.wait_waiting(1, "fixed", "carol")
    bob.query("commit")
    assert wire.rows(alice.read_until("Z")) == [["1"]]
    assert bob.values("select 2") == [["2"]]
    assert by_name(pooler, "users", "carol")["current_connections"] == 1
    pooler.users["carol"] += " query_timeout=0.1"
    reload(pooler)
    assert wire.error(alice.query("select pg_sleep(60)"))["C"] == "57014"


@pytest.mark.parametrize(
    "key, code",
    [
        ("client_idle_timeout", "57P05"),
        ("idle_transaction_timeout", "25P03"),
        ("transaction_timeout", "25P04"),
    ],
)
def test_times_of_the_forced_user(make_pooler, key, code):
    pooler = make_pooler(users={"alice": f"{key}=0", "carol": f"{key}=0.05"}, **fixed())
    client = pooler.wire_login("fixed", "alice")
    if key != "client_idle_timeout":
        client.send(wire.query("begin"))
    said = client.read_until("E")
    assert wire.fields(said[-1].body)["C"] == code


def test_wait_of_the_client(make_pooler):
    """How long it waits for a server is its own affair."""
    users = {"alice": "query_wait_timeout=0.05", "carol": "query_wait_timeout=77"}
    pooler = make_pooler(users=users, default_pool_size=1, **fixed())
    holder, client = pooler.wire_login("fixed", "bob"), pooler.wire_login("fixed", "alice")
    holder.query("begin")
    client.send(wire.query("select 1"))
    assert wire.fields(client.read_until("E")[-1].body)["M"] == "query_wait_timeout"


@pytest.mark.parametrize("reset", ["DISCARD ALL", "RESET ALL", ""])
def test_session_and_transaction_pooling_in_one_pool(make_pooler, reset):
    """Whatever a client in session pooling did to the prepared statements of the server. A reload
    changes the mode for those who come then."""
    pooler = make_pooler(
        default_pool_size=1,
        server_reset_query=reset or None,
        **fixed(),
    )
    if not reset:
        reload(pooler, server_reset_query="")
    alice = pooler.wire_login("fixed", "alice")
    alice.send(wire.parse("select 'named'", "s") + wire.parse("select 'unnamed'") + wire.SYNC)
    alice.read_until("Z")
    pooler.users = {"carol": "pool_mode=session"}
    reload(pooler)
    run = wire.bind(statement="s") + wire.execute() + wire.bind() + wire.execute() + wire.SYNC
    for text in ("deallocate all", "select 1"):
        bob = pooler.wire_login("fixed", "bob")
        bob.query(text)
        bob.send(wire.extended("select 'of bob'"))
        assert wire.rows(bob.read_until("Z")) == [["of bob"]]
        bob.close()
        alice.send(run)
        assert wire.rows(alice.read_until("Z")) == [["named"], ["unnamed"]]


def test_reload_of_the_user(make_pooler, threads):
    """Clients that are there go on as the new user, each at its next transaction."""
    pooler = make_pooler(threads=threads, default_pool_size=2, **fixed())
    idle, working = (pooler.wire_login("fixed", user) for user in ("alice", "bob"))
    idle.query("set work_mem = '77MB'")
    working.query("begin")
    assert working.values(WHO) == [["carol", "carol"]]
    pooler.databases["fixed"]["user"] = "bob"
    reload(pooler)
    assert idle.values(WHO) == [["bob", "bob"]]
    assert idle.values("show work_mem") == [["77MB"]]
    assert working.values(WHO) == [["carol", "carol"]]
    working.query("commit")
    assert working.values(WHO) == [["bob", "bob"]]
    wait_until(lambda: not pooler.server_pids("app", "carol"), "the old user's servers to end")
    assert pooler.pool("fixed", "carol")["cl_active"] == 0
    assert pooler.pool("fixed", "bob")["cl_active"] == 2
    # and without one, as themselves
    pooler.databases["fixed"]["user"] = None
    reload(pooler)
    assert idle.values(WHO) == [["alice", "alice"]]
    assert working.values(WHO) == [["bob", "bob"]]
    assert idle.values("show work_mem") == [["77MB"]]


def test_reload_of_the_user_while_a_client_waits(make_pooler):
    """It is served by the pool whose queue it stands in, and by the new one then."""
    pooler = make_pooler(default_pool_size=1, **fixed())
    holder = busy(pooler, 1, dbname="fixed")[0]
    waiter = pooler.wire_login("fixed", "bob")
    waiter.send(wire.query(WHO))
    pooler.wait_waiting(1, "fixed", "carol")
    pooler.databases["fixed"]["user"] = "bob"
    reload(pooler)
    holder.execute("commit")
    assert wire.rows(waiter.read_until("Z")) == [["carol", "carol"]]
    assert waiter.values(WHO) == [["bob", "bob"]]
