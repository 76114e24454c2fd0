"""What a load notices of an operator's work: a RECONNECT to another address, PAUSE and RESUME, SET and
RELOAD. Nothing."""

import threading

import pytest

import wire
from pooler import ADMIN
from test_console import Command, console_wire
from valve import Valve
from waiting import wait_until

CLIENTS = 6


class Load:
    """Clients that run transactions one after the other until stop(); what fails is kept."""

    def __init__(self, pooler, count=CLIENTS):
        self.ended = threading.Event()
        self.failures = []
        self.done = [0] * count
        self.clients = [pooler.wire_login() for _ in range(count)]
        self.threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, n):
        client, number = self.clients[n], 0
        try:
            while not self.ended.is_set():
                number += 1
                if number % 2:
                    said = client.query(f"select {number}")
                else:
                    client.query("begin")
                    said = client.query(f"select {number}")
                    assert wire.kinds(client.query("commit")) == "CZ"
                assert wire.rows(said) == [[str(number)]], said
                self.done[n] += 1
        except (AssertionError, OSError, wire.Closed) as failure:
            self.failures.append(failure)

    def goes_on(self):
        """Every client completes another transaction."""
        before = list(self.done)
        wait_until(
            lambda: self.failures or all(b > a for a, b in zip(before, self.done)),
            "the load to go on",
        )
        assert not self.failures

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures


class Road(Valve):
    """A valve that can be taken away, with all that goes through it."""

    def __init__(self, cluster):
        self.near = []
        super().__init__(cluster)

    def _to_server(self, near, far):
        self.near.append(near)
        super()._to_server(near, far)
        self.near.remove(near)


@pytest.fixture
def roads(cluster):
    """Two ways to the cluster, as to an old and a new server."""
    both = Road(cluster), Road(cluster)
    yield both
    for road in both:
        road.close()


def test_failover_by_reconnect(make_pooler, roads, threads):
    """The address of the server moves: the old one serves what it has begun, and when WAIT_CLOSE is
    answered nobody uses it any more. No query fails."""
    old, new = roads
    pooler = make_pooler(
        default_pool_size=3,
        databases={"app": {"port": old.port}},
        server_tls_sslmode="disable",
        threads=threads,
    )
    load = Load(pooler)
    load.goes_on()
    assert old.near and not new.near
    pooler.databases["app"]["port"] = new.port
    pooler.write()
    pooler.command("reload")
    assert Command(pooler, "wait_close app").answer() == "CZ"
    wait_until(lambda: not old.near, "the last connection to the old server to end")
    old.close()
    load.goes_on()
    assert new.near
    # The same address, other connections: what one does when a name leads elsewhere by now.
    before = pooler.server_pids()
    pooler.command("reconnect app")
    assert Command(pooler, "wait_close app").answer() == "CZ"
    load.goes_on()
    wait_until(lambda: not before & pooler.server_pids(), "the old connections to end")
    load.stop()


@pytest.mark.parametrize("name", ["", " app"])
def test_pause_and_resume_under_load(make_pooler, threads, name):
    """Clients wait a moment, as while PostgreSQL is restarted; none of them sees an error."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    load = Load(pooler)
    console = console_wire(pooler)
    for _ in range(3):
        load.goes_on()
        assert wire.kinds(console.query(f"pause{name}")) == "CZ"
        wait_until(lambda: not pooler.server_pids(), "all server connections to end")
        assert wire.kinds(console.query(f"resume{name}")) == "CZ"
    load.goes_on()
    load.stop()


def test_restart_of_the_server_behind_a_pause(make_pooler, cluster):
    """PAUSE, restart PostgreSQL, RESUME."""
    pooler = make_pooler(default_pool_size=3)
    load = Load(pooler)
    load.goes_on()
    pooler.command("pause")
    cluster.stop()
    cluster.start()
    pooler.command("resume")
    load.goes_on()
    load.stop()


def test_all_orders_under_load(make_pooler, threads):
    """RELOAD, SET, RECONNECT, SUSPEND, PAUSE and SHOW in turn, from two consoles."""
    pooler = make_pooler(default_pool_size=3, threads=threads)
    load = Load(pooler)
    commands = [
        "set default_pool_size = 2",
        "reconnect",
        "show sockets",
        "pause app",
        "resume app",
        "suspend",
        "show clients",
        "resume",
        "disable other",
        "reload",
        "show servers",
        "wait_close",
    ]
    first, second = console_wire(pooler), pooler.wire_login("perfkit", ADMIN)
    for n in range(len(commands)):
        assert wire.kinds(first.query(commands[n])).endswith("CZ"), commands[n]
        second.query("show active_sockets")
    load.goes_on()
    load.stop()
