"""Replication through the pooler: such a client has a server of its own for as long as it stays,
whatever the pool mode, and it counts like any other."""

import contextlib
import functools
import os
import shutil
import struct
import subprocess

import pytest

import wire
from limits import reload
from machine import free_port
from waiting import wait_until

STANDBY = "standby"


@pytest.fixture(autouse=True)
def role(cluster):
    """A user who may replicate, and no slot left behind."""
    with contextlib.suppress(Exception):
        cluster.sql(f"create role {STANDBY} login superuser replication")
    yield
    wait_until(lambda: walsenders(cluster) == [], "the WAL senders to end")
    cluster.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots")


@pytest.fixture
def make_pooler(make_pooler):
    """The usual one, which knows that user."""
    return functools.partial(make_pooler, userlist={STANDBY: ""})


@pytest.fixture(params=["session", "transaction", "statement"])
def pooler(make_pooler, request):
    """Physical replication names the database `replication`, which needs an entry like any other."""
    return make_pooler(pool_mode=request.param, databases={"replication": {}})


@pytest.fixture
def folder(cluster):
    """For the programs to write into."""
    made = cluster.folder.parent / f"replication-{os.urandom(4).hex()}"
    made.mkdir()
    cluster.account.take(made)
    yield made
    shutil.rmtree(made)


def walsenders(cluster):
    return cluster.sql(
        "select application_name, pid from pg_stat_activity where backend_type = 'walsender'"
    )


def arguments(cluster, program, pooler, *more):
    return [
        str(cluster.bindir / program), "-h", pooler.host, "-p", str(pooler.port), "-U", STANDBY,
        *more,
    ]  # fmt: skip


@contextlib.contextmanager
def running(cluster, command, **more):
    """A program in the background; ended by SIGINT, as its manual says, and ending well."""
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, **cluster.account.popen_arguments(), **more
    )
    try:
        yield process
        assert process.poll() is None, process.stderr.read()
        process.send_signal(2)
        assert process.wait(timeout=20) == 0, process.stderr.read()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


def whole(folder):
    return [f for f in folder.iterdir() if f.suffix != ".partial"]


def run(cluster, command):
    done = subprocess.run(
        command, capture_output=True, text=True, **cluster.account.popen_arguments()
    )
    assert done.returncode == 0, done.stderr


def test_pg_recvlogical(pooler, cluster, folder):
    """Changes arrive as they are committed, also those of a stream older than query_timeout."""
    pooler.settings.update(query_timeout=0.2, idle_transaction_timeout=0.2, transaction_timeout=0.2)
    pooler.write()
    pooler.command("reload")
    cluster.make_table("decoded", "a int")
    out = folder / "changes"
    slot = ("-d", "app", "--slot", "pooled")
    run(cluster, arguments(cluster, "pg_recvlogical", pooler, *slot, "--create-slot"))
    start = arguments(
        cluster, "pg_recvlogical", pooler, *slot, "--start", "-f", str(out), "-F", "0"
    )
    with running(cluster, start):
        wait_until(lambda: out.exists(), "pg_recvlogical to begin")
        wait_until(
            lambda: cluster.sql(
                "select 1 from pg_stat_replication where clock_timestamp() - backend_start > '600ms'"
            ),
            "the stream to be older than the timeouts",
        )
        for value in range(3):
            cluster.sql(f"insert into decoded values ({value})", "app")
            wait_until(
                lambda value=value: f"a[integer]:{value}" in out.read_text(), f"change {value}"
            )
    wait_until(
        lambda: cluster.sql(
            "select 1 from pg_replication_slots where slot_name = 'pooled' and not active"
        ),
        "the slot to be free",
    )
    run(cluster, arguments(cluster, "pg_recvlogical", pooler, *slot, "--drop-slot"))
    assert cluster.sql("select * from pg_replication_slots") == []


def test_pg_receivewal(pooler, cluster, folder):
    """Whole segments arrive; SIGINT ends the stream in good order (CopyDone both ways)."""
    with running(cluster, arguments(cluster, "pg_receivewal", pooler, "-D", str(folder))):
        wait_until(
            lambda: cluster.sql("select 1 from pg_stat_replication where state = 'streaming'"),
            "pg_receivewal to begin",
        )
        for number in range(1, 3):
            cluster.make_table("filler", "a int")
            cluster.sql("select pg_switch_wal()")
            wait_until(lambda number=number: len(whole(folder)) >= number, f"segment {number}")
    assert {f.stat().st_size for f in whole(folder)} == {16 << 20}


def test_pg_basebackup_and_a_standby(pooler, cluster, folder):
    """A backup with its WAL (two connections at once), verified, becomes a standby that streams
    through the pooler under a name of its own."""
    data = folder / "standby"
    run(
        cluster,
        arguments(cluster, "pg_basebackup", pooler, "-D", str(data), "-c", "fast", "-R"),
    )
    run(cluster, [str(cluster.bindir / "pg_verifybackup"), "-q", str(data)])
    port = free_port()
    info = f"host={pooler.host} port={pooler.port} user={STANDBY} application_name=second"
    with open(data / "postgresql.auto.conf", "a", encoding="utf-8") as conf:
        conf.write(f"primary_conninfo = '{info}'\nlisten_addresses = '127.0.0.1'\nport = {port}\n")
        conf.write(f"unix_socket_directories = '{folder}'\n")
    standby = subprocess.Popen(
        [str(cluster.bindir / "postgres"), "-D", str(data)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **cluster.account.popen_arguments(),
    )
    try:
        wait_until(
            lambda: cluster.sql(
                "select 1 from pg_stat_replication where application_name = 'second'"
                " and state = 'streaming'"
            ),
            "the standby to stream",
        )
        lsn = cluster.sql("select pg_current_wal_flush_lsn()")[0][0]
        cluster.make_table("followed", "a int")
        wait_until(
            lambda: cluster.sql(
                f"select 1 from pg_stat_replication where replay_lsn > '{lsn}'"
                " and replay_lsn = pg_current_wal_lsn()"
            ),
            "the standby to follow",
        )
    finally:
        standby.send_signal(2)
        standby.wait(timeout=30)


def login(pooler, database="app", value="database", **more):
    client = pooler.wire()
    said = client.login(STANDBY, database, replication=value, **more)
    return client, said


@pytest.mark.parametrize("value", ["true", "on", "1", "yes", "T"])
def test_physical(make_pooler, cluster, value):
    """The commands of the WAL sender work, SQL does not; the server's greeting is the client's."""
    pooler = make_pooler(databases={"replication": {}})
    client, said = login(pooler, "replication", value, application_name="by name")
    assert said[-1].type == "Z"
    assert client.parameters["server_version"]
    assert [name for name, _ in walsenders(cluster)] == ["by name"]
    assert client.values("IDENTIFY_SYSTEM")[0][3] is None  # no database
    (shown,) = [c for c in pooler.show("clients") if c["user"] == STANDBY]
    assert shown["replication"] == "physical"
    assert wire.error(client.query("select 1"))["C"] in ("42601", "0A000")
    assert client.values("IDENTIFY_SYSTEM")


def test_logical(make_pooler, cluster, threads):
    """It has the database and speaks SQL too. SHOW tells what it is; it goes with its client."""
    pooler = make_pooler(threads=threads, databases={"app": {"dbname": "other"}})
    client, _ = login(pooler)
    assert client.values("IDENTIFY_SYSTEM")[0][3] == "other"
    assert client.values("select 1") == [["1"]]
    (shown,) = [s for s in pooler.show("servers") if s["user"] == STANDBY]
    assert (shown["replication"], shown["state"]) == ("logical", "active")
    assert [n for n, _ in walsenders(cluster)] == [""]
    row = pooler.pool("app", STANDBY)
    assert (row["cl_active"], row["sv_active"], row["sv_idle"]) == (1, 1, 0)
    client.close()
    wait_until(lambda: walsenders(cluster) == [], "the WAL sender to end")
    wait_until(lambda: pooler.pool("app", STANDBY)["sv_active"] == 0, "the place to be free")


def test_nothing_is_shared(make_pooler, cluster):
    """Neither an ordinary client gets its server nor it an ordinary one; settings stay its own."""
    pooler = make_pooler(default_pool_size=2)
    ordinary = pooler.wire_login(user=STANDBY)
    assert ordinary.values("select 1") == [["1"]]
    first, _ = login(pooler, application_name="first", options="-c work_mem=77MB")
    second, _ = login(pooler, application_name="second")
    assert sorted(n for n, _ in walsenders(cluster)) == ["first", "second"]
    assert first.values("show work_mem") == [["77MB"]]
    assert second.values("show work_mem") != [["77MB"]]
    assert first.values("show application_name") == [["first"]]
    pids = {c.values("select pg_backend_pid()")[0][0] for c in (first, second, ordinary)}
    assert len(pids) == 3


def test_it_waits_for_a_place(make_pooler, cluster, threads):
    """pool_size counts; who waits is served when somebody leaves, in whatever way."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    first, _ = login(pooler)
    waiting = [pooler.wire() for _ in range(3)]
    for number, client in enumerate(waiting):
        client.send(
            wire.startup(
                {"user": STANDBY, "database": "app", "replication": "database",
                 "application_name": f"waiting {number}"}
            )
        )  # fmt: skip
        pooler.wait_waiting(number + 1, "app", STANDBY)
    waiting.pop(1).vanish()
    pooler.wait_waiting(2, "app", STANDBY)
    first.vanish()
    for client, name in zip(waiting, ("waiting 0", "waiting 2")):
        assert client.read_until("Z")
        # the backend of the one before may need a moment to notice
        wait_until(lambda name=name: [n for n, _ in walsenders(cluster)] == [name], name)
        client.close()


# One place that a client that replicates and an ordinary one share: (settings, database of the
# ordinary one).
SHARED = {
    "database": ({"max_db_connections": 1}, "app"),
    "user": ({"max_user_connections": 1}, "other"),
}


@pytest.mark.parametrize("where", SHARED)
def test_its_server_counts_like_any_other(make_pooler, cluster, threads, where):
    """It takes the place of a server that lies idle, and the others wait until it leaves."""
    settings, database = SHARED[where]
    pooler = make_pooler(threads=threads, **settings)
    ordinary = pooler.wire_login(database, STANDBY)
    assert ordinary.values("select 1") == [["1"]]
    client, said = login(pooler)
    assert said[-1].type == "Z"
    wait_until(lambda: not cluster.backends(f"usename = '{STANDBY}'"), "the idle one to be closed")
    assert len(walsenders(cluster)) == 1
    ordinary.send(wire.query("select 2"))
    pooler.wait_waiting(1, database, STANDBY)
    what, name = ("databases", "app") if where == "database" else ("users", STANDBY)
    (row,) = [row for row in pooler.show(what) if row["name"] == name]
    assert row["current_connections"] == 1
    assert client.values("select 3") == [["3"]]
    client.close()
    assert wire.rows(ordinary.read_until("Z")) == [["2"]]


@pytest.mark.parametrize("where", SHARED)
def test_it_waits_for_a_place_of_all_pools(make_pooler, threads, where):
    """A server in use keeps its place: who replicates gets it when that comes back."""
    settings, database = SHARED[where]
    pooler = make_pooler(threads=threads, **settings)
    ordinary = pooler.wire_login(database, STANDBY)
    ordinary.query("begin")
    client = pooler.wire()
    client.send(wire.startup({"user": STANDBY, "database": "app", "replication": "database"}))
    pooler.wait_waiting(1, "app", STANDBY)
    ordinary.query("commit")
    assert client.read_until("Z")
    assert client.values("select 1") == [["1"]]
    client.close()
    assert ordinary.values("select 2") == [["2"]]


@pytest.mark.parametrize("refused_one", ["replicates", "is ordinary"])
@pytest.mark.parametrize(
    "limit", ["max_db_client_connections", "max_user_client_connections", "max_client_conn"]
)
def test_it_is_a_client_like_any_other(make_pooler, limit, refused_one):
    """Counted among the clients, and refused where there are enough."""
    pooler = make_pooler(**{limit: 1})
    if refused_one == "replicates":
        first = pooler.wire_login(user=STANDBY)
        _, said = login(pooler)
    else:
        first, _ = login(pooler)
        said = pooler.wire().login(STANDBY, "app")
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("FATAL", "53300") and limit in fields["M"]
    assert first.values("select 1") == [["1"]]
    first.close()
    wait_until(lambda: login(pooler)[1][-1].type == "Z", "the place to be free")


def test_query_wait_timeout_while_waiting(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    first, _ = login(pooler)
    reload(pooler, query_wait_timeout=0.3)
    _, said = login(pooler)
    assert wire.error(said)["M"] == "query_wait_timeout"
    assert first.values("select 1") == [["1"]]


def test_cancel_of_a_stream(make_pooler, cluster):
    """A cancel request ends the stream, not the connection."""
    pooler = make_pooler()
    client, _ = login(pooler)
    client.query("CREATE_REPLICATION_SLOT pooled TEMPORARY LOGICAL test_decoding NOEXPORT_SNAPSHOT")
    client.send(wire.query("START_REPLICATION SLOT pooled LOGICAL 0/0"))
    assert client.read_until("W")
    canceller = pooler.wire()
    canceller.send(wire.cancel_request(*client.key))
    assert canceller.read_all() == []
    said = client.read_until("E")
    assert wire.error([m for m in said if m.type == "E"])["C"] == "57014"


def test_copy_both_and_back(make_pooler, cluster):
    """Feedback goes up while changes come down; after CopyDone both ways it is a connection again."""
    pooler = make_pooler()
    cluster.make_table("decoded", "a int")
    client, _ = login(pooler)
    client.query("CREATE_REPLICATION_SLOT pooled TEMPORARY LOGICAL test_decoding NOEXPORT_SNAPSHOT")
    client.send(wire.query("START_REPLICATION SLOT pooled LOGICAL 0/0"))
    client.read_until("W")
    cluster.sql("insert into decoded values (42)", "app")
    while b"a[integer]:42" not in (got := client.read()).body:
        assert got.type == "d"
    status = b"r" + struct.pack("!QQQQB", 0, 0, 0, 0, 1)  # "answer at once"
    client.send(wire.copy_data(status))
    while (got := client.read()).body[:1] != b"k":
        assert got.type == "d"
    client.send(wire.COPY_DONE)
    said = client.read_until("Z")
    assert "c" in wire.kinds(said) and "E" not in wire.kinds(said)
    assert client.values("select 7") == [["7"]]


def test_refusals(make_pooler, cluster):
    """PostgreSQL's own words for who may not, ours for what makes no sense; `false` is ordinary."""
    pooler = make_pooler()
    client = pooler.wire()
    said = client.login("alice", "app", replication="database")
    assert wire.error(said)["C"] == "42501"
    _, said = login(pooler, value="perhaps")
    assert wire.error(said)["C"] == "22023"
    client, said = login(pooler, value="false")
    assert said[-1].type == "Z"
    assert client.values("select count(*) from pg_stat_activity where backend_type = 'walsender'") \
        == [["0"]]
    _, said = login(pooler, "nowhere", "true")
    assert wire.error(said)["C"] == "3D000"


def test_the_server_ends(make_pooler, cluster):
    """Its client is told, and nobody else notices."""
    pooler = make_pooler(default_pool_size=1)
    client, _ = login(pooler)
    ((_, pid),) = walsenders(cluster)
    cluster.sql(f"select pg_terminate_backend({pid})")
    assert "57P01" in [e["C"] for e in wire.errors(client.read_all())]
    again, said = login(pooler)
    assert said[-1].type == "Z"
    assert again.values("select 1") == [["1"]]
