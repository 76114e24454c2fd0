"""Things break: clients vanish, backends are killed, PostgreSQL goes away and comes back."""

import contextlib
import struct

import psycopg
import pytest

import wire
from conftest import unnoticed
from fake_server import FakeServer
from machine import free_port
from test_cancel import SLEEP, running, wait_running
from test_pooling import busy
from waiting import wait_until


@pytest.fixture
def ledger(cluster):
    """An empty table that alice may write to."""
    cluster.make_table("ledger", "a int")
    return lambda: cluster.sql("select array_agg(a order by a) from ledger", "app")[0][0]


def expect_clean(pooler, database="app"):
    """The next client gets a server without anybody's transaction, locks or changes."""
    with pooler.connect(database) as conn:
        assert conn.execute("select pg_current_xact_id_if_assigned() is null").fetchone() == (True,)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        locks = "locktype in ('advisory', 'transactionid') and pid = pg_backend_pid()"
        assert conn.execute(f"select count(*) from pg_locks where {locks}").fetchone() == (0,)
        assert conn.execute("show search_path").fetchone() == ('"$user", public',)


# ---- the client vanishes

# Long enough to outlast the questions of the test, short enough to end by itself soon after.
NAP = "select pg_sleep(2)"

ENDINGS = {
    "in a query": wire.query(NAP),
    "in a pipeline": wire.extended("select 1") * 3 + wire.extended(NAP) + wire.extended("select 2"),
    "before a sync": wire.parse("select 1") + wire.bind() + wire.execute(),
    "in a copy in": wire.query("copy ledger from stdin") + wire.copy_data(b"3\n"),
    "in a copy out": wire.query(
        "copy (select pg_sleep(0.01) from generate_series(1, 200)) to stdout"
    ),
    "in a header": wire.query("select 1")[:3],
    "in a query message": wire.query("select 1" + " " * 500)[:300],
    "in a long query message": b"Q" + struct.pack("!I", 200_000) + b"select 1" + b" " * 5000,
    "in a describe message": b"D" + struct.pack("!I", 200_000) + b"S" + b"x" * 5000,
    "in a bind message": wire.parse("select $1::text") + wire.bind(["x" * 90_000])[:5000],
    "in a copy data message": wire.query("copy ledger from stdin")
    + wire.copy_data(b"7\n" * 50_000)[:5000],
    "between two messages": b"",
}


@pytest.mark.parametrize("in_transaction", [False, True], ids=["plain", "transaction"])
@pytest.mark.parametrize("name", ENDINGS)
def test_client_vanishes(make_pooler, ledger, name, in_transaction):
    """Five times over a pool of two: the next client waits for nobody and finds nothing."""
    pooler = make_pooler(default_pool_size=2)
    with unnoticed(pooler):
        for number in range(5):
            client = pooler.wire_login()
            if in_transaction:
                client.query(
                    f"begin; insert into ledger values ({number}); set local search_path = secret"
                )
                client.query(f"select pg_advisory_xact_lock({number})")
            client.send(ENDINGS[name])
            client.vanish()
        expect_clean(pooler)
        assert ledger() is None
    wait_until(
        lambda: (pool := pooler.pool())["sv_active"] == 0 and pool["cl_waiting"] == 0,
        lambda: f"the pool to be at rest: {pooler.pool()}",
    )
    wait_until(lambda: len(pooler.server_pids()) <= 2, "no more than two servers")


def test_query_of_a_vanished_client_ends(make_pooler, cluster):
    """Nobody waits for its answer, so it is cancelled instead of running on."""
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    client.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    client.vanish()
    wait_until(lambda: not running(cluster), "the query to be cancelled")
    expect_clean(pooler)


def test_client_says_goodbye_in_a_transaction(make_pooler, ledger):
    """Terminate in the middle of a transaction is not a commit."""
    pooler = make_pooler(default_pool_size=1)
    for number in range(3):
        client = pooler.wire_login()
        client.query(f"begin; insert into ledger values ({number})")
        client.close()
    expect_clean(pooler)
    assert ledger() is None


def test_client_closes_only_its_sending_side(make_pooler):
    """Half-closed after a query and a Terminate: whatever it is answered, nobody hangs."""
    pooler = make_pooler(default_pool_size=1)
    with unnoticed(pooler):
        client = pooler.wire_login()
        client.send(wire.query("select 1") + wire.TERMINATE)
        client.sock.shutdown(1)
        client.read_all()


# ---- a backend dies


def test_idle_servers_terminated(make_pooler, cluster, threads):
    """Twenty idle servers are terminated, and the next twenty queries succeed."""
    pooler = make_pooler(default_pool_size=20, threads=threads)
    clients = busy(pooler, 20)
    old = pooler.server_pids()
    assert len(old) == 20
    for client in clients:
        client.execute("commit")
    cluster.terminate(old)
    for number, client in enumerate(clients):
        assert client.execute("select %s::int", (number,)).fetchone() == (number,)
    assert not old & pooler.server_pids()


def test_busy_server_terminated(make_pooler, cluster, threads):
    """Its client hears why, with PostgreSQL's SQLSTATE; the others do not notice."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    victim, *others = [pooler.wire_login() for _ in range(3)]
    for other in others:
        other.query("begin")
    victim.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    cluster.terminate(running(cluster))
    assert wire.errors(victim.answer())[0]["C"] == "57P01"
    for other in others:
        assert other.values("select 1") == [["1"]]
        assert other.query("commit")[-1].body == b"I"
    assert pooler.connect().execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_server_terminated_within_a_transaction(make_pooler, cluster, ledger, mode):
    """Between two statements: the client must not believe that its transaction lives on."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1)
    client = pooler.wire_login()
    client.query("begin; insert into ledger values (1)")
    cluster.terminate(pooler.server_pids())
    with contextlib.suppress(wire.Closed):
        client.send(wire.query("insert into ledger values (2)"))
        client.send(wire.query("commit"))
    errors = wire.errors(client.answer())
    assert errors and all(len(fields["C"]) == 5 for fields in errors)
    assert ledger() is None
    expect_clean(pooler)


def test_backend_killed(make_pooler, cluster, threads):
    """kill -9: PostgreSQL restarts itself. Who was in a query hears an error; then all is well."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    idle, working = pooler.wire_login(), pooler.wire_login()
    idle.values("select 1")
    working.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    (pid,) = running(cluster)
    cluster.crash(pid)
    assert len(wire.errors(working.answer())[0]["C"]) == 5

    def served():
        try:
            with pooler.connect() as conn:
                return conn.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(served, "service after the crash")
    assert idle.values("select 1") == [["1"]], "an idle client was lost"


# ---- PostgreSQL goes away


@contextlib.contextmanager
def server_down(cluster):
    """PostgreSQL is stopped inside, unless the test starts it; runs again afterwards."""
    cluster.stop()
    try:
        yield
    finally:
        if cluster.process.poll() is not None:
            cluster.start()


def test_clients_outlive_a_restart(make_pooler, cluster, threads):
    """Idle clients stay; what they ask while PostgreSQL is away is answered when it is back."""
    pooler = make_pooler(default_pool_size=2, threads=threads, query_wait_timeout=60)
    clients = [pooler.wire_login() for _ in range(6)]
    for client in clients:
        client.values("select 1")
    with server_down(cluster):
        for number, client in enumerate(clients):
            client.send(wire.query(f"select {number}"))
        pooler.wait_waiting(6)
        cluster.start()
        for number, client in enumerate(clients):
            assert wire.rows(client.read_until("Z")) == [[str(number)]]


def test_no_server(make_pooler, cluster):
    """Nobody listens there: an error with a SQLSTATE in good time; other databases are served."""
    pooler = make_pooler(databases={"gone": {"port": free_port(), "query_wait_timeout": 2}})
    with unnoticed(pooler):
        client = pooler.wire()
        said = client.login("alice", "gone")
        if said[-1].type == "Z":
            client.send(wire.query("select 1"))
            said = client.answer()
        assert len(wire.error(said)["C"]) == 5


NONSENSE = {
    "silence": (b"", False),
    "nothing": (b"", True),
    "garbage": (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    "zeros": (bytes(100), False),
    "negative length": (b"R\xff\xff\xff\xff\0\0\0\0", False),
    "greatest length": (b"R\x7f\xff\xff\xff\0\0\0\0", False),
    "authentication unknown": (wire.message("R", struct.pack("!I", 99)), False),
    "authentication cut short": (wire.message("R", b"\0\0"), False),
    "ready without authentication": (wire.message("Z", b"I"), False),
    "error without fields": (wire.message("E", b"\0"), True),
    "error without terminator": (wire.message("E", b"SFATAL"), True),
    "sasl without mechanisms": (wire.message("R", struct.pack("!I", 10) + b"\0"), False),
    "sasl out of order": (wire.message("R", struct.pack("!I", 12) + b"v=abc"), False),
    "key cut short": (
        wire.message("R", bytes(4)) + wire.message("K", b"\0") + wire.message("Z", b"I"),
        False,
    ),
    "parameter without value": (
        wire.message("R", bytes(4)) + wire.message("S", b"x") + wire.message("Z", b"I"),
        False,
    ),
    "ready cut short": (wire.message("R", bytes(4)) + wire.message("Z"), False),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_server_talks_nonsense(make_pooler, name):
    """It is given up and its clients hear an error, while other databases are served."""
    fake = FakeServer(*NONSENSE[name])
    pooler = make_pooler(
        databases={"fake": {"port": fake.port, "query_wait_timeout": 2}}, server_connect_timeout=1
    )
    with unnoticed(pooler):
        client = pooler.wire()
        said = client.login("alice", "fake")
        if said[-1].type == "Z":
            client.send(wire.query("select 1"))
            said = client.answer()
        assert len(wire.error(said)["C"]) == 5
    fake.close()


WELCOME = (
    wire.message("R", bytes(4))
    + wire.message("S", b"server_version\x0015.0\0")
    + wire.message("K", struct.pack("!II", 4711, 4712))
    + wire.message("Z", b"I")
)

WRONG_ANSWERS = {
    "an answer nobody asked for": wire.message("Z", b"I") * 2 + wire.message("C", b"SELECT 1\0"),
    "garbage": b"\xff" * 100,
    "negative length": b"C\xff\xff\xff\xf0" + bytes(50),
    "unknown type": wire.message("?", b"abc") + wire.message("Z", b"I"),
    "transaction state unknown": wire.message("C", b"SELECT 1\0") + wire.message("Z", b"?"),
    "ready cut short": wire.message("C", b"SELECT 1\0") + wire.message("Z"),
    "half a message": wire.message("D", b"x" * 100)[:50],
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_server_goes_mad(make_pooler, name):
    """Nonsense right behind a good greeting: others are served, nothing crashes."""
    fake = FakeServer(WELCOME + WRONG_ANSWERS[name], hang_up=True)
    pooler = make_pooler(databases={"fake": {"port": fake.port, "query_wait_timeout": 2}})
    with unnoticed(pooler):
        client = pooler.wire()
        client.login("alice", "fake")
        with contextlib.suppress(wire.Closed):
            client.send(wire.query("select 1"))
            assert wire.kinds(client.answer()).count("E") <= 1
    fake.close()


def test_server_goes_on_talking(make_pooler):
    """What PostgreSQL may say at any time may come right behind its greeting, a part of it later."""
    notice = wire.message("N", b"SNOTICE\0VNOTICE\0C00000\0Mwelcome\0\0")
    fake = FakeServer(
        WELCOME
        + wire.message("S", b"TimeZone\0UTC\0")
        + notice
        + wire.message("A", b"\0\0\0\1channel\0payload\0")
        + notice[:20]
    )
    pooler = make_pooler(databases={"fake": {"port": fake.port}})
    wait = pooler.wire()
    wait.send(wire.startup({"user": "alice", "database": "fake"}))
    wait_until(lambda: fake.greeted, "the login")
    fake.greeted[0].sendall(notice[20:])
    assert wait.read_until("Z")[-1].body == b"I"
    assert pooler.pool("fake")["sv_idle"] == 1
    fake.close()


def test_server_is_terminated_as_it_arrives(make_pooler):
    """It has logged in and says at once that it is going: nobody is refused, the next one serves."""
    terminated = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
    fake = FakeServer(WELCOME + wire.message("E", terminated), hang_up=True)
    pooler = make_pooler(databases={"fake": {"port": fake.port}})
    wait = pooler.wire()
    wait.send(wire.startup({"user": "alice", "database": "fake"}))
    wait_until(lambda: "terminating connection due to administrator" in pooler.log(), "its last words")
    fake.hang_up, fake.greeting = False, WELCOME
    assert wait.read_until("Z")[-1].body == b"I"
    fake.close()


FORK_FAILED = (
    b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0"
)


def test_server_cannot_fork(make_pooler, threads):
    """A postmaster without a process to spare says so in the way of protocol 2: nobody is refused for
    that, and who waits is served when it has one again."""
    fake = FakeServer(FORK_FAILED, hang_up=True)
    pooler = make_pooler(
        databases={"fake": {"port": fake.port}}, server_tls_sslmode="disable", threads=threads
    )
    waiting = [pooler.wire() for _ in range(3)]
    for client in waiting:
        client.send(wire.startup({"user": "alice", "database": "fake"}))
    wait_until(lambda: "failed: could not fork new process" in pooler.log(), "the login to fail")
    fake.hang_up, fake.greeting = False, WELCOME
    for client in waiting:
        assert client.read_until("Z")[-1].body == b"I"
    assert "08P01" not in pooler.log()
    fake.close()


def test_server_says_half_a_message(make_pooler):
    """And falls silent while nobody has it, behind its login or idle: its slot is not held for
    ever."""
    half = wire.message("N", b"SNOTICE\0\0")[:8]
    fake = FakeServer(WELCOME + half)
    pooler = make_pooler(
        databases={"fake": {"port": fake.port, "pool_size": 1}}, server_connect_timeout="500ms"
    )
    wait = pooler.wire()
    wait.send(wire.startup({"user": "alice", "database": "fake"}))
    wait_until(lambda: fake.greeted, "the first login")
    fake.greeting = WELCOME
    assert wait.read_until("Z")[-1].body == b"I"
    assert len(fake.connections) >= 2
    wait_until(lambda: pooler.pool("fake")["sv_idle"] == 1, "an idle server")
    fake.connections[-1].sendall(half)
    wait_until(
        lambda: (pool := pooler.pool("fake"))["sv_idle"] + pool["sv_tested"] == 0, "its end"
    )
    fake.close()


def test_refused_login_of_a_pool_with_servers(make_pooler, cluster, threads):
    """Who waits for a server that is busy gets it, although another login is refused meanwhile."""
    cluster.sql("drop role if exists locked_out; create role locked_out login")
    pooler = make_pooler(default_pool_size=2, userlist={"locked_out": "secret"}, threads=threads)
    try:
        holder, waiting, late = [pooler.wire_login(user="locked_out") for _ in range(3)]
        holder.query("begin")
        cluster.sql("alter role locked_out nologin")
        waiting.send(wire.query("select 'served'"))
        refusal = 'role "locked_out" is not permitted to log in'
        wait_until(lambda: pooler.log().count(refusal) >= 2, "two refused logins")
        late.send(wire.query("select 'late'"))
        pooler.wait_waiting(2, user="locked_out")
        holder.query("commit")
        assert wire.rows(waiting.read_until("Z")) == [["served"]]
        assert wire.rows(late.read_until("Z")) == [["late"]]
    finally:
        pooler.stop()
        wait_until(lambda: not cluster.backends("usename = 'locked_out'"), "its servers to end")
        cluster.sql("drop role locked_out")


def test_server_falls_silent(make_pooler, cluster):
    """It logs in and never says another word, nor to a cancel: its client may leave, the pool is
    not blocked for ever, and the pooler can be stopped."""
    fake = FakeServer(WELCOME)
    pooler = make_pooler(
        databases={"fake": {"port": fake.port, "pool_size": 1}},
        query_wait_timeout=5,
        server_connect_timeout=1,
        cancel_wait_timeout=1,
    )
    with unnoticed(pooler):
        client = pooler.wire_login("fake")
        client.send(wire.query("select 1"))
        wait_until(lambda: pooler.pool("fake")["sv_active"] == 1, "the query to be sent")
        client.vanish()
        wait_until(
            lambda: (pool := pooler.pool("fake"))["sv_active"] + pool["sv_being_canceled"] == 0,
            lambda: f"the silent server to be given up: {pooler.pool('fake')}",
        )
    pooler.stop()
    fake.close()
