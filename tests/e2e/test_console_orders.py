"""What the console does to pools and clients: DISABLE, KILL, RECONNECT, SET, SUSPEND, WAIT_CLOSE …

PAUSE, RESUME and SHUTDOWN are in test_console.py; what a load notices of it in test_failover.py."""

import psycopg
import pytest

import wire
from pooler import ADMIN
from test_console import Command, console_wire
from test_pooling import busy, pid_of
from waiting import wait_until


def refusal(pooler, command):
    """What the console says to a command that it refuses."""
    return wire.error(console_wire(pooler).query(command))


def setting(pooler, key):
    (row,) = [r for r in pooler.show("config") if r["key"] == key]
    return row["value"]


# ---- what an order is given for


@pytest.mark.parametrize("verb", ["pause", "kill", "reconnect", "disable", "enable", "wait_close"])
def test_words_of_refusals(make_pooler, verb):
    """PgBouncer's own words, for scripts that look at them."""
    pooler = make_pooler()
    said = "wait in" if verb == "wait_close" else verb
    assert refusal(pooler, f"{verb} nowhere")["M"] == "no such database: nowhere"
    assert refusal(pooler, f"{verb} pgbouncer")["M"] == f"cannot {said} admin db: pgbouncer"
    assert refusal(pooler, f"{verb} perfkit")["M"] == f"cannot {said} admin db: perfkit"


def test_more_words_of_refusals(make_pooler):
    pooler = make_pooler()
    console = console_wire(pooler)
    for command, text in (
        ("resume", "pooler is not paused"),
        ("resume app", "database app is not paused"),
        ("resume nowhere", "no such database: nowhere"),
        ("resume pgbouncer", "database pgbouncer is not paused"),
        ("disable", "a database is required"),
        ("enable", "a database is required"),
        ("kill_client", "invalid client pointer supplied"),
        ("kill_client x", "invalid client pointer supplied"),
        ("kill_client 999999", "client not found"),
        ("kill_client 0x10", "client not found"),
        ("shutdown soon", "invalid command 'shutdown soon', use SHOW HELP;"),
    ):
        assert wire.error(console.query(command))["M"] == text
    assert wire.kinds(console.query("pause")) == "CZ"
    assert wire.error(console.query("pause"))["M"] == "already paused"
    assert wire.error(console.query("pause app"))["M"] == "already paused"
    assert wire.error(console.query("suspend"))["M"] == "already paused"
    assert wire.kinds(console.query("resume")) == "CZ"
    # a database without a pool can be paused like others
    assert wire.kinds(console.query("pause other")) == "CZ"
    said = wire.error(console.query("suspend"))["M"]
    assert said == "cannot suspend with paused databases"
    assert wire.kinds(console.query("resume other")) == "CZ"


def test_quoted_names(make_pooler):
    """A name with blanks and quotes in it is one word."""
    pooler = make_pooler(databases={'"my ""db"""': {"dbname": "app"}})
    console = console_wire(pooler)
    assert wire.error(console.query('disable "my db"'))["M"] == "no such database: my db"
    assert wire.kinds(console.query('disable "my ""db""";')) == "CZ"
    rows = {row["name"]: row["disabled"] for row in pooler.show("databases")}
    assert (rows['my "db"'], rows["app"]) == (1, 0)


# ---- DISABLE and ENABLE


def test_disable(make_pooler, threads):
    """Nobody new gets in; who is there goes on."""
    pooler = make_pooler(threads=threads)
    client = pooler.connect()
    pooler.command("disable app")
    with pytest.raises(psycopg.OperationalError, match='database "app" is disabled'):
        pooler.connect()
    assert pooler.connect("other").execute("select 1").fetchone() == (1,)
    assert client.execute("select 2").fetchone() == (2,)
    assert {r["name"]: r["disabled"] for r in pooler.show("databases")}["app"] == 1
    pooler.command("reload")
    with pytest.raises(psycopg.OperationalError, match="is disabled"):
        pooler.connect()
    pooler.command("enable app")
    assert pooler.connect().execute("select 3").fetchone() == (3,)
    assert {r["name"]: r["disabled"] for r in pooler.show("databases")}["app"] == 0


# ---- KILL


@pytest.mark.parametrize("name", ["kill app", "kill"])
def test_kill(make_pooler, threads, name):
    """Every client and server connection of the database goes, whatever it does; those who come
    later wait for RESUME. The other database is only concerned when all are."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    other = pooler.wire_login("other")
    other.values("select 1")
    idle, running, waiting = (pooler.wire_login() for _ in range(3))
    idle.values("select 1")
    running.query("begin")
    running.send(wire.query("select pg_sleep(600)"))
    # A cancel that comes before its query has begun is forgotten by PostgreSQL.
    wait_until(
        lambda: pooler.cluster.backends("query like '%pg_sleep(600)' and state = 'active'"),
        "the query to begin",
    )
    waiting.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    assert wire.kinds(console_wire(pooler).query(name)) == "CZ"
    for client in (idle, running, waiting):
        assert wire.error(client.read_all())["M"] == "database removed"
    wait_until(lambda: not pooler.server_pids(), "its server connections to be closed")
    late = pooler.wire_login()
    late.send(wire.query("select 'late'"))
    pooler.wait_waiting(1)
    assert not pooler.server_pids()
    if name == "kill":
        assert wire.error(other.read_all())["M"] == "database removed"
    else:
        assert other.values("select 2") == [["2"]]
    pooler.command("resume" if name == "kill" else "resume app")
    assert wire.rows(late.read_until("Z")) == [["late"]]


@pytest.mark.parametrize("column", ["id", "ptr"])
def test_kill_client(make_pooler, threads, column):
    """One client, by the id or the ptr of SHOW CLIENTS; what it did is undone, others stay."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    victim = pooler.wire_login(application_name="victim")
    other = pooler.wire_login()
    victim.query("begin")
    victim.query("create temporary table gone on commit drop as select 1")
    (row,) = [r for r in pooler.show("clients") if r["application_name"] == "victim"]
    pooler.command(f"kill_client {row[column]}")
    assert wire.error(victim.read_all())["M"] == "admin forced disconnect"
    assert other.values("select to_regclass('gone')::text") == [[None]]
    assert "victim" not in {r["application_name"] for r in pooler.show("clients")}


def test_kill_client_of_the_console(make_pooler):
    """An administrator may end another one, and himself."""
    pooler = make_pooler()
    first, second = console_wire(pooler), console_wire(pooler)
    ids = {r["port"]: r["id"] for r in pooler.show("clients")}
    one, two = (ids[client.sock.getsockname()[1]] for client in (first, second))
    second.send(wire.query(f"kill_client {one}"))
    assert wire.kinds(second.answer()) == "CZ"
    assert wire.error(first.read_all())["M"] == "admin forced disconnect"
    assert refusal(pooler, f"kill_client {one}")["M"] == "client not found"
    second.send(wire.query(f"kill_client {two}"))
    assert wire.error(second.read_all())["M"] == "admin forced disconnect"
    assert pooler.show("version")


# ---- RECONNECT and WAIT_CLOSE


@pytest.mark.parametrize("name", ["", " app"])
def test_reconnect(make_pooler, threads, name):
    """An idle server goes at once, a busy one when it is free; WAIT_CLOSE waits for that."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    holder = busy(pooler, 1)[0]
    old = pid_of(holder)
    pooler.command(f"reconnect{name}")
    wait = Command(pooler, f"wait_close{name}")
    (server,) = [r for r in pooler.show("servers") if r["database"] == "app"]
    assert (server["remote_pid"], server["close_needed"]) == (old, 1)
    assert pid_of(holder) == old and wait.said is None
    holder.execute("commit")
    assert wait.answer() == "CZ"
    new = pid_of(holder)
    assert new != old
    wait_until(lambda: pooler.server_pids() == {new}, "the old server to end")
    (server,) = [r for r in pooler.show("servers") if r["database"] == "app"]
    assert server["close_needed"] == 0
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "the new server to be idle")
    pooler.command("reconnect")
    wait_until(lambda: new not in pooler.server_pids(), "the idle server to be closed")


def test_wait_close_has_nothing_to_wait_for(make_pooler, threads):
    pooler = make_pooler(threads=threads)
    holder = busy(pooler, 1)[0]
    console = console_wire(pooler)
    assert wire.kinds(console.query("wait_close")) == "CZ"
    console.query("reconnect app")
    assert wire.kinds(console.query("wait_close other")) == "CZ"
    holder.execute("commit")


def test_reconnect_with_fast_close(make_pooler, threads):
    """In session pooling the client goes too, at the end of its transaction."""
    pooler = make_pooler(pool_mode="session", server_fast_close=1, threads=threads)
    outside, inside = pooler.wire_login(), pooler.wire_login()
    outside.values("select 1")
    inside.query("begin")
    pooler.command("reconnect app")
    assert wire.error(outside.read_all())["M"] == "database configuration changed"
    assert inside.values("select 1") == [["1"]]
    inside.send(wire.query("commit"))
    said = inside.read_all()
    assert wire.kinds(said) == "CZE"
    assert wire.error(said)["M"] == "database configuration changed"


def test_reconnect_without_fast_close(make_pooler, threads):
    """A session keeps its server until it ends."""
    pooler = make_pooler(pool_mode="session", threads=threads)
    client = pooler.wire_login()
    old = client.values("select pg_backend_pid()")
    pooler.command("reconnect app")
    assert client.values("select pg_backend_pid()") == old
    wait = Command(pooler, "wait_close app")
    assert wait.said is None
    client.send(wire.TERMINATE)
    assert wait.answer() == "CZ"


# ---- SET


@pytest.mark.parametrize("text", ["= 3", "to 3", "=3", "= '3'", "TO '3';"])
def test_set(make_pooler, threads, text):
    """It counts from the next use on, as if it stood in the file."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    said = console_wire(pooler).query(f"SET default_pool_size {text}")
    assert said == [("C", b"SET default_pool_size=3\0"), ("Z", b"I")]
    assert setting(pooler, "default_pool_size") == "3"
    assert len(busy(pooler, 3)) == 3


def test_set_lasts_until_reload(make_pooler):
    """Several settings add up, a new auth_file does not end them, a RELOAD does."""
    pooler = make_pooler(default_pool_size=1)
    pooler.command("set default_pool_size = 3")
    pooler.command("set max_client_conn = 77")
    pooler.command("set default_pool_size = 4")
    pooler.userlist["new"] = "secret"
    pooler.write()
    wait_until(lambda: "new" in {r["name"] for r in pooler.show("users")}, "the new user")
    assert setting(pooler, "default_pool_size") == "4"
    assert setting(pooler, "max_client_conn") == "77"
    pooler.command("reload")
    assert setting(pooler, "default_pool_size") == "1"
    assert setting(pooler, "max_client_conn") == "100"


@pytest.mark.parametrize(
    "command, why",
    [
        ("set frobnicate = 1", "unknown parameter"),
        ("set defaul_pool_size = 1", 'did you mean "default_pool_size"'),
        ("set default_pool_size = many", "allowed is an integer"),
        ("set default_pool_size = -1", "allowed is an integer"),
        ("set listen_port = 6000", "needs a restart"),
        ("set auth_type = hba", "auth_hba_file"),
        ("set auth_file = '/nonexistent/users'", "cannot read"),
        ("set client_tls_sslmode = require", "client_tls"),
        (f"set admin_users = '{'x' * 1500}'", None),
    ],
)
def test_set_of_nonsense(make_pooler, command, why):
    """PgBouncer's words, and why; nothing changes, not for those who come later either."""
    pooler = make_pooler()
    before = pooler.show("config")
    error = refusal(pooler, command)
    if why is not None:
        assert error["M"] == "SET failed" and why in error["D"]
    assert pooler.show("config") == before
    pooler.command("set verbose = 1")
    assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_set_of_a_drivers_setting(make_pooler):
    """What drivers say when they connect is taken with a notice, from viewers too."""
    pooler = make_pooler()
    for user in (ADMIN, "viewer"):
        said = console_wire(pooler, user).query("SET extra_float_digits = 3")
        assert wire.kinds(said) == "NCZ"
        assert wire.fields(said[0].body)["M"] == "SET ignored"
        assert console_wire(pooler, user).values("show client_encoding") == [["UTF-8"]]


def test_many_sets_at_once(make_pooler, threads):
    """They take turns; none is lost, and clients come and go meanwhile."""
    pooler = make_pooler(threads=threads, max_client_conn=100)
    sets = [Command(pooler, f"set max_client_conn = {n}") for n in range(200, 210)]
    reload = Command(pooler, "reload")
    assert pooler.connect().execute("select 1").fetchone() == (1,)
    assert {command.answer() for command in [*sets, reload]} == {"CZ"}
    pooler.command("set max_client_conn = 300")
    assert setting(pooler, "max_client_conn") == "300"


# ---- SUSPEND


def test_suspend(make_pooler, threads):
    """Nothing is read until RESUME; then everything goes on where it was. The console works."""
    pooler = make_pooler(threads=threads)
    idle, inside = pooler.wire_login(), pooler.wire_login()
    idle.values("select 1")
    inside.query("begin")
    assert wire.kinds(console_wire(pooler).query("suspend")) == "CZ"
    assert {r["key"]: r["value"] for r in pooler.show("state")}["suspended"] == "yes"
    assert refusal(pooler, "suspend")["M"] == "already suspended"
    idle.send(wire.query("select 'idle'"))
    inside.send(wire.query("select 'inside'"))
    late = pooler.wire_login()
    late.send(wire.query("select 'late'"))
    for _ in range(3):
        assert pooler.show("clients")
    for client in (idle, inside, late):
        assert not client.has_answer()
    pooler.command("resume")
    for client, text in ((idle, "idle"), (inside, "inside"), (late, "late")):
        assert wire.rows(client.read_until("Z")) == [[text]]
    assert inside.values("select 2") == [["2"]]
    assert {r["key"]: r["value"] for r in pooler.show("state")}["suspended"] == "no"


def test_suspend_timeout(make_pooler, threads):
    """Who does not take what was sent to him is not waited for any longer than that."""
    pooler = make_pooler(suspend_timeout="100ms", threads=threads)
    deaf, well = pooler.wire_login(application_name="deaf"), pooler.wire_login()
    well.values("select 1")
    deaf.send(wire.query("select repeat('x', 60000000)"))
    wait_until(
        lambda: any(
            r["send_avail"] > 0 and r["application_name"] == "deaf" for r in pooler.show("sockets")
        ),
        "bytes that wait for the deaf client",
    )
    assert Command(pooler, "suspend").answer() == "CZ"
    assert "deaf" not in {r["application_name"] for r in pooler.show("clients")}
    pooler.command("resume")
    assert well.values("select 2") == [["2"]]


def test_resume_before_the_suspend_is_complete(make_pooler, threads):
    """Both are answered."""
    pooler = make_pooler(threads=threads)
    deaf = pooler.wire_login(application_name="deaf")
    deaf.send(wire.query("select repeat('x', 60000000)"))
    wait_until(
        lambda: any(r["send_avail"] > 0 for r in pooler.show("sockets") if r["type"] == "C"),
        "bytes that wait for the deaf client",
    )
    suspend = Command(pooler, "suspend")
    wait_until(
        lambda: {r["key"]: r["value"] for r in pooler.show("state")}["suspended"] == "yes",
        "the suspend to begin",
    )
    pooler.command("resume")
    assert suspend.answer() in ("EZ", "CZ")
    assert len(wire.rows(deaf.read_until("Z"))[0][0]) == 60000000


# ---- who waits


def test_orders_wait_beside_each_other(make_pooler, threads):
    """A PAUSE and a WAIT_CLOSE of different consoles; a third one leaves while it waits."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    holder = busy(pooler, 1)[0]
    pooler.command("reconnect app")
    wait = Command(pooler, "wait_close")
    pause = Command(pooler, "pause app")
    gone = console_wire(pooler)
    gone.send(wire.query("wait_close"))
    wait_until(
        lambda: {r["name"]: r["paused"] for r in pooler.show("databases")}["app"] == 1, "the pause"
    )
    gone.vanish()
    assert wait.said is None and pause.said is None
    holder.execute("commit")
    assert (wait.answer(), pause.answer()) == ("CZ", "CZ")
    pooler.command("resume app")
    assert holder.execute("select 1").fetchone() == (1,)
