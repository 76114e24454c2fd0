"""Who a client is in its session while its servers change, and the libraries that it loads."""

import pytest

import wire
from test_session_state import pins, show, wait_unpinned


def test_role(make_pooler, cluster):
    pooler = make_pooler(default_pool_size=1)
    cluster.sql("create role worker; grant worker to alice")
    try:
        conn, other = pooler.connect(), pooler.connect()
        conn.execute("set role worker")
        conn.execute("set work_mem = '5MB'")
        assert other.execute("select current_user").fetchone() == ("alice",)
        assert show(other, "work_mem") == "4MB"
        assert conn.execute("select current_user").fetchone() == ("worker",)
        assert show(conn, "work_mem") == "5MB"
        conn.execute("reset all")
        assert other.execute("select current_user").fetchone() == ("alice",)
        assert conn.execute("select current_user").fetchone() == ("worker",)
        conn.execute("set role none")
        assert conn.execute("select current_user").fetchone() == ("alice",)
    finally:
        pooler.stop()
        cluster.sql("revoke worker from alice; drop role worker")


@pytest.mark.parametrize("extended", [False, True])
def test_role_as_its_transaction_decides(make_pooler, cluster, extended):
    """SET LOCAL ROLE, one that is rolled back, one that is refused; RESET ROLE."""
    pooler = make_pooler(default_pool_size=1)
    cluster.sql("create role worker; grant worker to alice; create role boss")
    try:
        conn, other = pooler.wire_login(), pooler.wire_login()

        def run(*texts):
            for text in texts:
                conn.send(wire.extended(text) if extended else wire.query(text))
                conn.read_until("Z")

        def who():
            assert other.values("select current_user") == [["alice"]]
            return conn.values("select current_user")[0][0]

        for texts in (
            ("begin", "set local role worker", "commit"),
            ("begin", "set role worker", "rollback"),
            ("begin", "set role worker", "select 1/0", "commit"),
            ("begin", "savepoint a", "set role worker", "rollback to a", "commit"),
            ("set role boss",),
            ("set role worker", "reset role"),
            ("set role worker", "discard all"),
        ):
            run(*texts)
            assert who() == "alice", texts
        for texts in (
            ("set role worker",),
            ("begin", "set role none", "rollback"),
            ("begin", "set role none", "savepoint a", "set role worker", "release a", "commit"),
            ("set session role worker",),
        ):
            run(*texts)
            assert who() == "worker", texts
        assert not pooler.show("pins")
    finally:
        pooler.stop()
        cluster.sql("revoke worker from alice; drop role worker; drop role boss")


@pytest.fixture
def superuser(cluster):
    """Only such a one may LOAD and SET SESSION AUTHORIZATION."""
    cluster.sql("create role boss login superuser")
    yield "boss"
    cluster.sql("drop role boss")


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("end", ["discard all", "leaves", "vanishes"])
def test_session_authorization(make_pooler, superuser, end, extended):
    """It pins: its client is who it wants to be, and nobody else is."""
    pooler = make_pooler(default_pool_size=2, userlist={superuser: ""})
    conn, other = (pooler.wire_login(user=superuser) for _ in range(2))
    text = "set session authorization alice"
    if extended:
        conn.send(wire.extended(text))
        assert "E" not in wire.kinds(conn.read_until("Z"))
    else:
        conn.query(text)
    who = "select session_user, current_user"
    for _ in range(3):
        assert other.values(who) == [[superuser, superuser]]
        assert conn.values(who) == [["alice", "alice"]]
    assert pins(pooler) == ["session_authorization"]
    if end == "discard all":
        conn.query(end)
        assert conn.values(who) == [[superuser, superuser]]
    elif end == "leaves":
        conn.close()
    else:
        conn.vanish()
    wait_unpinned(pooler)
    crowd = [pooler.wire_login(user=superuser) for _ in range(2)]
    for client in crowd:
        client.query("begin")
    for client in crowd:
        assert client.values(who) == [[superuser, superuser]]


def test_session_authorization_that_never_was(make_pooler, superuser):
    """Rolled back, LOCAL, or refused: no pin is left, and nobody is another."""
    pooler = make_pooler(default_pool_size=2, userlist={superuser: ""})
    conn, other = (pooler.wire_login(user=superuser) for _ in range(2))
    for text in (
        "begin; set session authorization alice; rollback",
        "begin; set local session authorization alice; commit",
        "set session authorization nobody_of_this_name",
    ):
        conn.query(text)
        for client in (other, conn):
            assert client.values("select session_user") == [[superuser]], text
    wait_unpinned(pooler)


def test_load(make_pooler, superuser, cluster):
    """A library stays for the life of its server: that is its client's own until it leaves, and
    what was loaded is nobody else's while it is there."""
    pooler = make_pooler(default_pool_size=2, userlist={superuser: ""})
    conn, other = (pooler.wire_login(user=superuser) for _ in range(2))
    set_ = "select count(*) from pg_settings where name = 'auto_explain.log_nested_statements'"
    conn.query("load 'auto_explain'")
    assert pins(pooler) == ["load"]
    for _ in range(3):
        assert other.values(set_) == [["0"]]
        assert conn.values(set_) == [["1"]]
    conn.query("discard all")
    conn.values("select 1")
    assert pins(pooler) == ["load"]
    conn.close()
    wait_unpinned(pooler)
    assert other.values("select 1") == [["1"]]
