"""What a client keeps in its session while its servers change: settings, and what pins it."""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import wire
from pooler import ADMIN
from test_pooling import busy, pid_of
from waiting import wait_until

LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"


def show(conn, name):
    return conn.execute(f"show {name}").fetchone()[0]


def pins(pooler):
    """reason -> how many clients"""
    return sorted(row["reason"] for row in pooler.show("pins"))


def wait_unpinned(pooler):
    wait_until(lambda: not pooler.show("pins"), "no pin")


# ---- settings


def test_settings_follow_the_client(make_pooler, threads):
    """A plain SET holds on every server of the client's, and on nobody else's."""
    pooler = make_pooler(default_pool_size=4, threads=threads)
    clients = [pooler.connect() for _ in range(6)]
    for number, client in enumerate(clients):
        client.execute(f"set work_mem = '{number + 1}MB'")
        if number % 2:
            client.execute(f"set my.number to '{number}'")
    untouched = pooler.connect()
    for _ in range(3):
        blockers = busy(pooler, 2)
        for number, client in enumerate(clients):
            assert show(client, "work_mem") == f"{number + 1}MB"
            mine = client.execute("select current_setting('my.number', true)").fetchone()[0]
            assert mine == str(number) if number % 2 else mine in (None, "")
        assert show(untouched, "work_mem") == "4MB"
        for blocker in blockers:
            blocker.close()
    assert not pooler.show("pins")


def test_settings_as_their_transaction_decides(make_pooler):
    pooler = make_pooler(default_pool_size=2)
    conn, other = pooler.connect(), pooler.connect()

    def value():
        assert show(other, "work_mem") == "4MB"
        return show(conn, "work_mem")

    conn.execute("begin; set work_mem = '5MB'; rollback")
    assert value() == "4MB"
    conn.execute("begin; set local work_mem = '5MB'; commit")
    assert value() == "4MB"
    conn.execute("begin; set work_mem = '6MB'; commit")
    assert value() == "6MB"
    with pytest.raises(psycopg.Error):
        conn.execute("set work_mem = '7MB'; select 1/0")
    assert value() == "6MB"
    conn.execute("begin; set work_mem = '8MB'; savepoint a; set work_mem = '9MB'")
    conn.execute("rollback to a; commit")
    assert value() == "8MB"
    conn.execute("begin; savepoint a; set work_mem = '9MB'; savepoint b; release a; commit")
    assert value() == "9MB"
    conn.execute("begin; savepoint a; set work_mem = '10MB'; rollback to a; commit")
    assert value() == "9MB"
    conn.execute("reset work_mem")
    assert value() == "4MB"
    conn.execute("set work_mem = '5MB'; set enable_seqscan = off")
    assert (value(), show(conn, "enable_seqscan")) == ("5MB", "off")
    conn.execute("reset all")
    assert (value(), show(conn, "enable_seqscan")) == ("4MB", "on")
    conn.execute("set work_mem = '5MB'")
    assert value() == "5MB"
    conn.execute("discard all")
    assert value() == "4MB"
    conn.execute("set work_mem to default")
    assert value() == "4MB"


@pytest.mark.parametrize("prepare", [None, 0])
def test_settings_by_the_extended_protocol(make_pooler, prepare):
    pooler = make_pooler(default_pool_size=2)
    conn = pooler.connect(prepare_threshold=prepare)
    other = pooler.connect()
    for _ in range(3):
        conn.execute("set work_mem = '5MB'", prepare=prepare is not None)
        assert show(other, "work_mem") == "4MB"
        assert show(conn, "work_mem") == "5MB"
        with conn.transaction():
            conn.execute("set work_mem = '6MB'", prepare=prepare is not None)
            assert show(conn, "work_mem") == "6MB"
            raise psycopg.Rollback
        assert show(conn, "work_mem") == "5MB"
        conn.execute("reset work_mem", prepare=prepare is not None)
        assert show(conn, "work_mem") == "4MB"
    assert not pooler.show("pins")


def test_settings_by_wire(make_pooler):
    """Parse, Bind, Execute and Sync in one; then a pipeline whose error takes the SET back."""
    pooler = make_pooler(default_pool_size=1)
    conn, other = pooler.wire_login(), pooler.wire_login()
    conn.send(wire.extended("set work_mem = '5MB'"))
    conn.read_until("Z")
    assert other.values("show work_mem") == [["4MB"]]
    assert conn.values("show work_mem") == [["5MB"]]
    conn.send(wire.parse("set work_mem = '6MB'") + wire.bind() + wire.execute())
    conn.send(wire.extended("select 1/0"))
    conn.read_until("Z")
    assert other.values("show work_mem") == [["4MB"]]
    assert conn.values("show work_mem") == [["5MB"]]


def test_search_path(make_pooler):
    """Lists keep their quotes, by SET and by set_config()."""
    pooler = make_pooler(default_pool_size=1)
    conn, other = pooler.connect(), pooler.connect()
    conn.execute("""set search_path = "$user", 'Odd, name', public""")
    assert show(other, "search_path") == '"$user", public'
    assert show(conn, "search_path") == '"$user", "Odd, name", public'
    conn.execute("select pg_catalog.set_config('search_path', '', false)")
    assert show(other, "search_path") == '"$user", public'
    assert show(conn, "search_path") == ""
    assert not pooler.show("pins")


def test_session_characteristics(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    conn, other = pooler.connect(), pooler.connect()
    conn.execute("set session characteristics as transaction isolation level serializable, read only")
    for name, mine, theirs in (
        ("transaction_isolation", "serializable", "read committed"),
        ("transaction_read_only", "on", "off"),
    ):
        assert show(other, name) == theirs
        assert show(conn, name) == mine


def test_too_many_settings_pin(make_pooler):
    """What does not fit into the memory of a client is held by its server."""
    pooler = make_pooler(default_pool_size=2)
    conn, other = pooler.connect(), pooler.connect()
    for number in range(6):
        conn.execute(f"set my.long{number} = '{'x' * 900}'")
    assert pins(pooler) == ["setting"]
    assert conn.execute("select length(current_setting('my.long5'))").fetchone() == (900,)
    assert other.execute("select current_setting('my.long5', true)").fetchone() == (None,)
    conn.execute("discard all")
    assert not pooler.show("pins")


def test_large_text_leaves_nothing(make_pooler):
    """What a text that streams through sets is not followed; so its server is reset."""
    pooler = make_pooler(default_pool_size=1)
    conn, other = pooler.connect(), pooler.connect()
    conn.execute(f"select '{'x' * 100000}'; set work_mem = '5MB'")
    assert show(other, "work_mem") == "4MB"


def test_a_dump_that_is_broken_off(make_pooler):
    """The client goes in the middle of its transaction: nobody gets its empty search_path."""
    pooler = make_pooler(default_pool_size=1, server_reset_query="")
    for _ in range(3):
        conn = pooler.wire_login()
        conn.query("begin")
        conn.query("select pg_catalog.set_config('search_path', '', false)")
        conn.query("commit; begin; declare c cursor with hold for select 1")
        conn.close()
        with pooler.connect() as other:
            assert show(other, "search_path") == '"$user", public'
            assert other.execute("select count(*) from pg_cursors").fetchone() == (0,)


# ---- pins


def test_listen(make_pooler, threads):
    """LISTEN and NOTIFY in transaction mode, and the server is everybody's again after UNLISTEN."""
    pooler = make_pooler(default_pool_size=2, threads=threads)
    listener, speaker = pooler.wire_login(), pooler.connect()
    listener.query("listen news")
    listener.query("listen weather")
    assert pins(pooler) == ["listen"]
    for number in range(3):
        speaker.execute(f"notify news, '{number}'")
        heard = listener.read()
        assert heard.type == "A" and f"news\0{number}".encode() in heard.body
    (row,) = pooler.show("pins")
    assert (row["database"], row["user"]) == ("app", "alice")
    assert [row["server_pid"]] == [int(v) for [v] in listener.values("select pg_backend_pid()")]
    (client,) = [c for c in pooler.show("clients") if c["id"] == row["client_id"]]
    assert client["pins"] == "listen"
    listener.query("unlisten weather")
    assert listener.values("select 1") == [["1"]]
    assert pins(pooler) == ["listen"]
    listener.query("unlisten news")
    wait_unpinned(pooler)
    (stats,) = [s for s in pooler.show("stats") if s["database"] == "app"]
    assert stats["total_pin_listen_count"] == 1


def test_listen_with_psycopg(make_pooler):
    pooler = make_pooler(default_pool_size=2)
    listener, speaker = pooler.connect(), pooler.connect()
    listener.execute("listen news")
    speaker.execute("select pg_notify('news', 'hello')")
    assert next(listener.notifies()).payload == "hello"


@pytest.mark.parametrize(
    "reason, begin, end",
    [
        ("temporary_table", "create temp table mine(a int)", "drop table mine"),
        ("temporary_table", "create temp table mine(a int)", "discard temp"),
        ("temporary_table", "select 1 as a into temp mine", "discard all"),
        ("temporary_table", "create table pg_temp.mine(a int)", "drop table pg_temp.mine"),
        ("temporary_table", "create temp sequence s", "drop sequence s"),
        ("temporary_table", "create temp view v as select 1", "drop view v"),
        ("advisory_lock", "select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
        ("advisory_lock", "select pg_advisory_lock(7)", "select pg_advisory_unlock_all()"),
        ("advisory_lock", "select pg_try_advisory_lock(7)", "discard all"),
        ("held_cursor", "declare c cursor with hold for select 1", "close c"),
        ("prepared_statement", "prepare p as select 1", "deallocate p"),
        ("prepared_statement", "prepare p as select 1", "deallocate all"),
        ("setting", "select set_config('my.x', 'a' || 'b', false)", "discard all"),
        ("setting", "select set_config('my.x', 'a' || 'b', false)", "reset all"),
        ("listen", "listen x", "unlisten *"),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
def test_pins_and_their_ends(make_pooler, reason, begin, end, extended):
    pooler = make_pooler(default_pool_size=2)
    conn, other = pooler.wire_login(), pooler.connect()

    def run(sql):
        if extended:
            conn.send(wire.extended(sql))
            said = conn.read_until("Z")
        else:
            said = conn.query(sql)
        assert "E" not in wire.kinds(said), said

    run(begin)
    assert pins(pooler) == [reason]
    mine = conn.values("select pg_backend_pid()")
    for _ in range(3):
        assert [[str(pid_of(other))]] != mine
    run(end)
    wait_unpinned(pooler)
    counted = [s for s in pooler.show("stats") if s["database"] == "app"][0]
    assert counted[f"total_pin_{reason}_count"] == 1


def test_state_that_never_came_into_being(make_pooler):
    """Rolled back, failed, or not got: no pin is left."""
    pooler = make_pooler(default_pool_size=3)
    holder, conn = pooler.connect(), pooler.connect()
    holder.execute("select pg_advisory_lock(5)")
    assert conn.execute("select pg_try_advisory_lock(5)").fetchone() == (False,)
    wait_until(lambda: pins(pooler) == ["advisory_lock"], "one pin")
    conn.execute("begin; listen x; create temp table t(); rollback")
    wait_until(lambda: pins(pooler) == ["advisory_lock"], "one pin")
    with pytest.raises(psycopg.errors.DuplicateTable):
        conn.execute("create temp table u(); create temp table u()")
    wait_until(lambda: pins(pooler) == ["advisory_lock"], "one pin")
    conn.execute("begin; create temp table t() on commit drop; commit")
    conn.execute("select pg_advisory_xact_lock(6)")
    assert pins(pooler) == ["advisory_lock"]


def test_what_a_pinned_client_leaves(make_pooler, threads):
    """Its server is cleaned before anybody gets it."""
    pooler = make_pooler(default_pool_size=2, threads=threads, server_reset_query="")
    for _ in range(5):
        conn = pooler.connect()
        conn.execute("select pg_advisory_lock(1); create temp table mine(); listen x")
        conn.execute("prepare p as select 1; set session authorization default")
        conn.close()
        wait_unpinned(pooler)
        for other in busy(pooler, 2):
            assert other.execute(LOCKS).fetchone() == (0,)
            assert other.execute("select to_regclass('mine')").fetchone() == (None,)
            assert other.execute("select count(*) from pg_listening_channels()").fetchone() == (0,)
            assert other.execute(
                "select count(*) from pg_prepared_statements where from_sql"
            ).fetchone() == (0,)
            other.close()


def test_at_most_all_servers_but_one(make_pooler, threads):
    """The one more is refused before its statement runs, and its transaction fails."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    first, second, third = (pooler.connect() for _ in range(3))
    first.execute("listen a")
    second.execute("listen b")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as refused:
        third.execute("listen c")
    assert "SHOW PINS" in refused.value.diag.message_hint
    assert third.execute("select count(*) from pg_listening_channels()").fetchone() == (0,)
    third.execute("begin")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        third.execute("create temp table t()")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        third.execute("select 1")
    third.execute("rollback")
    raw = pooler.wire_login()
    raw.send(wire.extended("listen x") + wire.extended("select 1"))
    assert wire.kinds(raw.read_until("Z")) == "12nEZ"
    assert wire.kinds(raw.read_until("Z")) == "12TDCZ"
    assert raw.values("select 1") == [["1"]]
    first.execute("unlisten a")
    wait_until(lambda: len(pooler.show("pins")) == 1, "one pin less")
    third.execute("listen c")
    assert len(pooler.show("pins")) == 2


def test_a_pool_of_one_pins_nobody(make_pooler):
    pooler = make_pooler(default_pool_size=1)
    conn = pooler.connect()
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        conn.execute("listen a")
    assert conn.execute("select 1").fetchone() == (1,)


# ---- the other policies


def test_error(make_pooler):
    pooler = make_pooler(session_state="error")
    conn = pooler.connect()
    for sql in ("listen x", "create temp table t()", "select pg_advisory_lock(1)", "prepare p as select 1"):
        with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
            conn.execute(sql)
        assert "session_state" in refused.value.diag.message_hint
    conn.execute("set work_mem = '5MB'")
    assert show(conn, "work_mem") == "5MB"
    assert not pooler.show("pins")


def test_ignore(make_pooler):
    pooler = make_pooler(session_state="ignore", default_pool_size=1)
    conn = pooler.connect()
    conn.execute("listen x; create temp table t()")
    assert not pooler.show("pins")


def test_policy_of_database_and_user(make_pooler):
    pooler = make_pooler(
        databases={"app": {"session_state": "error"}}, users={"bob": "session_state=ignore"}
    )
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        pooler.connect().execute("listen x")
    pooler.connect(user="bob").execute("listen x")
    pooler.connect("other").execute("listen x")
    assert pins(pooler) == ["listen"]
    pooler.databases["app"] = {"session_state": "pin"}
    pooler.write()
    pooler.show("version")
    admin = pooler.connect("pgbouncer", ADMIN)
    admin.execute("reload")
    pooler.connect().execute("listen x")


# ---- tracked parameters


def test_extra_parameters(make_pooler):
    """What the server reports follows by its report, also where no text says it."""
    pooler = make_pooler(
        default_pool_size=1, track_extra_parameters="IntervalStyle, default_transaction_read_only"
    )
    conn, other = pooler.connect(), pooler.connect()
    conn.execute("do $$ begin perform set_config('default_transaction_read_only', 'on', false); end $$")
    assert show(other, "default_transaction_read_only") == "off"
    assert show(conn, "default_transaction_read_only") == "on"


def test_extra_parameter_at_startup(make_pooler):
    """search_path, which PostgreSQL before 18 does not report."""
    pooler = make_pooler(default_pool_size=1, track_extra_parameters="IntervalStyle,search_path")
    conn = pooler.wire_login(search_path='pg_catalog, "Odd"')
    other = pooler.connect()
    assert show(other, "search_path") == '"$user", public'
    assert conn.values("show search_path") == [['pg_catalog, "Odd"']]
    other.execute("set search_path = a, b")
    assert conn.values("show search_path") == [['pg_catalog, "Odd"']]
    assert show(other, "search_path") == "a, b"


# ---- all at once


class Model:
    """What one client believes to have set; every step checks it against the server."""

    def __init__(self, pooler, seed):
        self.pooler = pooler
        self.random = random.Random(seed)
        self.number = seed
        self.connect()

    def connect(self):
        self.conn = self.pooler.connect(prepare_threshold=self.random.choice([None, 0]))
        self.value = None
        self.table = False

    def check(self):
        shown, table, locks = self.conn.execute(
            "select current_setting('my.value', true), to_regclass('pg_temp.mine') is not null,"
            f" ({LOCKS})"
        ).fetchone()
        assert (shown or None, table, locks) == (self.value, self.table, 0)

    def set(self, sql="set my.value = '{}'"):
        self.number += 1000
        self.conn.execute(sql.format(self.number))
        return str(self.number)

    def step(self):
        step = self.random.choice(
            [self.commit, self.rollback, self.savepoint, self.plain, self.reset, self.make_table]
            + [self.drop_table, self.leave, self.check, self.check]
        )
        step()

    def commit(self):
        with self.conn.transaction():
            value = self.set()
        self.value = value

    def rollback(self):
        with self.conn.transaction():
            self.set()
            raise psycopg.Rollback

    def savepoint(self):
        with self.conn.transaction():
            value = self.set()
            with self.conn.transaction():
                self.set()
                raise psycopg.Rollback
        self.value = value

    def plain(self):
        self.value = self.set("select set_config('my.value', '{}', false)")

    def reset(self):
        self.conn.execute(self.random.choice(["reset my.value", "reset all", "set my.value to default"]))
        self.value = None

    def make_table(self):
        if not self.table:
            try:
                self.conn.execute("create temp table mine()")
                self.table = True
            except psycopg.errors.ConfigurationLimitExceeded:
                pass

    def drop_table(self):
        if self.table:
            self.conn.execute("drop table mine")
            self.table = False

    def leave(self):
        how = self.random.choice(
            [["select 1"], ["begin", "set my.value = 'left'"], ["select pg_advisory_lock(1)"]]
        )
        with contextlib.suppress(
            psycopg.errors.ConfigurationLimitExceeded, psycopg.errors.LockNotAvailable
        ):
            for sql in ["set lock_timeout = '1ms'", *how]:
                self.conn.execute(sql)
        self.conn.close()
        self.connect()


def test_many_clients_keep_their_own(make_pooler, threads):
    """Random steps of many clients over few servers: each finds what it has set and nothing else."""
    pooler = make_pooler(default_pool_size=5, threads=threads, max_client_conn=200)

    def run(seed):
        model = Model(pooler, seed)
        for _ in range(40):
            model.step()
            model.check()
        model.conn.close()

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(run, range(12)))
    wait_unpinned(pooler)
