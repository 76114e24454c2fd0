"""Two hundred clients that leave without a word, cancel, and lose their servers, for as long as
PERFKIT_STRESS_SECONDS says (5; `make check-long`: 120).

Whatever is answered must be the asker's own; whatever fails must fail in a way that tells why. What
is there afterwards is what was there in the middle, when everybody had left once before: no client,
no server in use, no descriptor, no memory.
"""

import contextlib
import faulthandler
import os
import random
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest

import wire
from conftest import TEST_SECONDS
from waiting import PATIENCE, wait_until

SECONDS = float(os.environ.get("PERFKIT_STRESS_SECONDS", "5"))
CLIENTS = 200
SERVERS = 10

# A backend is killed outright so often in a round: PostgreSQL restarts every time.
CRASHES = 2
TERMINATE_PAUSE_SECONDS = 0.05

# The server was terminated or crashed, is starting, or has gone: nobody's fault.
LOST_SERVER = {"57P01", "57P02", "57P03", "08006"}
CANCELLED = "57014"

# Memory that a second round may need over the first: the allocator's, not the clients'.
SLACK_KB = 4096


class Lost(Exception):
    """The connection is over, for a reason that the storm explains."""


class Client(threading.Thread):
    """One client after another under the same number."""

    def __init__(self, pooler, number, storm):
        super().__init__(daemon=True)
        self.pooler = pooler
        self.number = number
        self.storm = storm
        self.random = random.Random(f"{number} {storm.round}")
        self.asked = 0
        self.answered = 0
        self.failure = None
        self.wire = None

    def run(self):
        try:
            while not self.storm.over.is_set():
                try:
                    self.visit()
                except (Lost, wire.Closed, ConnectionError):
                    pass
                finally:
                    if self.wire is not None:
                        self.wire.sock.close()
        except BaseException as failure:  # for the main thread to raise
            self.failure = failure
            self.storm.over.set()

    def visit(self):
        self.wire = None
        self.wire = wire.Wire(self.pooler.address)
        said = self.wire.login("alice", "app")
        if said[-1].type != "Z":
            self.check_errors(said)
            raise Lost
        for _ in range(self.random.randrange(1, 30)):
            if self.storm.over.is_set():
                break
            self.random.choice((self.simple, self.pipeline, self.transaction, self.big, self.cancel))()
        if self.random.random() < 0.5:
            self.leave_in_the_middle()
        elif self.random.random() < 0.5:
            self.wire.vanish()
        else:
            self.wire.close()

    def token(self):
        self.asked += 1
        return f"{self.storm.round}/{self.number}/{self.asked}"

    def check_errors(self, said, *more):
        for error in wire.errors(said):
            assert error["C"] in LOST_SERVER | set(more), error

    def ask(self, data, syncs, tokens, *errors):
        """Sends and takes in the answers: rows are the tokens in order, as far as they came."""
        self.wire.send(data)
        said, ready = [], 0
        try:
            while ready < syncs:
                said.append(self.wire.read())
                ready += said[-1].type == "Z"
        finally:
            rows = [row for (row,) in wire.rows(said)]
            assert rows == tokens[: len(rows)], f"{self.number}: not mine: {rows!r:.300}"
            self.answered += len(rows)
            self.check_errors(said, *errors)
        if wire.errors(said):
            return
        assert rows == tokens, f"{self.number}: not all of {tokens!r:.300}: {rows!r:.300}"

    # -- what it does

    def simple(self):
        token = self.token()
        self.ask(wire.query(f"select '{token}'"), 1, [token], CANCELLED)

    def pipeline(self):
        tokens = [self.token() for _ in range(self.random.randrange(1, 8))]
        name = self.random.choice(("", "named"))
        data = wire.close("S", name) + wire.parse("select $1::text", name)
        data += b"".join(wire.bind((t,), name) + wire.execute() for t in tokens) + wire.SYNC
        self.ask(data, 1, tokens, CANCELLED)

    def transaction(self):
        tokens = [self.token() for _ in range(3)]
        steps = ["begin"] + [f"select '{t}'" for t in tokens] + ["commit"]
        for sql, token in zip(steps, [None, *tokens, None]):
            # 25P02: a late cancel hit one of the statements before
            self.ask(wire.query(sql), 1, [token] if token else [], CANCELLED, "25P02")

    def big(self):
        token = self.token() + "x" * self.random.randrange(300_000)
        self.ask(wire.query(f"select '{token}'"), 1, [token], CANCELLED)

    def cancel(self):
        token = self.token()
        self.wire.send(wire.query(f"select '{token}' from pg_sleep(0.01)"))
        canceller = wire.Wire(self.pooler.address)
        try:
            canceller.send(wire.cancel_request(*self.wire.key))
            assert canceller.read_all() == []
        finally:
            canceller.sock.close()
        self.ask(b"", 1, [token], CANCELLED)

    def leave_in_the_middle(self):
        token = self.token()
        data = wire.query(f"begin; select '{token}' || repeat('y', 100000)")
        data += wire.extended("select pg_sleep(0.05), $1::text", token)
        data += wire.parse("select 'never complete" + "z" * 70_000, "named")
        self.wire.send(data[: self.random.randrange(1, len(data))])
        self.wire.vanish()


class Storm:
    """One round: the clients, and those who take their servers away."""

    def __init__(self, pooler, number, seconds):
        self.pooler = pooler
        self.round = number
        self.seconds = seconds
        self.over = threading.Event()

    def take_servers_away(self):
        end = time.monotonic() + self.seconds
        crash_every = self.seconds / (CRASHES + 1)
        next_crash = time.monotonic() + crash_every
        while time.monotonic() < end and not self.over.wait(TERMINATE_PAUSE_SECONDS):
            try:
                pids = list(self.pooler.server_pids())
                if pids and time.monotonic() > next_crash:
                    next_crash += crash_every
                    with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
                        self.pooler.cluster.crash(random.choice(pids))
                elif pids:
                    self.pooler.cluster.sql(f"select pg_terminate_backend({random.choice(pids)})")
            except psycopg.OperationalError:
                self.pooler.cluster.wait_ready()  # it was our crash

    def rage(self):
        clients = [Client(self.pooler, number, self) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            self.take_servers_away()
        finally:
            self.over.set()
        for client in clients:
            client.join(60 * PATIENCE)
            assert not client.is_alive(), f"client {client.number} hangs after {client.asked}"
        for client in clients:
            if client.failure:
                raise client.failure
        return sum(client.answered for client in clients)


def at_rest(pooler):
    """Everybody has left; what the process then holds: (descriptors, kB of memory)."""
    wait_until(
        lambda: (p := pooler.pool())["cl_active"] + p["cl_waiting"] + p["sv_active"] + p["sv_login"]
        == 0,
        lambda: f"the pool to be at rest: {pooler.pool()}",
    )
    wait_until(
        lambda: len(pooler.show("clients")) == 1,
        lambda: f"nobody but the console: {pooler.show('clients')}",
    )
    # Servers that are being brought to rest are closed or idle in the end.
    wait_until(
        lambda: {s["state"] for s in pooler.show("servers")} <= {"idle"},
        lambda: f"idle servers only: {pooler.show('servers')}",
    )
    # A backend whose connection is closed already may not have noticed.
    wait_until(
        lambda: pooler.cluster.sql(
            "select distinct state from pg_stat_activity where usename = 'alice'"
        )
        in ([], [("idle",)]),
        "no server to be in the middle of something",
    )
    assert len(pooler.server_pids()) <= SERVERS
    folder = Path(f"/proc/{pooler.process.pid}")
    descriptors = []

    def settled():
        descriptors[:] = os.listdir(folder / "fd")
        return len(descriptors) - len(pooler.server_pids()) == pooler.bare_descriptors

    wait_until(
        settled,
        lambda: f"no descriptor too many: {len(descriptors)} with servers {pooler.server_pids()}",
    )
    status = (folder / "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_stress(make_pooler, cluster, mode):
    """Twice: what the second round leaves behind is no more than what the first did."""
    signal.alarm(TEST_SECONDS + int(2 * SECONDS))
    faulthandler.cancel_dump_traceback_later()  # it is meant to take long
    pooler = make_pooler(
        pool_mode=mode,
        default_pool_size=SERVERS,
        threads=4,
        max_client_conn=2 * CLIENTS + 100,
        query_wait_timeout=60,
        server_login_retry=0.1,
    )
    folder = Path(f"/proc/{pooler.process.pid}/fd")
    pooler.bare_descriptors = len(os.listdir(folder))
    answered = Storm(pooler, 1, SECONDS / 2).rage()
    before = at_rest(pooler)
    answered += Storm(pooler, 2, SECONDS / 2).rage()
    after = at_rest(pooler)
    assert answered > CLIENTS, "hardly anything was asked"
    assert pooler.is_sanitized() or after <= before * 1.1 + SLACK_KB, f"{before} kB, then {after} kB"
