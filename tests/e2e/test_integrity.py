"""The promise above all others: every answer goes to the one who asked.

Many clients at once, each sending questions that only it could have asked and checking that the
answers are its own, while clients vanish, cancel and time out around it; and pgbench, whose books
must balance.
"""

import os
import random
import re
import subprocess
import threading
import time

import pytest

import wire
from waiting import PATIENCE, wait_until

CHAOS_SECONDS = 6.0
CLIENTS = 16
SERVERS = 4
ASKED_LEAST = 5


class Asker(threading.Thread):
    """One client after another under the same number; stops at the first wrong answer."""

    def __init__(self, pooler, number, end, disturb):
        super().__init__(daemon=True)
        self.pooler = pooler
        self.number = number
        self.end = end
        self.disturb = disturb
        self.random = random.Random(number)
        self.asked = 0
        self.failure = None
        self.client = None

    def run(self):
        try:
            while time.monotonic() < self.end or self.asked <= ASKED_LEAST:
                self.client = self.pooler.wire()
                said = self.client.login("alice", "app", application_name=f"asker{self.number}")
                assert said[-1].type == "Z", said
                for _ in range(self.random.randrange(1, 40)):
                    self.ask()
                    if time.monotonic() > self.end:
                        break
                self.leave()
        except BaseException as failure:  # for the main thread to raise
            self.failure = failure

    def token(self):
        self.asked += 1
        return f"{self.number}/{self.asked}"

    def ask(self):
        self.random.choice(
            [self.simple, self.pipeline, self.transaction, self.big, self.failing, self.name]
            + ([self.cancelled] if self.disturb else [])
        )()

    def expect(self, final, *tokens):
        said = self.client.read_until(final)
        assert wire.rows(said) == [
            [token] for token in tokens
        ], f"{self.number}: not my answer: {said!r:.500}"

    def simple(self):
        token = self.token()
        self.client.send(wire.query(f"select '{token}'"))
        self.expect("Z", token)

    def pipeline(self):
        tokens = [self.token() for _ in range(self.random.randrange(1, 8))]
        self.client.send(b"".join(wire.extended("select $1::text", token) for token in tokens))
        self.expect("Z" * len(tokens), *tokens)

    def transaction(self):
        for sql, answer in (("begin", False), (None, True), (None, True), ("rollback", False)):
            token = self.token()
            self.client.send(wire.query(sql or f"select '{token}'"))
            self.expect("Z", *([token] if answer else []))

    def big(self):
        token = self.token()
        size = self.random.randrange(1, 300_000)
        self.client.send(wire.query(f"select '{token}' || repeat('x', {size})"))
        self.expect("Z", token + "x" * size)

    def failing(self):
        token = self.token()
        self.client.send(
            wire.extended("select $1::int", f"no number {token}")
            + wire.extended("select $1::text", token)
        )
        said = self.client.read_until("ZZ")
        assert token in wire.error(said)["M"] and wire.rows(said) == [[token]]

    def name(self):
        self.client.send(wire.query("show application_name"))
        self.expect("Z", f"asker{self.number}")

    def cancelled(self):
        token = self.token()
        self.client.send(wire.query(f"select '{token}' from pg_sleep(0.02)"))
        self.cancel()
        said = self.client.read_until("Z")
        assert wire.rows(said) == [[token]] or wire.error(said)["C"] == "57014"
        self.simple_after_cancel()

    def simple_after_cancel(self):
        """PostgreSQL itself may deliver a late cancel to the same client's next query."""
        token = self.token()
        self.client.send(wire.query(f"select '{token}'"))
        said = self.client.read_until("Z")
        assert wire.rows(said) == [[token]] or wire.error(said)["C"] == "57014"

    def cancel(self):
        request = wire.Wire(self.pooler.address)
        request.send(wire.cancel_request(*self.client.key))
        assert request.read_all() == []
        request.sock.close()

    def leave(self):
        """Politely, or in one of the ways that leave something unfinished behind."""
        self.pooler.clients.remove(self.client)
        if not self.disturb or self.random.random() < 0.3:
            self.client.close()
            return
        token = self.token()
        whole = wire.query(
            f"begin; select '{token}' || repeat('y', {self.random.randrange(200_000)})"
        )
        rest = wire.extended("select pg_sleep(0.05), $1::text", token) + wire.query("select 1")
        sent = (whole + rest)[: self.random.randrange(1, len(whole + rest))]
        self.client.send(sent)
        self.client.vanish()


@pytest.mark.parametrize("disturb", [False, True], ids=["calm", "chaos"])
def test_every_answer_to_its_asker(make_pooler, threads, disturb):
    pooler = make_pooler(default_pool_size=SERVERS, threads=threads, query_wait_timeout=60)
    end = time.monotonic() + (CHAOS_SECONDS if disturb else CHAOS_SECONDS / 3)
    askers = [Asker(pooler, number, end, disturb) for number in range(CLIENTS)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(CHAOS_SECONDS + 30 * PATIENCE)
        assert not asker.is_alive(), f"client {asker.number} hangs after {asker.asked} questions"
        if asker.failure:
            raise asker.failure
    assert min(asker.asked for asker in askers) > ASKED_LEAST
    wait_until(
        lambda: (pool := pooler.pool())["cl_active"] + pool["cl_waiting"] + pool["sv_active"] == 0,
        lambda: f"the pool to be at rest: {pooler.pool()}",
    )
    wait_until(
        lambda: len(pooler.server_pids()) <= SERVERS,
        lambda: f"no more than {SERVERS} servers: {pooler.server_pids()}",
    )
    # What clients left behind is being brought to rest by now, and nothing stays as they left it.
    wait_until(
        lambda: server_states(pooler) in ([], [("idle",)]),
        lambda: f"every server to be idle: {server_states(pooler)}",
    )


def server_states(pooler):
    """What PostgreSQL says of the pooler's servers, each state once."""
    return pooler.cluster.sql(
        "select distinct state from pg_stat_activity where usename = 'alice'"
    )


# ---- pgbench


@pytest.fixture
def bench_tables(cluster):
    """pgbench's tables, smallest scale, freshly filled, in the database bench."""
    subprocess.run(
        [cluster.bindir / "pgbench", "-i", "-q", "-U", "alice", "bench"],
        check=True,
        capture_output=True,
        env={**os.environ, "PGHOST": str(cluster.folder.parent), "PGPORT": str(cluster.port)},
    )


def pgbench(pooler, *arguments):
    """Run pgbench through the pooler; every transaction must succeed. Returns how many did."""
    done = subprocess.run(
        [pooler.cluster.bindir / "pgbench", "-n", "-U", "alice", *arguments, "bench"],
        capture_output=True,
        text=True,
        check=False,
        timeout=80 * PATIENCE,
        env={**os.environ, "PGHOST": pooler.host, "PGPORT": str(pooler.port)},
    )
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr + pooler.log()[-3000:]
    processed = re.search(r"actually processed: (\d+)(?:/(\d+))?", done.stdout)
    assert processed.group(1) == (processed.group(2) or processed.group(1))
    return int(processed.group(1))


def books(cluster):
    """(sum of all accounts, of all tellers, of all branches, of the history, its length)"""
    columns = {"accounts": "abalance", "tellers": "tbalance", "branches": "bbalance"}
    sums = [
        f"(select sum({column}) from pgbench_{table})"
        for table, column in {**columns, "history": "delta"}.items()
    ]
    (row,) = cluster.sql(
        f"select {', '.join(sums)}, (select count(*) from pgbench_history)", "bench"
    )
    return row


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_pgbench(make_pooler, bench_tables, cluster, threads, protocol):
    """Fifty clients over five servers; no update is lost and none is done twice."""
    pooler = make_pooler(default_pool_size=5, threads=threads)
    assert pgbench(pooler, "-M", protocol, "-c", "50", "-t", "6") == 300
    accounts, tellers, branches, history, count = books(cluster)
    assert accounts == tellers == branches == history
    assert count == 300
    assert pgbench(pooler, "-S", "-M", protocol, "-c", "50", "-t", "60") == 3000
    assert len(pooler.server_pids("bench")) <= 5


def test_pgbench_prepared_in_sessions(make_pooler, bench_tables):
    pooler = make_pooler(pool_mode="session", default_pool_size=8)
    assert pgbench(pooler, "-S", "-M", "prepared", "-c", "8", "-t", "100") == 800


def test_pgbench_reconnecting(make_pooler, bench_tables):
    """A new connection for every transaction: what a pooler is for."""
    pooler = make_pooler(default_pool_size=3)
    assert pgbench(pooler, "-S", "-C", "-c", "10", "-t", "20") == 200
    assert len(pooler.server_pids("bench")) <= 3
