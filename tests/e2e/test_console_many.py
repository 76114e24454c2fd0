"""SHOW over more than one turn of a loop can write: nothing is missing, and nothing goes wrong while
what is shown comes and goes."""

import contextlib
import threading

import pytest

from conftest import unnoticed
from fake_server import FakeServer
from test_faults import WELCOME
from waiting import wait_until

COUNT = 120  # more than a slice of 100
NAMES = [f"d{i:03}" for i in range(COUNT)]


@pytest.fixture
def many(make_pooler):
    """many(...) -> a pooler with as many databases, pools and idle servers, and the servers' end."""
    fakes = []

    def make(**more):
        fake = FakeServer(WELCOME)
        fakes.append(fake)
        line = {"port": fake.port, "dbname": "x", "user": "carol"}
        return make_pooler(
            databases={name: line for name in NAMES},
            userlist={f"u{i:03}": "secret" for i in range(COUNT)},
            min_pool_size=1,
            **more,
        )

    yield make
    for fake in fakes:
        fake.close()


def idle(pooler):
    return sum(row["sv_idle"] for row in pooler.show("pools") if row["database"] in NAMES)


def test_nothing_is_missing(many, threads):
    pooler = many(threads=threads)
    wait_until(lambda: idle(pooler) == COUNT, "the servers")
    assert sorted(row["database"] for row in pooler.show("servers")) == NAMES
    sockets = pooler.show("sockets")
    assert sorted(row["database"] for row in sockets if row["type"] == "S") == NAMES
    shown = [row["database"] for row in pooler.show("pools") if row["user"] == "carol"]
    assert sorted(shown) == NAMES
    names = [row["name"] for row in pooler.show("databases")]
    assert sorted(names) == sorted([*NAMES, "app", "other", "bench", "pgbouncer"])
    users = [row["name"] for row in pooler.show("users")]
    assert len(users) == len(set(users)) and {f"u{i:03}" for i in range(COUNT)} <= set(users)
    with pooler.console() as conn:  # and by the extended protocol, in binary
        rows = conn.execute("show servers", binary=True).fetchall()
    assert sorted(row["database"] for row in rows) == NAMES


def test_databases_made_by_clients(make_pooler, threads):
    """Those of "*" are behind those of the file, one row each."""
    fake = FakeServer(WELCOME)
    with contextlib.closing(fake):
        settings = {"threads": threads, "max_client_conn": 2 * COUNT}
        pooler = make_pooler(databases={"*": {"port": fake.port, "dbname": None}}, **settings)
        for name in NAMES:
            pooler.wire_login(name)
        names = [row["name"] for row in pooler.show("databases")]
        assert sorted(names[4:-1]) == NAMES and names[-1] == "pgbouncer"
        # And the console; the one before may be there still.
        wait_until(
            lambda: len({row["id"] for row in pooler.show("clients")}) == COUNT + 1, "its clients"
        )
        stats = [row["database"] for row in pooler.show("stats_totals")]
        assert sorted(set(stats) & set(NAMES)) == NAMES and len(stats) == len(set(stats))


def test_few_of_many_clients(make_pooler, threads):
    """SHOW PINS finds those who are pinned, wherever they stand, and SHOW LISTS counts all."""
    pooler = make_pooler(threads=threads, max_client_conn=4 * COUNT)
    clients = [pooler.wire_login() for _ in range(2 * COUNT)]
    pinned = [clients[0], clients[COUNT], clients[-1]]
    for client in pinned:
        client.query("listen here")
    ports = sorted(client.sock.getsockname()[1] for client in pinned)
    assert sorted(int(row["port"]) for row in pooler.show("pins")) == ports

    def listed():
        return {row["list"]: int(row["items"]) for row in pooler.show("lists")}["used_clients"]

    # And the console; one that has just left may be there still.
    wait_until(lambda: listed() == len(clients) + 1, lambda: f"all clients in {listed()}")
    clients[COUNT].close()
    wait_until(lambda: len(pooler.show("pins")) == 2, "the one who has left to be gone")


def test_everything_moves(many, threads):
    """Servers are closed and made, pools forgotten, databases taken out of the file and put back,
    while two clients of the console look."""
    pooler = many(threads=threads, pool_idle_timeout=0.05)
    failed, over = [], threading.Event()
    looks = {("servers", "pools"): 0, ("databases", "stats", "sockets"): 0}

    def look(at):
        try:
            with pooler.console() as conn:
                while not over.is_set():
                    for what in at:
                        rows = conn.execute(f"show {what}").fetchall()
                        assert what not in ("databases", "stats") or len(
                            {row.get("name", row.get("database")) for row in rows}
                        ) == len(rows)
                    looks[at] += 1
        except BaseException as error:  # told below
            failed.append(error)
            over.set()

    wait_until(lambda: idle(pooler) == COUNT, "the servers")
    lookers = [threading.Thread(target=look, args=(at,)) for at in looks]
    every = dict(pooler.databases)
    with unnoticed(pooler):
        for thread in lookers:
            thread.start()
        for turn in range(2):
            pooler.command("reconnect")
            half = {k: v for k, v in every.items() if k not in NAMES or int(k[1:]) % 2 == turn}
            pooler.databases = half
            pooler.write()
            pooler.command("reload")
            before = dict(looks)
            wait_until(lambda b=before: over.is_set() or all(looks[at] > b[at] for at in b), "looks")
        over.set()
        for thread in lookers:
            thread.join()
    assert not failed
    pooler.databases = every
    pooler.write()
    pooler.command("reload")
    wait_until(lambda: idle(pooler) == COUNT, "the servers again")
    assert {row["key"]: row["value"] for row in pooler.show("state")}["broken_invariants"] == "0"
