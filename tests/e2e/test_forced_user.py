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
    """What [users] says of a client holds for it alone; what it says of servers, for the pool."""
    pooler = make_pooler(
        users={
            "alice": "max_statement_length=100 pool_size=9 max_user_connections=9",
            "bob": "query_timeout=0.1 pool_mode=session",
            "carol": "pool_size=1 query_timeout=7 pool_mode=statement max_statement_length=50",
        },
        max_user_connections=5,
        **fixed(),
    )
    alice, bob = pooler.wire_login("fixed", "alice"), pooler.wire_login("fixed", "bob")
    long = "select 1".ljust(101)
    assert wire.error(alice.query(long))["C"] == "54000"
    assert wire.kinds(alice.query("begin")) == "CZ"  # not carol's pool_mode
    alice.query("commit")
    # bob's own: his limit, and a server that is his until he leaves
    assert bob.values(long) == [["1"]]
    assert wire.error(bob.query("select pg_sleep(60)"))["C"] == "57014"
    alice.send(wire.query("select 1"))
    pooler.wait_waiting(1, "fixed", "carol")
    bob.close()
    assert wire.rows(alice.read_until("Z")) == [["1"]]
    assert by_name(pooler, "users", "carol")["current_connections"] == 1


@pytest.mark.parametrize("reset", ["DISCARD ALL", "RESET ALL", ""])
def test_session_and_transaction_pooling_in_one_pool(make_pooler, reset):
    """Whatever a client in session pooling did to the prepared statements of the server."""
    pooler = make_pooler(
        users={"bob": "pool_mode=session"},
        default_pool_size=1,
        server_reset_query=reset or None,
        **fixed(),
    )
    if not reset:
        reload(pooler, server_reset_query="")
    alice = pooler.wire_login("fixed", "alice")
    alice.send(wire.parse("select 'named'", "s") + wire.parse("select 'unnamed'") + wire.SYNC)
    alice.read_until("Z")
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
