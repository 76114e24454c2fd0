"""The console: PgBouncer's commands, columns and privileges, on `pgbouncer` and on `perfkit`."""

import contextlib
import re
import signal
import threading

import psycopg
import pytest

import wire
from conftest import unnoticed
from console_columns import COLUMNS, LISTS, MAY_BE_EMPTY, STATES, TOTALS
from pooler import ADMIN, CHECKOUT, VIEWER
from test_pooling import busy, pid_of
from waiting import wait_until

def console_wire(pooler, user=ADMIN, database="pgbouncer"):
    return pooler.wire_login(database, user)


# ---- SHOW


@pytest.mark.parametrize("database", ["pgbouncer", "perfkit"])
@pytest.mark.parametrize("what", COLUMNS)
def test_columns(make_pooler, what, database):
    pooler = make_pooler()
    pid_of(pooler.connect())
    said = console_wire(pooler, database=database).query(f"SHOW {what.upper()};")
    assert wire.kinds(said).startswith("T") and said[-2:] == [("C", b"SHOW\0"), ("Z", b"I")]
    wanted = COLUMNS[what]
    assert wire.column_names(said[0].body)[: len(wanted)] == wanted
    assert wire.rows(said) or what in MAY_BE_EMPTY


def test_version(make_pooler):
    (row,) = make_pooler().show("version")
    assert re.match(r"PgBouncer 1\.26", row["version"])


def test_help_is_a_notice(make_pooler):
    said = console_wire(make_pooler()).query("show help")
    assert wire.kinds(said) == "NCZ"
    text = wire.fields(said[0].body)
    for command in ("SHOW", "RELOAD", "PAUSE", "RESUME", "SHUTDOWN"):
        assert command in text["M"] + text.get("D", "")


def test_lists(make_pooler):
    pooler = make_pooler()
    clients = busy(pooler, 2)
    rows = pooler.show("lists")
    assert [row["list"] for row in rows][:14] == LISTS
    items = {row["list"]: row["items"] for row in rows}
    assert items["databases"] == 4  # app, other, bench and the console
    assert items["used_clients"] >= len(clients)
    assert items["used_servers"] == 2


def test_totals_and_state(make_pooler):
    pooler = make_pooler()
    pooler.connect().execute("select 1")
    totals = wait_until(
        lambda: (rows := pooler.show("totals"))[2]["value"] > 0 and rows, "a query in the totals"
    )
    assert [row["name"] for row in totals][: len(TOTALS)] == TOTALS
    state = {row["key"]: row["value"] for row in pooler.show("state")}
    assert [key for key in state][:3] == STATES
    assert (state["active"], state["paused"], state["suspended"]) == ("yes", "no", "no")


def test_mem(make_pooler, threads):
    """Sizes and numbers of what there may be many of."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    busy(pooler, 3)
    rows = {row["name"]: row for row in pooler.show("mem")}
    assert rows["server_cache"]["used"] == 3
    assert rows["client_cache"]["used"] >= 4
    for row in rows.values():
        assert row["memtotal"] == row["size"] * (row["used"] + row["free"])


def test_sockets(make_pooler, threads):
    """Clients and servers in one; the active ones are those that have a partner or want one."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    idle, holder, waiter = (
        pooler.connect(application_name=name) for name in ("idle", "holder", "waiter")
    )
    idle.execute("select 1")
    holder.execute("begin")
    waiter.pgconn.send_query(b"select 1")
    pooler.wait_waiting(1)
    states = {}
    for what in ("sockets", "active_sockets"):
        rows = pooler.show(what)
        states[what] = {r["application_name"]: r["state"] for r in rows if r["type"] == "C"}
        (server,) = [r for r in rows if r["type"] == "S"]
        assert server["state"] == "sv_active" and server["close_needed"] == 0
        (shown,) = [r for r in rows if r["application_name"] == "waiter"]
        assert shown["recv_pos"] - shown["pkt_pos"] == shown["pkt_avail"] > 0
    assert states["sockets"]["idle"] == "cl_active" and "idle" not in states["active_sockets"]
    for shown in states.values():
        assert (shown["holder"], shown["waiter"]) == ("cl_active", "cl_waiting")
    holder.execute("rollback")


def test_pools(make_pooler, threads):
    """The counters say where every client and every server is."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    idle = pooler.connect()
    pid_of(idle)
    active = busy(pooler, 3)
    waiting = pooler.wire_login()
    waiting.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    pool = pooler.pool()
    assert (pool["sv_active"], pool["sv_idle"], pool["sv_login"]) == (3, 0, 0)
    assert (pool["cl_active"], pool["cl_waiting"]) == (4, 1)
    assert pool["pool_mode"] == "transaction"
    assert pool["maxwait"] >= 0 and pool["maxwait_us"] >= 0
    for client in active:
        client.execute("commit")
    waiting.read_until("Z")
    wait_until(lambda: pooler.pool()["sv_idle"] == 3, "three idle servers")
    pool = pooler.pool()
    assert (pool["cl_active"], pool["cl_waiting"], pool["sv_active"]) == (5, 0, 0)
    assert (pool["maxwait"], pool["maxwait_us"]) == (0, 0)


def test_clients_and_servers(make_pooler, threads):
    pooler = make_pooler(default_pool_size=5, threads=threads)
    client = pooler.connect(application_name="shown")
    client.execute("begin")
    pid = pid_of(client)
    (row,) = [r for r in pooler.show("clients") if r["application_name"] == "shown"]
    assert (row["type"], row["user"], row["database"], row["state"]) == (
        "C",
        "alice",
        "app",
        "active",
    )
    assert row["addr"] == pooler.host and row["local_port"] == pooler.port
    assert row["port"] > 0 and row["id"] > 0 and row["ptr"]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["connect_time"])
    (server,) = [r for r in pooler.show("servers") if r["database"] == "app"]
    assert (server["type"], server["user"], server["state"]) == ("S", "alice", "active")
    assert server["remote_pid"] == pid
    assert (server["addr"], server["port"]) == (pooler.cluster.host, pooler.cluster.port)
    assert server["link"] == row["ptr"] and row["link"] == server["ptr"]
    client.execute("commit")
    wait_until(lambda: pooler.show("servers")[0]["state"] == "idle", "the server to be idle")
    assert not pooler.show("servers")[0]["link"]


def test_databases(make_pooler):
    pooler = make_pooler(
        default_pool_size=7, databases={"other": {"dbname": "app", "pool_size": 3, "user": "bob"}}
    )
    rows = {row["name"]: row for row in pooler.show("databases")}
    assert {"app", "other", "bench", "pgbouncer"} <= set(rows)
    assert rows["app"]["pool_size"] == 7 and rows["app"]["force_user"] is None
    other = rows["other"]
    assert (other["database"], other["force_user"], other["pool_size"]) == ("app", "bob", 3)
    assert (other["host"], other["port"]) == (pooler.cluster.host, pooler.cluster.port)
    assert (other["paused"], other["disabled"]) == (0, 0)
    assert {row["pool_mode"] for row in rows.values()} == {None, "statement"}  # overrides alone
    assert rows["pgbouncer"]["current_client_connections"] == 1


def test_users(make_pooler):
    """Sizes are empty where [users] says nothing."""
    pooler = make_pooler(users={"alice": "pool_size=3 pool_mode=session"})
    rows = {row["name"]: row for row in pooler.show("users")}
    sizes = [
        (row["pool_size"], row["reserve_pool_size"], row["pool_mode"])
        for row in (rows["alice"], rows["bob"])
    ]
    assert sizes == [("3", "", "session"), ("", "", None)]


def test_config(make_pooler):
    """Every setting with its value, its default, and whether a reload can change it."""
    pooler = make_pooler(default_pool_size=7, query_wait_timeout=30)
    rows = {row["key"]: row for row in pooler.show("config")}
    assert (rows["default_pool_size"]["value"], rows["default_pool_size"]["default"]) == ("7", "20")
    assert rows["default_pool_size"]["changeable"] == "yes"
    assert (rows["query_wait_timeout"]["value"], rows["query_wait_timeout"]["default"]) == (
        "30",
        "120",
    )
    assert (rows["listen_port"]["value"], rows["listen_port"]["changeable"]) == (
        str(pooler.port),
        "no",
    )
    assert rows["pool_mode"]["value"] == "transaction" and rows["pool_mode"]["default"] == "session"
    assert rows["threads"]["value"] == "2"
    assert rows["auth_user"]["value"] is None and rows["auth_user"]["default"] is None


def stats_of(pooler, database="app"):
    (row,) = [r for r in pooler.show("stats") if r["database"] == database] or [{}]
    return row


def test_stats_of_a_known_load(make_pooler, threads):
    """Counted right: logins, queries, transactions, checkouts, bytes; and nothing of our own."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    clients = [pooler.wire_login(timezone=zone) for zone in ("Asia/Tokyo", "America/Lima")]
    for client in clients * 3:
        client.values("select 1")  # 6 queries, 6 transactions
    for client in clients:
        for sql in ("begin", "select 1", "select 2", "commit"):
            client.query(sql)  # 8 queries, 2 transactions
    clients[0].query("select 1/0")  # 1 and 1: it ended, even if badly
    clients[0].send(wire.extended("select 1") * 3)  # 3 and 3
    clients[0].read_until("ZZZ")
    row = wait_until(
        lambda: (s := stats_of(pooler)).get("total_query_count", 0) >= 18 and s,
        "18 queries in the statistics",
    )
    assert row["total_query_count"] == 18
    assert row["total_xact_count"] == 12
    assert row["total_client_login_count"] == 2
    assert 10 <= row["total_server_assignment_count"] <= 12
    assert row["total_received"] > 18 * 10 and row["total_sent"] > 18 * 20
    assert row["total_query_time"] > 0 and row["total_xact_time"] > 0


def test_stats_count_the_wait_for_the_first_server(make_pooler, threads):
    """Who logs in first waits until there is a server."""
    pooler = make_pooler(threads=threads)
    pooler.wire_login()
    assert stats_of(pooler)["total_wait_time"] > 0


def test_stats_times(make_pooler):
    """Microseconds: of queries, of whole transactions, of waiting for a server."""
    pooler = make_pooler(default_pool_size=1)
    first, second = pooler.wire_login(), pooler.wire_login()
    first.query("begin")
    first.query("select pg_sleep(0.3)")
    second.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    first.query("select pg_sleep(0.3)")
    first.query("commit")
    second.read_until("Z")
    row = wait_until(
        lambda: (s := stats_of(pooler)).get("total_query_count", 0) >= 5 and s,
        "5 queries in the statistics",
    )
    assert row["total_query_time"] >= 600_000
    assert row["total_xact_time"] >= row["total_query_time"]
    assert row["total_wait_time"] >= 250_000


def test_show_answers_while_pools_are_full(make_pooler, threads):
    """The console needs no server connection and waits for nobody."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    busy(pooler, 1)
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    for what in COLUMNS:
        assert pooler.show(what) or what in MAY_BE_EMPTY


# ---- what is no command


@pytest.mark.parametrize(
    "text",
    [
        "frobnicate",
        "show nothing",
        "pause nowhere",
        "resume nowhere",
        "select 1",
        "show version extra",
        "show stats; show version",
        "pause app other",
        "set",
        "set verbose",
        "set verbose = 1 2",
        "shutdown soon",
        "kill_client",
        "'",
        "",
        "x" * 1000,
    ],
    ids=lambda text: text[:20],
)
def test_wrong_command(make_pooler, text):
    """An ERROR with a SQLSTATE; the console goes on."""
    client = console_wire(make_pooler())
    said = client.query(text)
    assert said[-1] == ("Z", b"I")
    if text:
        fields = wire.error(said)
        assert fields["S"] == "ERROR" and len(fields["C"]) == 5
    assert wire.rows(client.query("show version"))


def test_very_long_command(make_pooler):
    """Refused; the console need not go on after it, but others do."""
    pooler = make_pooler()
    with unnoticed(pooler):
        client = console_wire(pooler)
        with contextlib.suppress(wire.Closed):
            client.send(wire.query("x" * 1_000_000))
        assert len(wire.error(client.answer())["C"]) == 5


def test_commands_in_single_bytes(make_pooler):
    client = make_pooler().wire_login("pgbouncer", ADMIN, unix=True)
    client.send_split(wire.query("show version") + wire.query("show lists"))
    assert wire.kinds(client.read_until("ZZ")).startswith("TDCZTD")


# ---- privileges

# Every command that is not a SHOW, with an argument where it needs one; and the one SHOW that is not
# for viewers.
COMMANDS = [
    "disable app",
    "enable app",
    "kill app",
    "kill",
    "kill_client 1",
    "pause",
    "pause app",
    "reconnect app",
    "reconnect",
    "reload",
    "resume",
    "resume app",
    "set verbose = 1",
    "show fds",
    "shutdown",
    "shutdown wait_for_clients",
    "suspend",
    "wait_close",
]


def test_no_command_is_forgotten():
    """Each row of commands.def stands in one of the lists that the tests go through."""
    table = (CHECKOUT / "pooler" / "core" / "commands.def").read_text()
    shows = {name.lower() for name in re.findall(r'^SHOW\("(\w+)"', table, re.M)}
    assert shows - {"errors", "help", "latencies", "performance_log", "pins", "rates"} == set(COLUMNS)
    orders = {name.lower() for name in re.findall(r'^ORDER\("(\w+)"', table, re.M)}
    assert orders == {command.split()[0] for command in COMMANDS} - {"show"}


@pytest.mark.parametrize("database", ["pgbouncer", "perfkit"])
def test_others_are_not_let_in(make_pooler, database):
    pooler = make_pooler()
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        pooler.connect(database, "alice")


@pytest.mark.parametrize("command", COMMANDS)
def test_viewers_may_only_look(make_pooler, command):
    pooler = make_pooler()
    with unnoticed(pooler):
        client = console_wire(pooler, VIEWER)
        assert wire.rows(client.query("show pools")) is not None
        assert wire.error(client.query(command))["M"].startswith("admin access needed")
        assert wire.rows(client.query("show version"))


def test_console_wants_the_password(make_pooler):
    pooler = make_pooler(auth_type="scram-sha-256")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pooler.connect("pgbouncer", ADMIN, password="wrong")
    with pooler.connect("pgbouncer", ADMIN, password="ops-secret") as conn:
        assert conn.execute("show version").fetchone()


def test_database_called_perfkit(make_pooler):
    """A site's own database of that name wins over the console's; `pgbouncer` stays."""
    pooler = make_pooler(databases={"perfkit": {"dbname": "app"}})
    assert pooler.connect("perfkit", "alice").execute(
        "select current_database()::text"
    ).fetchone() == ("app",)
    assert pooler.show("version")


# ---- PAUSE and RESUME


class Command(threading.Thread):
    """A console command that may take its time."""

    def __init__(self, pooler, text):
        super().__init__(daemon=True)
        self.client = console_wire(pooler)
        self.text = text
        self.said = None
        self.start()

    def run(self):
        self.client.send(wire.query(self.text))
        self.said = self.client.answer()

    def answer(self):
        wait_until(lambda: self.said is not None, f"an answer to {self.text}")
        return wire.kinds(self.said)


def wait_paused(pooler, probe):
    """Until a query of this client waits in a pool that has room, which only a pause explains. The
    query, select 'later', is left waiting."""

    def stuck():
        pool = pooler.pool()
        return pool["cl_waiting"] == 1 and pool["sv_login"] == 0 and not probe.has_answer()

    while True:
        probe.send(wire.query("select 'later'"))
        wait_until(lambda: probe.has_answer() or stuck(), "the pause to begin")
        if not probe.has_answer():
            return
        probe.read_until("Z")


@pytest.mark.parametrize("command, undo", [("pause", "resume"), ("pause app", "resume app")])
def test_pause(make_pooler, threads, command, undo):
    """It waits for the transaction that runs; what comes after waits for RESUME."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    idle = pooler.wire_login()
    idle.values("select 1")
    holder = busy(pooler, 1)[0]
    pause = Command(pooler, command)
    wait_paused(pooler, idle)
    assert holder.execute("select 1").fetchone() == (1,)
    assert pause.said is None, "PAUSE was answered while a transaction ran"
    holder.execute("commit")
    assert pause.answer() == "CZ"
    wait_until(lambda: not pooler.server_pids(), "the servers of a paused pool to end")
    pooler.wait_waiting(1)
    assert Command(pooler, undo).answer() == "CZ"
    assert wire.rows(idle.read_until("Z")) == [["later"]]
    assert idle.values("select 1") == [["1"]]


def test_pause_of_one_database(make_pooler):
    pooler = make_pooler()
    waiter = pooler.wire_login()
    waiter.values("select 1")
    pooler.command("pause app")
    paused = {row["name"]: row["paused"] for row in pooler.show("databases")}
    assert (paused["app"], paused["other"]) == (1, 0)
    assert pooler.connect("other").execute("select 1").fetchone() == (1,)
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    pooler.command("resume app")
    assert wire.rows(waiter.read_until("Z")) == [["1"]]


def test_resume_before_the_pause_is_complete(make_pooler):
    """Both are answered (PgBouncer forgets the PAUSE for ever)."""
    pooler = make_pooler()
    probe, holder = pooler.wire_login(), busy(pooler, 1)[0]
    pause = Command(pooler, "pause")
    wait_paused(pooler, probe)
    assert Command(pooler, "resume").answer() == "CZ"
    assert pause.answer() in ("CZ", "EZ")
    assert holder.execute("select 1").fetchone() == (1,)
    assert wire.rows(probe.read_until("Z")) == [["later"]]


def test_admin_leaves_while_pausing(make_pooler):
    """The console's client goes away before its PAUSE is complete: nothing breaks."""
    pooler = make_pooler()
    probe, holder = pooler.wire_login(), busy(pooler, 1)[0]
    admin = console_wire(pooler)
    admin.send(wire.query("pause"))
    wait_paused(pooler, probe)
    admin.vanish()
    holder.execute("commit")
    pooler.command("resume")
    assert wire.rows(probe.read_until("Z")) == [["later"]]


def test_resume_without_pause(make_pooler):
    """An error, as PgBouncer's, and nothing else."""
    pooler = make_pooler()
    with unnoticed(pooler):
        assert wire.kinds(console_wire(pooler).query("resume")) in ("EZ", "CZ")


# ---- the end


def test_shutdown(make_pooler, cluster):
    """At once: clients are told, servers closed, exit code 0."""
    pooler = make_pooler()
    client = pooler.wire_login()
    client.values("select 1")
    admin = console_wire(pooler)
    admin.send(wire.query("shutdown"))
    admin.read_all()
    assert pooler.wait_exit() == 0
    said = client.read_all()
    assert wire.kinds(said) in ("", "E")
    wait_until(lambda: not cluster.backends(), "the server connections to be closed")


def test_quit_ends_at_once(make_pooler):
    pooler = make_pooler()
    holder = busy(pooler, 1)[0]
    pooler.signal(signal.SIGQUIT)
    assert pooler.wait_exit() == 0
    with pytest.raises(psycopg.OperationalError):
        holder.execute("select 1")


def test_int_waits_for_servers(make_pooler):
    """SIGINT: the running transaction is allowed to end, then the pooler ends."""
    pooler = make_pooler()
    holder, idle = pooler.connect(), pooler.wire_login()
    holder.execute("begin")
    pooler.signal(signal.SIGINT)
    wait_until(lambda: refuses(pooler), "new clients to be refused")
    assert holder.execute("select 1").fetchone() == (1,)
    assert pooler.process.poll() is None
    holder.execute("commit")
    assert pooler.wait_exit() == 0
    assert wire.kinds(idle.read_all()) in ("", "E")


def test_term_waits_for_clients(make_pooler):
    """SIGTERM: clients that are there may go on until they leave; nobody new gets in."""
    pooler = make_pooler()
    client = pooler.connect()
    pooler.signal(signal.SIGTERM)
    wait_until(lambda: refuses(pooler), "new clients to be refused")
    for number in range(5):
        assert client.execute("select %s::int", (number,)).fetchone() == (number,)
    assert pooler.process.poll() is None
    client.close()
    assert pooler.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(make_pooler, number):
    pooler = make_pooler()
    busy(pooler, 1)
    pooler.signal(number)
    wait_until(lambda: refuses(pooler), "new clients to be refused")
    pooler.signal(number)
    assert pooler.wait_exit() == 0


def refuses(pooler):
    """Whether a new client is turned away."""
    try:
        client = wire.Wire(pooler.address)
    except ConnectionRefusedError:
        return True
    try:
        return client.login("alice", "app")[-1].type == "E"
    except wire.Closed:
        return True
    finally:
        client.sock.close()
