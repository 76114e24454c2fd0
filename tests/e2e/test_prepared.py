"""Prepared statements of clients that share servers."""

import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import wire
from waiting import wait_until

PREPARED = "select name, statement from pg_prepared_statements order by name"


def prepare(client, sql, name, *types):
    client.send(wire.parse(sql, name, types) + wire.SYNC)
    return client.read_until("Z")


def run(client, name, *values):
    """Bind and execute a statement; all messages of the answer."""
    client.send(wire.bind(values, name) + wire.execute() + wire.SYNC)
    return client.read_until("Z")


def sqlstate(messages):
    return wire.fields(next(m.body for m in messages if m.type == "E"))["C"]


def text_of(messages):
    return wire.fields(next(m.body for m in messages if m.type == "E"))["M"]


def sum_of(pooler, column, database="app"):
    """A statistic of SHOW STATS."""
    return sum(int(r[column]) for r in pooler.show("stats") if r["database"] == database)


# ---- sharing


@pytest.mark.parametrize("size", [1, 2])
def test_psycopg(make_pooler, size):
    """Several clients prepare everything, in turns over fewer servers."""
    pooler = make_pooler(default_pool_size=size)
    clients = [pooler.connect(prepare_threshold=0) for _ in range(6)]
    chance = random.Random(7)
    for _ in range(150):
        client, n = chance.choice(clients), chance.randrange(20)
        assert client.execute(f"select %s::int + {n}", (n,)).fetchone() == (2 * n,)
        assert client.execute("select %s::text", (str(n),)).fetchone() == (str(n),)


def test_one_server_statement_for_all(make_pooler):
    """The same text of many clients is parsed once per server."""
    pooler = make_pooler(default_pool_size=1)
    clients = [pooler.wire_login() for _ in range(5)]
    for number, client in enumerate(clients):
        assert wire.kinds(prepare(client, "select $1::int", f"mine{number}")) == "1Z"
        assert wire.rows(run(client, f"mine{number}", number)) == [[str(number)]]
    listed = clients[0].values(PREPARED)
    assert [sql for _, sql in listed] == ["select $1::int"]


def test_types_tell_statements_apart(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    first, second = pooler.wire_login(), pooler.wire_login()
    prepare(first, "select pg_typeof($1)", "s", 23)
    prepare(second, "select pg_typeof($1)", "s", 25)
    assert wire.rows(run(first, "s", 1)) == [["integer"]]
    assert wire.rows(run(second, "s", 1)) == [["text"]]


def test_pgbench_prepared(make_pooler, cluster):
    """More statements than the servers may know, more clients than servers."""
    pooler = make_pooler(default_pool_size=2, max_prepared_statements=2)
    subprocess.run(
        [cluster.bindir / "pgbench", "-i", "-q", "-U", "alice", "bench"],
        env={"PGHOST": str(cluster.folder.parent), "PGPORT": str(cluster.port)},
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [cluster.bindir / "pgbench", "-n", "-U", "alice", "-M", "prepared"]
        + ["-c", "4", "-j", "4", "-t", "50", "bench"],
        env={"PGHOST": pooler.host, "PGPORT": str(pooler.port), "PGSSLMODE": "disable"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"actually processed: 200/200", done.stdout), done.stdout


def test_descriptions(make_pooler):
    """Describe of statements and of portals, by their own names."""
    pooler = make_pooler(default_pool_size=1)
    client, other = pooler.wire_login(), pooler.wire_login()
    prepare(client, "select $1::int as a, 'x'::text as b", "s")
    other.query("select 1")
    client.send(wire.describe("S", "s") + wire.SYNC)
    parameters, columns, _ = client.read_until("Z")
    assert parameters.body == b"\0\1\0\0\0\x17"
    assert wire.column_names(columns.body) == ["a", "b"]
    client.send(
        wire.bind((5,), "s", "p") + wire.describe("P", "p") + wire.execute("p")
        + wire.close("P", "p") + wire.SYNC
    )  # fmt: skip
    answer = client.read_until("Z")
    assert wire.kinds(answer) == "2TDC3Z"
    assert wire.rows(answer) == [["5", "x"]]


def test_fewer_than_are_used(make_pooler):
    """Two at most and ten in use, in every order: the server never knows more."""
    pooler = make_pooler(default_pool_size=1, max_prepared_statements=2)
    clients = [pooler.wire_login() for _ in range(2)]
    for client in clients:
        for n in range(10):
            assert wire.kinds(prepare(client, f"select {n}", f"s{n}")) == "1Z"
    chance = random.Random(3)
    for _ in range(100):
        n = chance.randrange(10)
        assert wire.rows(run(chance.choice(clients), f"s{n}")) == [[str(n)]]
    assert len(clients[0].values(PREPARED)) <= 2


def test_switched_off(make_pooler):
    """0: names reach the server as the client gave them."""
    pooler = make_pooler(default_pool_size=1, max_prepared_statements=0)
    client = pooler.wire_login()
    prepare(client, "select 1", "my own")
    assert client.values(PREPARED) == [["my own", "select 1"]]


# ---- errors


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
def test_unknown_and_duplicate_names(make_pooler, inside):
    """PostgreSQL's own errors, with the client's name, and its transaction fails as it should."""
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    prepare(client, "select 1", "twice")
    for attempt, code in (
        (lambda: prepare(client, "select 2", "twice"), "42P05"),
        (lambda: run(client, "nosuch"), "26000"),
    ):
        if inside:
            client.query("begin")
        answer = attempt()
        assert sqlstate(answer) == code
        assert '"twice"' in text_of(answer) or '"nosuch"' in text_of(answer)
        assert answer[-1].body == (b"E" if inside else b"I")
        if inside:
            assert sqlstate(client.query("select 1")) == "25P02"
            assert sqlstate(prepare(client, "select 1", "late")) == "25P02"
            client.query("rollback")
        assert wire.rows(run(client, "twice")) == [["1"]]
    assert sqlstate(run(client, "late")) == "26000"


def test_a_failed_parse_frees_the_name(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    for _ in range(2):
        assert sqlstate(prepare(client, "selec 1", "s")) == "42601"
    assert wire.kinds(prepare(client, "select 1", "s")) == "1Z"
    assert wire.rows(run(client, "s")) == [["1"]]


def test_cached_plan(make_pooler, cluster):
    """PostgreSQL's error reaches the client; the next Parse of the text, by anyone, works."""
    cluster.make_table("changing", "a int")
    cluster.sql("insert into changing values (1)", "app")
    pooler = make_pooler(default_pool_size=1)
    client, other = pooler.wire_login(), pooler.wire_login()
    for one in (client, other):
        prepare(one, "select * from changing", "s")
        assert wire.rows(run(one, "s")) == [["1"]]
    cluster.sql("alter table changing add b int default 2", "app")
    for _ in range(2):
        assert sqlstate(run(client, "s")) == "0A000"
    assert wire.kinds(prepare(other, "select * from changing", "again")) == "1Z"
    assert wire.rows(run(other, "again")) == [["1", "2"]]
    client.send(wire.close("S", "s") + wire.parse("select * from changing", "s") + wire.SYNC)
    assert wire.kinds(client.read_until("Z")) == "31Z"
    assert wire.rows(run(client, "s")) == [["1", "2"]]


def test_pipeline_with_errors(make_pooler):
    """An error takes back what stands between it and the next Sync, and nothing else."""
    pooler = make_pooler(default_pool_size=1, max_prepared_statements=2)
    client = pooler.wire_login()
    prepare(client, "select 0", "old")
    client.send(
        wire.parse("select 1", "a") + wire.bind((), "nosuch") + wire.parse("select 2", "b")
        + wire.parse("select 3", "c") + wire.SYNC
        + wire.parse("select 4", "d") + wire.bind((), "d") + wire.execute() + wire.SYNC
        + wire.parse("select 5", "a") + wire.SYNC
        + wire.bind((), "old") + wire.execute() + wire.SYNC
    )  # fmt: skip
    answer = client.read_until("ZZZZ")
    assert wire.kinds(answer) == "1EZ" + "12DCZ" + "EZ" + "2DCZ"
    assert [wire.fields(m.body)["C"] for m in answer if m.type == "E"] == ["26000", "42P05"]
    assert wire.rows(answer) == [["4"], ["0"]]
    assert wire.rows(run(client, "a")) == [["1"]]
    assert sqlstate(run(client, "c")) == "26000"


@pytest.mark.parametrize("length", [1, 100_000, 300_000])
def test_names_given_behind_a_failure(make_pooler, threads, length):
    """The same name again, before the failure is known, in texts that fit a read and that do not."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    client, other = pooler.wire_login(), pooler.wire_login()
    again = "select 4 -- " + "x" * length
    client.send(
        wire.bind((), "nosuch") + wire.parse("select 2", "b") + wire.SYNC
        + wire.parse(again, "b") + wire.bind((), "b") + wire.execute() + wire.SYNC
        + wire.parse(again, "b") + wire.SYNC
        + wire.parse("select 2", "c") + wire.bind((), "c") + wire.execute() + wire.SYNC
    )  # fmt: skip
    answer = client.read_until("ZZZZ")
    assert wire.kinds(answer) == "EZ" + "12DCZ" + "EZ" + "12DCZ"
    assert [wire.fields(m.body)["C"] for m in answer if m.type == "E"] == ["26000", "42P05"]
    assert wire.rows(answer) == [["4"], ["2"]]
    for one in (client, other):
        for n in (2, 4):
            assert wire.kinds(prepare(one, f"select {n}", f"n{n}")) == "1Z"
            assert wire.rows(run(one, f"n{n}")) == [[str(n)]]


def test_psycopg_pipeline(make_pooler):
    """Pipeline mode with failures, prepared statements and DEALLOCATE in between."""
    pooler = make_pooler(default_pool_size=2, max_prepared_statements=3)
    clients = [pooler.connect(prepare_threshold=0) for _ in range(3)]
    for client in clients:
        client.prepared_max = 2
    for turn in range(10):
        for client in clients:
            with client.pipeline():
                cursors = [client.execute(f"select %s + {n}", (turn,)) for n in range(5)]
                assert [c.fetchone()[0] for c in cursors] == [turn + n for n in range(5)]
            with pytest.raises(psycopg.errors.DivisionByZero):
                with client.pipeline():
                    client.execute("select 1/%s", (0,))
                    client.execute(f"select %s + {turn} + 100", (turn,))
            assert client.execute("select %s + 1", (turn,)).fetchone() == (turn + 1,)


def test_nobody_gets_anothers_unnamed_statement(make_pooler):
    """Not even where an error skips the own Parse and the next batch is there already."""
    pooler = make_pooler(default_pool_size=1)
    victim, client = pooler.wire_login(), pooler.wire_login()
    victim.send(wire.parse("select 'secret'") + wire.SYNC)
    victim.read_until("Z")
    assert sqlstate(run(client, "")) == "26000"
    victim.send(wire.parse("select 'secret'") + wire.SYNC)
    victim.read_until("Z")
    client.send(
        wire.parse("selec", "s") + wire.parse("select 'mine'") + wire.SYNC
        + wire.bind() + wire.execute() + wire.SYNC
    )  # fmt: skip
    assert wire.rows(client.read_until("ZZ")) in ([], [["mine"]])
    assert wire.rows(run(victim, "")) == [["secret"]]


# ---- their ends


def test_deallocate(make_pooler):
    pooler = make_pooler(default_pool_size=2)
    client, holder = pooler.wire_login(), pooler.wire_login()
    for way in ("simple", "extended", "on another server"):
        prepare(client, "select 1", "s")
        if way == "extended":
            client.send(wire.extended("deallocate s"))
            assert wire.kinds(client.read_until("Z")) == "12nCZ"
        else:
            if way == "on another server":
                holder.query("begin")
            answer = client.query("DEALLOCATE s")
            assert wire.kinds(answer) == "CZ" and answer[0].body == b"DEALLOCATE\0"
        assert sqlstate(run(client, "s")) == "26000"
        assert sqlstate(client.query("deallocate s")) == "26000"


@pytest.mark.parametrize("sql", ["deallocate all", "DISCARD ALL;"])
@pytest.mark.parametrize("way", ["simple", "extended"])
def test_all_at_once(make_pooler, sql, way):
    """The names are free, the server has none, those of others come back by themselves."""
    pooler = make_pooler(default_pool_size=1)
    client, other = pooler.wire_login(), pooler.wire_login()
    prepare(client, "select 1", "s")
    prepare(other, "select 1", "s")
    client.send(wire.query(sql) if way == "simple" else wire.extended(sql))
    client.read_until("Z")
    assert sqlstate(run(client, "s")) == "26000"
    assert client.values(PREPARED) == []
    assert wire.rows(run(other, "s")) == [["1"]]
    assert wire.kinds(prepare(client, "select 2", "s")) == "1Z"
    # In one pipeline with what is prepared anew behind it.
    client.send(
        wire.parse(sql) + wire.bind() + wire.execute()
        + wire.SYNC
        + wire.parse("select 1", "t") + wire.bind((), "t") + wire.execute() + wire.SYNC
    )  # fmt: skip
    assert wire.rows(client.read_until("ZZ")) == [["1"]]
    assert wire.rows(run(client, "t")) == [["1"]]
    assert wire.rows(run(other, "s")) == [["1"]]


def test_discard_all_that_fails(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    prepare(client, "select 1", "s")
    client.query("begin")
    assert sqlstate(client.query("discard all")) == "25001"
    client.query("rollback")
    assert wire.rows(run(client, "s")) == [["1"]]
    assert wire.kinds(client.query("deallocate s")) == "CZ"


def test_servers_come_and_go(make_pooler, cluster):
    """Statements outlive the server that knew them."""
    pooler = make_pooler(default_pool_size=1)
    named, psy = pooler.wire_login(), pooler.connect(prepare_threshold=0)
    prepare(named, "select $1::int", "s")
    for n in range(3):
        assert wire.rows(run(named, "s", n)) == [[str(n)]]
        assert psy.execute("select %s + 1", (n,)).fetchone() == (n + 1,)
        cluster.terminate(cluster.backends("usename = 'alice'"))
        wait_until(lambda: pooler.pool()["sv_idle"] == 0, "the pooler to notice")


@pytest.mark.parametrize("reset", ["", "DISCARD ALL"], ids=["no reset", "reset"])
def test_leaving_in_the_middle(make_pooler, reset):
    """What a client has prepared and not waited for does not disturb others."""
    pooler = make_pooler(default_pool_size=1, server_reset_query=reset)
    stays = pooler.wire_login()
    prepare(stays, "select $1::int", "s")
    pid = stays.values("select pg_backend_pid()")
    batch = wire.parse("select $1::int + 1", "t") + wire.bind((1,), "t") + wire.execute()
    goodbyes = [
        batch,  # no Sync
        batch + wire.SYNC,
        wire.parse("selec", "t") + batch,
        wire.query("deallocate all"),
        wire.parse("deallocate all") + wire.bind() + wire.execute() + wire.SYNC,
        wire.query("begin") + batch,
        wire.extended("select pg_sleep(60)"),
    ]
    for goodbye in goodbyes:
        for leave in ("vanish", "close"):
            if leave == "close" and goodbye is goodbyes[-1]:
                continue
            leaver = pooler.wire_login()
            leaver.send(goodbye)
            getattr(leaver, leave)()
            assert wire.rows(run(stays, "s", 4)) == [["4"]], goodbye
            prepare(stays, "select $1::int + 1", "t")
            assert wire.rows(run(stays, "t", 1)) == [["2"]], goodbye
            stays.send(wire.close("S", "t") + wire.SYNC)
            stays.read_until("Z")
    assert stays.values("select pg_backend_pid()") == pid, "a server was thrown away"


def test_large_statements(make_pooler):
    """A Parse larger than the read buffer, and a Bind much larger, by name."""
    pooler = make_pooler(default_pool_size=1)
    client, other = pooler.wire_login(), pooler.wire_login()
    sql = "select length($1), length('" + "x" * 300_000 + "')"
    for one in (client, other):
        assert wire.kinds(prepare(one, sql, "big", 25)) == "1Z"
        assert wire.rows(run(one, "big", "v" * 3_000_000)) == [["3000000", "300000"]]


def test_many_at_once(make_pooler):
    """Clients that prepare, run, fail and close at the same time get their own answers."""
    pooler = make_pooler(default_pool_size=2, max_prepared_statements=3, threads=4)

    def work(seed):
        chance, client, names = random.Random(seed), pooler.wire_login(), {}
        for _ in range(60):
            n, name = chance.randrange(6), f"s{chance.randrange(4)}"
            answer = prepare(client, f"select $1::int * 10 + {n}", name)
            assert ("E" in wire.kinds(answer)) == (name in names)
            names.setdefault(name, n)
            value = chance.randrange(100)
            assert wire.rows(run(client, name, value)) == [[str(value * 10 + names[name])]]
            if chance.random() < 0.3:
                client.send(wire.close("S", name) + wire.SYNC)
                client.read_until("Z")
                del names[name]
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
