"""Places for server and client connections that several pools share."""

import os
import threading
import time

import pytest

import wire
from limits import by_name, refused, reload
from test_faults import server_down
from test_pooling import busy, pid_of
from waiting import DEADLINE, wait_until

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
def test_busy_pools_take_turns(make_pooler, threads, where):
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
        row = by_name(pooler, f"{where}s", {"database": first[0], "user": first[1]}[where])
        most[0] = max(most[0], row["current_connections"])
        return all(len(list_) >= 20 for lists in done.values() for list_ in lists)

    try:
        wait_until(all_are_served, lambda: f"all to be served: {done}")
    finally:
        stop.set()
        for worker in workers:
            worker.join(DEADLINE)
    assert most[0] == 1


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
