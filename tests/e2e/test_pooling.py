"""Sharing: who gets which server connection, when, and in what state."""

import socket
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import wire
from waiting import wait_until

MY_PID = "select pg_backend_pid()"


def pid_of(conn):
    return conn.execute(MY_PID).fetchone()[0]


def busy(pooler, count, **more):
    """`count` clients, each inside a transaction, each therefore with a server of its own."""
    clients = [pooler.connect(**more) for _ in range(count)]
    for client in clients:
        client.execute("begin")
    return clients


# ---- session pooling


def test_session_keeps_its_server(make_pooler):
    """One server per client until it leaves; then the next one gets the same, as if it were new."""
    pooler = make_pooler(pool_mode="session", default_pool_size=2)
    first, second = pooler.connect(), pooler.connect()
    pids = {pid_of(first), pid_of(second)}
    assert len(pids) == 2
    assert {pid_of(first) for _ in range(3)} | {pid_of(second) for _ in range(3)} == pids
    mine = pid_of(first)
    first.execute("set work_mem = '7MB'; create temp table mine(); select pg_advisory_lock(1)")
    first.close()
    third = pooler.connect()
    assert pid_of(third) == mine
    assert third.execute("show work_mem").fetchone() != ("7MB",)
    assert third.execute("select to_regclass('mine')").fetchone() == (None,)
    assert third.execute(
        "select count(*) from pg_locks where locktype = 'advisory'"
    ).fetchone() == (0,)


def test_session_prepared_statements(make_pooler):
    pooler = make_pooler(pool_mode="session")
    with pooler.connect(prepare_threshold=0) as conn:
        for n in range(20):
            assert conn.execute("select %s::int * 2", (n,)).fetchone() == (2 * n,)
        assert conn.execute("select count(*) > 0 from pg_prepared_statements").fetchone() == (True,)


def test_notifications(make_pooler):
    """A client that listens hears of it while it is idle."""
    pooler = make_pooler(pool_mode="session")
    listener = pooler.wire_login()
    listener.query("listen news")
    for number in range(3):
        pooler.connect().execute(f"notify news, 'number {number}'")
        heard = listener.read()
        assert heard.type == "A" and f"number {number}".encode() in heard.body
    assert listener.values("select 1") == [["1"]]


def test_notification_for_an_idle_server(make_pooler, cluster):
    """A client left a LISTEN behind: what its server hears later is for nobody."""
    pooler = make_pooler(default_pool_size=1, session_state="ignore")
    careless, other = pooler.wire_login(), pooler.wire_login()
    careless.query("listen news")
    pid = other.values(MY_PID)
    for number in range(3):
        cluster.sql(f"notify news, '{number}'", "app")
        assert wire.kinds(other.query("select 1")).replace("A", "") == "TDCZ"
    assert other.values(MY_PID) == pid, "the idle server was thrown away"


def test_parameter_changed_at_the_server(make_pooler, cluster):
    """A reload of PostgreSQL changes what a client hears at its next query, not who serves it."""
    pooler = make_pooler(pool_mode="session")
    client = pooler.wire_login()
    pid = client.values(MY_PID)
    try:
        cluster.sql("alter system set intervalstyle to 'sql_standard'")
        cluster.sql("select pg_reload_conf()")
        wait_until(
            lambda: client.values("show intervalstyle") == [["sql_standard"]], "the new setting"
        )
        assert client.parameters["IntervalStyle"] == "sql_standard"
    finally:
        cluster.sql("alter system reset intervalstyle")
        cluster.sql("select pg_reload_conf()")
    wait_until(lambda: client.values("show intervalstyle") == [["postgres"]], "the old setting")
    assert client.parameters["IntervalStyle"] == "postgres"
    assert client.values(MY_PID) == pid


# ---- transaction pooling


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_terminate_behind_a_query(make_pooler, cluster, mode):
    """What was sent before Terminate is done, as PostgreSQL does it, though nobody hears of it."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1)
    cluster.make_table("done", "n int")
    for number in range(5):
        client = pooler.wire_login()
        insert = f"insert into done values ({number})"
        client.send(wire.query(insert) + wire.extended(insert) + wire.TERMINATE)
        client.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: cluster.sql("select count(*) from done", "app") == [(10,)], "ten rows")


def test_transactions_share_one_server(make_pooler, threads):
    """Two clients in turn over one server; within a transaction nobody else gets in between."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    clients = [pooler.connect() for _ in range(8)]
    pids = {pid_of(client) for client in clients * 3}
    assert len(pids) == 1
    with clients[0].transaction():
        assert pid_of(clients[0]) in pids
        with ThreadPoolExecutor(1) as other:
            answer = other.submit(pid_of, clients[1])
            pooler.wait_waiting(1)
            assert pid_of(clients[0]) in pids and not answer.done()
            clients[0].execute("commit")
            assert answer.result() in pids
        clients[0].execute("begin")


def test_transactions_run_side_by_side(make_pooler, threads):
    """A pool of three really serves three at a time, each on a server of its own."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    clients = busy(pooler, 3)
    pids = [pid_of(client) for client in clients]
    assert len(set(pids)) == 3
    assert [pid_of(client) for client in clients] == pids
    assert pooler.pool()["sv_active"] == 3


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_pool_size_is_never_exceeded(make_pooler, cluster, threads, mode):
    """Forty clients at once over three servers, watched from PostgreSQL's side."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=3, threads=threads)
    cluster.make_table("seen", "n int")
    # Each statement counts, in the server itself, how many of us there are.
    count = "insert into seen select count(*) from pg_stat_activity where usename = 'alice'"

    def work(_):
        with pooler.connect() as conn:
            for _ in range(5):
                conn.execute(count)

    with ThreadPoolExecutor(40) as crowd:
        list(crowd.map(work, range(40)))
    ((most, total),) = cluster.sql("select max(n), count(*) from seen", "app")
    assert total == 200
    assert most <= 3
    assert len(pooler.server_pids()) <= 3


def test_queue_is_first_come_first_served(make_pooler, cluster, threads):
    """Whatever loops they live on: the oldest waiter is the next to be served."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    cluster.make_table("turns", "turn serial, who int")
    waiters = [pooler.wire_login() for _ in range(12)]
    holder = busy(pooler, 1)[0]
    for number, waiter in enumerate(waiters):
        waiter.send(wire.query(f"insert into turns(who) values ({number})"))
        pooler.wait_waiting(number + 1)
    holder.execute("commit")
    for waiter in waiters:
        assert "E" not in wire.kinds(waiter.read_until("Z"))
    assert cluster.sql("select array_agg(who order by turn) from turns", "app") == [
        (list(range(12)),)
    ]


def test_waiter_that_leaves_is_forgotten(make_pooler, threads):
    pooler = make_pooler(default_pool_size=1, threads=threads)
    holder = busy(pooler, 1)[0]
    leaver, stayer = pooler.wire_login(), pooler.wire_login()
    leaver.send(wire.query("select 'never'"))
    pooler.wait_waiting(1)
    stayer.send(wire.query("select 'served'"))
    pooler.wait_waiting(2)
    leaver.vanish()
    pooler.wait_waiting(1)
    holder.execute("commit")
    assert wire.rows(stayer.read_until("Z")) == [["served"]]


def test_pools_are_independent(make_pooler):
    """A pool that is full makes neither another database nor another user wait."""
    pooler = make_pooler(default_pool_size=1)
    busy(pooler, 1)
    assert pooler.connect("other", "alice").execute("select 1").fetchone() == (1,)
    assert pooler.connect("app", "bob").execute("select 1").fetchone() == (1,)


def test_size_and_mode_by_database_and_user(make_pooler):
    """[users] wins over [databases], which wins over the global setting."""
    pooler = make_pooler(
        default_pool_size=1,
        databases={"other": {"pool_size": 2, "pool_mode": "session"}},
        users={"bob": "pool_mode=transaction"},
    )
    two = [pooler.connect("other") for _ in range(2)]
    assert len({pid_of(conn) for conn in two}) == 2
    assert pooler.pool("other")["pool_mode"] == "session"
    assert pooler.pool("other")["cl_active"] == 2
    bobs = [pooler.connect("other", "bob") for _ in range(3)]
    assert len({pid_of(conn) for conn in bobs}) <= 2  # in session mode the third would wait
    assert pooler.pool("other", "bob")["pool_mode"] == "transaction"


# ---- what belongs to the client stays with the client

TRACKED = {
    "client_encoding": ["LATIN1", "UTF8"],
    "DateStyle": ["German, DMY", "ISO, YMD"],
    "TimeZone": ["Asia/Tokyo", "America/Lima"],
    "standard_conforming_strings": ["off", "on"],
    "application_name": ["first", "second"],
}


@pytest.mark.parametrize("how", ["startup", "set"])
@pytest.mark.parametrize("name", TRACKED)
def test_tracked_parameter(make_pooler, threads, name, how):
    """Two clients with different values over one server: each keeps its own."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    clients = []
    for value in TRACKED[name]:
        client = pooler.wire_login(**({name: value} if how == "startup" else {}))
        if how == "set":
            assert "E" not in wire.kinds(
                client.query(f"set {name} to {_quoted_value(name, value)}")
            )
        clients.append(client)
    default = pooler.wire_login()
    unset = default.values(f"show {name}")
    for _ in range(3):
        for client, value in zip(clients, TRACKED[name]):
            assert client.values(f"show {name}") == [[value]]
            assert client.parameters[name] == value
        assert default.values(f"show {name}") == unset
    assert len(pooler.server_pids()) == 1


def _quoted_value(name, value):
    return value if name == "DateStyle" else f"'{value}'"


def test_tracked_parameter_set_in_a_transaction(make_pooler):
    """What is rolled back was never set; what is committed stays, for this client."""
    pooler = make_pooler(default_pool_size=1)
    one, two = pooler.wire_login(), pooler.wire_login()
    zone = two.values("show timezone")
    one.query("begin; set timezone to 'Asia/Tokyo'")
    one.query("rollback")
    assert one.values("show timezone") == zone
    one.query("begin; set timezone to 'Asia/Tokyo'; commit")
    assert two.values("show timezone") == zone
    assert one.values("show timezone") == [["Asia/Tokyo"]]


def test_tracked_parameters_cannot_inject(make_pooler):
    """A hostile value is a value, never SQL; a wrong one costs nobody else anything."""
    pooler = make_pooler(default_pool_size=1, query_wait_timeout=5)
    hostile = "x'; create table injected(); --"
    client = pooler.wire_login(application_name=hostile)
    assert client.values("show application_name") == [[hostile]]
    assert client.values("select to_regclass('injected')") == [[None]]
    other = pooler.connect()
    assert other.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.Error):
        pooler.connect(options="-c enable_seqscan=off").execute("select 1")
    bad = pooler.wire()
    said = bad.login("alice", "app", TimeZone="No/Where")
    if said[-1].type == "Z":
        bad.send(wire.query("select 1"))
        said = bad.answer()
    assert len(wire.error(said)["C"]) == 5
    assert other.execute("select 1").fetchone() == (1,)


def test_crowd_over_few_servers(make_pooler, threads):
    """A hundred and fifty clients, four servers, every one gets its turns and its own answers."""
    pooler = make_pooler(default_pool_size=4, max_client_conn=200, threads=threads)
    clients = [pooler.wire_login() for _ in range(150)]
    for turn in range(4):
        for number, client in enumerate(clients):
            client.send(wire.query(f"select {number}, {turn}"))
        for number, client in enumerate(clients):
            assert wire.rows(client.read_until("Z")) == [[str(number), str(turn)]]
    assert len(pooler.server_pids()) <= 4


def test_clients_that_come_and_go(make_pooler, threads):
    """Three hundred short sessions leave no client behind, and no more servers than the pool's."""
    pooler = make_pooler(default_pool_size=2, threads=threads)

    def session(number):
        with pooler.connect() as conn:
            return conn.execute("select %s::int", (number,)).fetchone()[0]

    with ThreadPoolExecutor(8) as crowd:
        assert list(crowd.map(session, range(300))) == list(range(300))
    wait_until(
        lambda: (pool := pooler.pool())["cl_active"] == 0 and pool["sv_active"] == 0,
        lambda: f"an idle pool: {pooler.pool()}",
    )
    assert 1 <= len(pooler.server_pids()) <= 2


def test_pipeline_with_psycopg(make_pooler):
    """psycopg's pipeline mode, with an error in the middle, as its documentation has it."""
    pooler = make_pooler(default_pool_size=1)
    conn = pooler.connect()
    pid = pid_of(conn)
    with pytest.raises(psycopg.errors.DivisionByZero):
        with conn.pipeline():
            for number in range(50):
                assert conn.execute("select %s::int", (number,)).fetchone() == (number,)
            conn.execute("select 1/0")
            conn.execute("select 1")
    with conn.pipeline():
        cursors = [conn.execute("select %s::int", (n,)) for n in range(300)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(300))
    assert conn.execute(MY_PID).fetchone() == (pid,)
