"""Limits that several pools share, sizes that grow under pressure, queues that do not."""

import os
import threading
import time

import psycopg
import pytest

import wire
from test_config import by_command
from test_faults import server_down
from test_pooling import MY_PID, busy, pid_of
from waiting import DEADLINE, wait_until


def refused(client, message, code="53300"):
    """A login that is refused with this message."""
    fields = wire.error(client)
    assert (fields["S"], fields["C"]) == ("FATAL", code)
    assert message in fields["M"]


def by_name(pooler, what, name):
    (row,) = [row for row in pooler.show(what) if row["name"] == name]
    return row


def reload(pooler, **settings):
    pooler.settings.update(settings)
    pooler.write()
    by_command(pooler)


# ---- server connections per database and per user

# One server for two pools: of one database, or of one user.
SHARED = {
    "database": ({"max_db_connections": 1}, ("app", "alice"), ("app", "bob")),
    "this database": (
        {"max_db_connections": 9, "databases": {"app": {"max_db_connections": 1}}},
        ("app", "alice"),
        ("app", "bob"),
    ),
    "user": ({"max_user_connections": 1}, ("app", "alice"), ("other", "alice")),
    "this user": (
        {"max_user_connections": 9, "users": {"alice": "max_user_connections=1"}},
        ("app", "alice"),
        ("other", "alice"),
    ),
}


@pytest.mark.parametrize("where", SHARED)
def test_one_place_for_two_pools(make_pooler, cluster, threads, where):
    """Whoever has work gets the place: an idle server of the other pool is closed for it."""
    settings, first, second = SHARED[where]
    pooler = make_pooler(threads=threads, **settings)
    clients = [pooler.wire_login(*pool) for pool in (first, second)]
    for n in range(10):
        assert clients[n % 2].values(f"select {n}") == [[str(n)]]
        wait_until(lambda: len(cluster.backends("usename <> 'postgres'")) <= 1, "one backend")


@pytest.mark.parametrize("where", SHARED)
def test_place_of_a_busy_pool(make_pooler, threads, where):
    """Who waits for the place of a server in use gets it when that comes back."""
    settings, first, second = SHARED[where]
    pooler = make_pooler(threads=threads, **settings)
    holder, waiter = pooler.wire_login(*first), pooler.wire(False)
    holder.query("begin")
    # The first login of a pool needs a server of its own: it waits as any request does.
    waiter.send(wire.startup({"user": second[1], "database": second[0]}))
    pooler.wait_waiting(1, *second)
    assert holder.query("commit")[-1].type == "Z"
    assert waiter.read_until("Z")
    assert waiter.values("select 2") == [["2"]]
    assert holder.values("select 1") == [["1"]]


def hammer(pooler, pool, stop, done):
    """Queries one after the other, until told to stop."""
    client = pooler.wire_login(*pool)
    while not stop.is_set():
        assert client.values("select 1") == [["1"]]
        done.append(time.monotonic())


@pytest.mark.parametrize("where", ["database", "user"])
def test_busy_pools_take_turns(make_pooler, cluster, threads, where):
    """Two pools that always have waiters share one place: neither starves, one server at a time."""
    settings, first, second = SHARED[where]
    pooler = make_pooler(threads=threads, query_wait_timeout=0, **settings)
    stop, most = threading.Event(), [0]
    done = {pool: [[], [], []] for pool in (first, second)}
    workers = [
        threading.Thread(target=hammer, args=(pooler, pool, stop, list_))
        for pool, lists in done.items()
        for list_ in lists
    ]
    for worker in workers:
        worker.start()

    def all_are_served():
        most[0] = max(most[0], len(cluster.backends("usename <> 'postgres'")))
        return all(len(list_) >= 20 for lists in done.values() for list_ in lists)

    try:
        wait_until(all_are_served, lambda: f"all to be served: {done}")
    finally:
        stop.set()
        for worker in workers:
            worker.join(DEADLINE)
    # PostgreSQL may still show the one that has just been told to end.
    assert 1 <= most[0] <= 2


def test_places_are_used_up(make_pooler, threads):
    """Five places for two pools: all are used, none more, and SHOW tells."""
    pooler = make_pooler(threads=threads, max_db_connections=5)
    crowd = busy(pooler, 3) + busy(pooler, 2, user="bob")
    late = [pooler.wire_login(user=user) for user in ("alice", "bob")]
    for client in late:
        client.send(wire.query("select 'late'"))
    for user in ("alice", "bob"):
        pooler.wait_waiting(1, user=user)
    row = by_name(pooler, "databases", "app")
    assert (row["max_connections"], row["current_connections"]) == (5, 5)
    crowd[0].execute("commit")
    crowd[4].execute("commit")
    for client in late:
        assert wire.rows(client.read_until("Z")) == [["late"]]
    assert by_name(pooler, "databases", "app")["current_connections"] <= 5


def test_leaving_the_queue_for_a_place(make_pooler, threads):
    """A waiter that leaves wants nothing any more: the server of the other pool is not closed."""
    pooler = make_pooler(threads=threads, max_db_connections=1, default_pool_size=2)
    bob = pooler.wire_login(user="bob")
    bob.values("select 1")
    holder = pooler.connect()
    holder.execute("begin")
    bob.send(wire.query("select 1"))
    pooler.wait_waiting(1, user="bob")
    bob.vanish()
    pooler.wait_waiting(0, user="bob")
    pid = pid_of(holder)
    holder.execute("commit")
    assert pid_of(holder) == pid


def test_server_down_with_shared_places(make_pooler, cluster, threads):
    """Failed logins give their places back."""
    pooler = make_pooler(threads=threads, max_db_connections=1, query_wait_timeout=60)
    clients = [pooler.wire_login(user=user) for user in ("alice", "bob") * 2]
    for client in clients:
        client.values("select 1")
    with server_down(cluster):
        for number, client in enumerate(clients):
            client.send(wire.query(f"select {number}"))
        for user in ("alice", "bob"):
            pooler.wait_waiting(2, user=user)
        cluster.start()
        for number, client in enumerate(clients):
            assert wire.rows(client.read_until("Z")) == [[str(number)]]
    assert by_name(pooler, "databases", "app")["current_connections"] <= 1


def come_and_go(pooler, number, rounds):
    """A client of one of four pools: queries, transactions, and now and then a new connection."""
    pool = ("app", "other")[number % 2], ("alice", "bob")[number // 2 % 2]
    client = pooler.wire_login(*pool)
    for n in range(rounds):
        if (number + n) % 7 == 0:
            client.query("begin")
            client.query("select pg_sleep(0.002)")
            client.query("commit")
        if (number + n) % 11 == 0:
            client.close() if n % 2 else client.vanish()
            client = pooler.wire_login(*pool)
        assert client.values(f"select {number * 1000 + n}") == [[str(number * 1000 + n)]]


def test_shared_places_under_pressure(make_pooler, threads):
    """Every limit binds, servers come and go for every reason: nobody is forgotten."""
    pooler = make_pooler(
        threads=threads,
        default_pool_size=2,
        min_pool_size=1,
        reserve_pool_size=1,
        reserve_pool_timeout=0.05,
        max_db_connections=3,
        max_user_connections=2,
        max_server_logins=1,
        server_idle_timeout=0.05,
        server_lifetime=0.3,
        query_wait_notify=0,
        query_wait_timeout=DEADLINE,
    )
    rounds = int(os.environ.get("PERFKIT_PRESSURE_ROUNDS", "40"))
    failed = []

    def run(number):
        try:
            come_and_go(pooler, number, rounds)
        except BaseException as e:  # whatever it is, the test has to tell
            failed.append(e)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    for name in ("app", "other"):
        assert by_name(pooler, "databases", name)["current_connections"] <= 3
    pooler.close_clients()
    wait_until(
        lambda: all(
            by_name(pooler, "databases", name)["current_client_connections"] == 0
            and by_name(pooler, "databases", name)["current_connections"] == 0
            for name in ("app", "other")
        ),
        "all places to be given back",
    )


def test_reload_of_shared_places(make_pooler, threads):
    """A raised limit serves who waits; a lowered one shrinks when servers come back."""
    pooler = make_pooler(threads=threads, max_db_connections=1)
    holder = busy(pooler, 1)[0]
    waiters = [pooler.wire(), pooler.wire()]
    for user, waiter in zip(("bob", "carol"), waiters):
        waiter.send(wire.startup({"user": user, "database": "app"}))
        pooler.wait_waiting(1, user=user)
    reload(pooler, max_db_connections=3)
    for waiter in waiters:
        waiter.read_until("Z")
        waiter.query("begin")
    assert by_name(pooler, "databases", "app")["current_connections"] == 3
    reload(pooler, max_db_connections=1)
    for waiter in waiters:
        waiter.query("commit")
    wait_until(
        lambda: by_name(pooler, "databases", "app")["current_connections"] == 1, "one to be left"
    )
    holder.execute("commit")
    assert waiters[0].values("select 1") == [["1"]]


# ---- client connections per database and per user

CLIENTS = {
    "database": ({"max_db_client_connections": 2}, "bob", "app", "max_db_client_connections"),
    "this database": (
        {"databases": {"app": {"max_db_client_connections": 2}}},
        "bob",
        "app",
        "max_db_client_connections",
    ),
    "user": ({"max_user_client_connections": 2}, "alice", "other", "max_user_client_connections"),
    "this user": (
        {"users": {"alice": "max_user_client_connections=2"}},
        "alice",
        "other",
        "max_user_client_connections",
    ),
}


@pytest.mark.parametrize("where", CLIENTS)
def test_client_connections(make_pooler, threads, where):
    """One too many is told which limit it was; who is outside of it gets in; a place comes free."""
    settings, user, database, name = CLIENTS[where]
    pooler = make_pooler(threads=threads, **settings)
    clients = [pooler.wire_login(), pooler.wire_login()]
    refused(pooler.wire().login(user, database), f"client connections exceeded ({name})")
    assert pooler.wire_login("bench", "carol").values("select 1") == [["1"]]
    assert all(client.values("select 1") == [["1"]] for client in clients)
    what, row = ("databases", "app") if "db" in name else ("users", "alice")
    shown = by_name(pooler, what, row)
    most = shown["max_client_connections" if "db" in name else "max_user_client_connections"]
    assert (most, shown["current_client_connections"]) == (2, 2)
    clients[0].close()
    wait_until(lambda: pooler.wire().login(user, database)[-1].type == "Z", "the place to be free")


# ---- min_pool_size, reserve_pool_size


@pytest.mark.parametrize("where", ["global", "database"])
def test_min_pool_size(make_pooler, cluster, threads, where):
    """Kept open while a client is there: at its login, after losses, against server_idle_timeout."""
    limits = {"min_pool_size": 3} if where == "global" else {"databases": {"app": {"min_pool_size": 3}}}
    pooler = make_pooler(threads=threads, server_idle_timeout=0.2, **limits)
    client = pooler.wire_login()

    def three_idle():
        return len(pooler.server_pids()) == 3 and pooler.pool()["sv_idle"] == 3

    wait_until(three_idle, "three servers")
    assert by_name(pooler, "databases", "app")["min_pool_size"] == 3
    crowd = busy(pooler, 5)
    for one in crowd:
        one.execute("commit")
    wait_until(three_idle, "the two others to be closed")
    cluster.terminate(pooler.server_pids())
    wait_until(three_idle, "three new servers")
    client.close()
    pooler.close_clients()
    wait_until(lambda: not pooler.server_pids(), "a pool without clients to be empty")


def test_min_pool_size_of_a_forced_user(make_pooler):
    """It is filled without any client, also again after a pause."""
    line = {"dbname": "app", "user": "carol", "min_pool_size": 2}
    pooler = make_pooler(databases={"fixed": line})
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 2, "two servers")
    before = pooler.server_pids("app", "carol")
    pooler.command("pause fixed")
    assert not pooler.server_pids("app", "carol") & before
    pooler.command("resume fixed")
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 2, "two servers after the pause")
    pooler.databases["fixed"]["min_pool_size"] = 4
    reload(pooler)
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 4, "four after a reload")


def test_min_pool_size_stays_within_other_limits(make_pooler):
    """Neither the size of the pool nor the places of the database are exceeded for it."""
    pooler = make_pooler(min_pool_size=10, default_pool_size=3, max_db_connections=4)
    clients = [pooler.wire_login(user=user) for user in ("alice", "bob")]
    for _ in range(20):
        for client in clients:
            client.values("select 1")
        assert by_name(pooler, "databases", "app")["current_connections"] <= 4
        assert pooler.pool()["sv_idle"] <= 3


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_reserve_pool(make_pooler, threads, where):
    """It opens, one by one, for those who waited reserve_pool_timeout; never more than it holds."""
    limits = {
        "global": {"reserve_pool_size": 2},
        "database": {"databases": {"app": {"reserve_pool_size": 2}}},
        "user": {"users": {"alice": "reserve_pool_size=2"}},
    }
    pooler = make_pooler(
        threads=threads, default_pool_size=1, reserve_pool_timeout=0.5, **limits[where]
    )
    busy(pooler, 1)
    waiters = [pooler.wire_login() for _ in range(3)]
    began = time.monotonic()
    for waiter in waiters:
        waiter.send(wire.query("begin; select 1"))
    wait_until(lambda: sum(w.has_answer() for w in waiters) == 2, "two of them to be served")
    assert time.monotonic() - began >= 0.5
    # One loop reads what came at the same time in an order of its own.
    waiters.sort(key=lambda w: not w.has_answer())
    for waiter in waiters[:2]:
        assert wire.rows(waiter.read_until("Z")) == [["1"]]
    pooler.wait_waiting(1)
    assert len(pooler.server_pids()) == 3
    waiters[0].query("commit")
    assert wire.rows(waiters[2].read_until("Z")) == [["1"]]
    assert len(pooler.server_pids()) == 3


def test_reserve_pool_off(make_pooler):
    """A timeout of 0 keeps the reserve closed; a reload opens it for who waits already."""
    pooler = make_pooler(default_pool_size=1, reserve_pool_size=1, reserve_pool_timeout=0)
    busy(pooler, 1)
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    assert len(pooler.server_pids()) == 1 and not waiter.has_answer()
    reload(pooler, reserve_pool_timeout=0.1)
    assert wire.rows(waiter.read_until("Z")) == [["1"]]


# ---- logins


def test_max_server_logins(make_pooler, cluster, threads):
    """One login at a time over all pools, and everybody gets in."""
    pooler = make_pooler(threads=threads, max_server_logins=1, server_login_concurrency=4)
    clients = [
        pooler.wire() for database in ("app", "other") for user in ("alice", "bob") for _ in "1234"
    ]
    for n, client in enumerate(clients):
        client.send(
            wire.startup({"user": ("alice", "bob")[n % 2], "database": ("app", "other")[n // 8]})
        )
    for client in clients:
        client.read_until("Z")
        client.send(wire.query("begin; select 1"))
    for client in clients:
        assert wire.rows(client.read_until("Z")) == [["1"]]
    assert sum(int(row["sv_active"]) for row in pooler.show("pools")) == len(clients)


def test_server_that_returns_serves_the_queue_first(make_pooler, cluster, threads):
    """Who waited while PostgreSQL was away keeps its place, in front of who comes when it is back."""
    pooler = make_pooler(threads=threads, default_pool_size=1, query_wait_timeout=60)
    clients = [pooler.wire_login() for _ in range(6)]
    clients[0].values("select 1")
    ask = wire.query("select extract(epoch from clock_timestamp())")
    with server_down(cluster):
        for count, client in enumerate(clients[:4], 1):
            client.send(ask)
            pooler.wait_waiting(count)
        cluster.start()
        for client in clients[4:]:
            client.send(ask)
        times = [float(wire.rows(client.read_until("Z"))[0][0]) for client in clients]
    assert times[:4] == sorted(times[:4])
    assert max(times[:4]) < min(times[4:])


# ---- query_wait_notify


def test_query_wait_notify(make_pooler, threads):
    """A notice after that time, once; then the answer as usual."""
    pooler = make_pooler(threads=threads, default_pool_size=1, query_wait_notify=0.3)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    began = time.monotonic()
    waiter.send(wire.query("select 1"))
    notice = waiter.read()
    assert notice.type == "N" and time.monotonic() - began >= 0.3
    fields = wire.fields(notice.body)
    assert (fields["S"], fields["C"]) == ("NOTICE", "00000") and "query_wait_notify" in fields["M"]
    holder.execute("commit")
    assert wire.kinds(waiter.read_until("Z")) == "TDCZ"


def test_query_wait_notify_and_timeout(make_pooler):
    """First the notice, then the error; with 0 there is only the error."""
    pooler = make_pooler(default_pool_size=1, query_wait_notify=0.1, query_wait_timeout=0.5)
    busy(pooler, 1)
    for notify, kinds in ((0.1, "NE"), (0, "E")):
        reload(pooler, query_wait_notify=notify)
        waiter = pooler.wire_login()
        waiter.send(wire.query("select 1"))
        said = waiter.read_all()
        assert wire.kinds(said) == kinds and wire.error(said)["M"] == "query_wait_timeout"


# ---- max_client_waiting


@pytest.fixture(params=["global", "database", "user"])
def where(request):
    return request.param


def limit(where, name, value):
    return {
        "global": {name: value},
        "database": {name: 0, "databases": {"app": {name: value}}},
        "user": {name: 0, "users": {"alice": f"{name}={value}"}},
    }[where]


def test_queue_limit(make_pooler, threads, where):
    """Who finds the queue full is told at once and stays; those in it are served."""
    pooler = make_pooler(
        threads=threads, default_pool_size=1, **limit(where, "max_client_waiting", 2)
    )
    holder = busy(pooler, 1)[0]
    waiters = [pooler.wire_login() for _ in range(2)]
    for waiter in waiters:
        waiter.send(wire.query("select 'waited'"))
    pooler.wait_waiting(2)
    late = pooler.wire_login()
    said = late.query("select 1")
    assert wire.kinds(said) == "EZ" and said[-1].body == b"I"
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("ERROR", "53300") and "max_client_waiting" in fields["M"]
    holder.execute("commit")
    for waiter in waiters:
        assert wire.rows(waiter.read_until("Z")) == [["waited"]]
    assert late.values("select 1") == [["1"]]


@pytest.fixture
def full(make_pooler):
    """A pooler whose only server is taken and whose queue is full; yields it and the holder."""
    pooler = make_pooler(default_pool_size=1, max_client_waiting=1)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    return pooler, holder


BATCHES = {
    "extended": (wire.extended("select 1"), "EZ"),
    "pipeline": (wire.extended("select 1") + wire.extended("select 2"), "EZEZ"),
    "two queries": (wire.query("select 1") + wire.query("select 2"), "EZEZ"),
    "query in a batch": (wire.parse("select 1") + wire.query("select 2") + wire.SYNC, "EZ"),
    "flush in a batch": (wire.parse("select 1") + wire.FLUSH + wire.SYNC, "EZ"),
    "sync": (wire.SYNC, "EZ"),
    "function call": (wire.function_call(1598), "EZ"),
    "long query": (wire.query("select '" + "x" * 300_000 + "'"), "EZ"),
    "copy data": (wire.query("copy t from stdin") + wire.copy_data(b"1\n") + wire.COPY_DONE, "EZ"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_refused_batch(full, name):
    """The whole of it is refused, in PostgreSQL's order; the next one is served."""
    pooler, holder = full
    client = pooler.wire_login()
    batch, kinds = BATCHES[name]
    client.send(batch)
    said = client.read_until("Z" * kinds.count("Z"))
    assert wire.kinds(said) == kinds
    assert {fields["C"] for fields in wire.errors(said)} == {"53300"}
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    assert client.values("select 3") == [["3"]]


def test_refused_batch_in_single_bytes(full):
    """However the bytes come."""
    pooler, _ = full
    client = pooler.wire_login(unix=True)
    client.send_split(wire.extended("select 1") + wire.query("select 2"))
    assert wire.kinds(client.read_until("ZZ")) == "EZEZ"


def test_refused_prepare_leaves_no_name(full):
    """A name that a refused batch would have given is free."""
    pooler, holder = full
    client = pooler.wire_login()
    client.send(wire.parse("select 1", "s") + wire.SYNC)
    assert wire.kinds(client.read_until("Z")) == "EZ"
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    client.send(wire.parse("select 2", "s") + wire.bind(statement="s") + wire.execute() + wire.SYNC)
    assert wire.rows(client.read_until("Z")) == [["2"]]


def test_psycopg_survives_a_refusal(full):
    """An OperationalError with its SQLSTATE, and the connection goes on."""
    pooler, holder = full
    client = pooler.connect()
    with pytest.raises(psycopg.errors.TooManyConnections):
        client.execute("select %s::int", (1,))
    holder.execute("commit")
    wait_until(lambda: pooler.pool()["cl_waiting"] == 0, "the queue to be empty")
    assert client.execute("select %s::int", (1,)).fetchone() == (1,)


def test_queue_limit_at_login(make_pooler):
    """Before the pool's first server there is nothing to greet with: there the refusal is FATAL."""
    pooler = make_pooler(default_pool_size=1, max_db_connections=1, max_client_waiting=1)
    busy(pooler, 1)
    first = pooler.wire()
    first.send(wire.startup({"user": "bob", "database": "app"}))
    pooler.wait_waiting(1, user="bob")
    refused(pooler.wire().login("bob", "app"), "max_client_waiting")


def test_reload_of_the_queue_limit(full):
    pooler, holder = full
    client = pooler.wire_login()
    assert wire.kinds(client.query("select 1")) == "EZ"
    reload(pooler, max_client_waiting=0)
    client.send(wire.query("select 1"))
    pooler.wait_waiting(2)
    holder.execute("commit")
    assert wire.rows(client.read_until("Z")) == [["1"]]
    assert by_name(pooler, "databases", "app")["max_client_waiting"] == 0


# ---- max_statement_length

FITS = "select 1" + " " * 92
TOO_LONG = FITS + " "


def expect_too_long(said, kinds="EZ", status=b"I"):
    assert wire.kinds(said) == kinds and said[-1].body == status
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("ERROR", "54000")
    assert "max_statement_length" in fields["M"] and fields["H"]


def test_statement_length(make_pooler, where):
    """A hundred bytes are let through, one more is not; the client stays and needed no server."""
    pooler = make_pooler(default_pool_size=1, **limit(where, "max_statement_length", 100))
    client = pooler.wire_login()
    pid = pid_of(pooler.connect())
    assert client.values(FITS) == [["1"]]
    holder = busy(pooler, 1)[0]
    expect_too_long(client.query(TOO_LONG))
    expect_too_long(client.query("select '" + "x" * 1_000_000 + "'"))
    client.send(wire.extended(TOO_LONG))
    expect_too_long(client.read_until("Z"))
    holder.execute("commit")
    assert client.values(MY_PID) == [[str(pid)]]
    assert by_name(pooler, "databases", "app")["max_statement_length"] == (
        100 if where != "user" else 0
    )


@pytest.mark.parametrize("size", [101, 300_000])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_statement_length_in_a_transaction(make_pooler, mode, size):
    """The transaction fails, as after any error, and only it."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login()
    pid = client.values(MY_PID)
    client.query("begin")
    text = "select 1".ljust(size)
    expect_too_long(client.query(text), status=b"E")
    assert wire.error(client.query("select 1"))["C"] == "25P02"
    expect_too_long(client.query(text), status=b"E")
    assert client.query("rollback")[-1].body == b"I"
    assert client.values(MY_PID) == pid


@pytest.mark.parametrize("size", [101, 300_000])
@pytest.mark.parametrize("step", [None, 7000])
def test_statement_length_in_a_pipeline(make_pooler, size, step):
    """What stands in front is answered, what follows up to Sync is skipped, then all goes on."""
    pooler = make_pooler(default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login(unix=True)
    one = wire.parse("select 1") + wire.bind() + wire.execute()
    long = wire.parse("select 1".ljust(size), "s") + wire.bind(statement="s") + wire.execute()
    text = one + long + one + wire.SYNC + wire.extended("select 2") + wire.query("x".ljust(size))
    text += wire.query("select 3")
    if step is None:
        client.send(text)
    else:
        client.send_split(text, step)
    said = client.read_until("ZZZZ")
    assert wire.kinds(said) == "12DCEZ" + "12TDCZ" + "EZ" + "TDCZ"
    assert {fields["C"] for fields in wire.errors(said)} == {"54000"}
    assert wire.rows(said) == [["1"], ["2"], ["3"]]
    client.send(wire.parse("select 4", "s") + wire.bind(statement="s") + wire.execute() + wire.SYNC)
    assert wire.rows(client.read_until("Z")) == [["4"]]
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "the server to be free")


def test_server_is_free_when_the_rest_comes_late(make_pooler):
    """An overlong statement whose error is out before its end has come: the server goes then."""
    pooler = make_pooler(default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login()
    late = wire.query("x" * 500_000)
    client.send(wire.query("select 1") + late[:1000])
    assert wire.kinds(client.read_until("ZZ")) == "TDCZEZ"
    client.send(late[1000:])
    assert pooler.connect().execute("select 2").fetchone() == (2,)
    assert client.values("select 3") == [["3"]]


def test_reload_of_the_statement_length(make_pooler):
    pooler = make_pooler(pool_mode="session", max_statement_length=100)
    client = pooler.wire_login()
    client.values("select 1")
    expect_too_long(client.query(TOO_LONG))
    reload(pooler, max_statement_length=0)
    assert client.values(TOO_LONG) == [["1"]]
