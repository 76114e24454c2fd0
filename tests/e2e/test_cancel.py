"""Cancel requests: they reach the query they were meant for, or nobody."""

import os
import signal
import threading
from pathlib import Path

import psycopg
import pytest

import wire
from limits import reload
from test_pooling import busy, pid_of
from valve import Valve
from waiting import DEADLINE, wait_until

SLEEP = "select pg_sleep(60)"


def running(cluster, pattern="%pg_sleep(60)%"):
    """The pids of the backends that are in such a query."""
    return cluster.backends(f"state = 'active' and query like '{pattern}'")


def wait_running(cluster, count):
    wait_until(lambda: len(running(cluster)) == count, f"{count} sleeping queries")


class Background:
    """A statement in a thread of its own; result() is its rows, or its error."""

    def __init__(self, conn, sql):
        self.outcome = None
        self.thread = threading.Thread(target=self._run, args=(conn, sql), daemon=True)
        self.thread.start()

    def _run(self, conn, sql):
        try:
            self.outcome = conn.execute(sql).fetchall()
        except psycopg.Error as failed:
            self.outcome = failed

    def result(self):
        wait_until(lambda: self.outcome is not None, "the statement in the background to end")
        return self.outcome


def cancel_by(pooler, key):
    """Send a cancel request and wait for the pooler's answer, which is to close."""
    client = pooler.wire()
    client.send(wire.cancel_request(*key))
    assert client.read_all() == []


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_cancel(make_pooler, cluster, threads, mode):
    """As without a pooler; client and server connection stay."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, threads=threads)
    client = pooler.connect()
    pid = pid_of(client)
    for _ in range(3):
        query = Background(client, SLEEP)
        wait_running(cluster, 1)
        client.cancel()
        assert isinstance(query.result(), psycopg.errors.QueryCanceled)
        assert pid_of(client) == pid


def test_cancel_only_the_right_one(make_pooler, cluster, threads):
    """Six long queries over six servers: one is cancelled, five run on."""
    pooler = make_pooler(default_pool_size=6, threads=threads)
    clients = [pooler.connect() for _ in range(6)]
    queries = [Background(client, SLEEP) for client in clients]
    wait_running(cluster, 6)
    clients[3].cancel()
    assert isinstance(queries[3].result(), psycopg.errors.QueryCanceled)
    assert len(running(cluster)) == 5
    for number in (0, 1, 2, 4, 5):
        assert queries[number].outcome is None
        clients[number].cancel()
        assert isinstance(queries[number].result(), psycopg.errors.QueryCanceled)


def test_cancel_of_idle_clients_hits_nobody(make_pooler, cluster, threads):
    """They used the server before; now it is somebody else's."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    idle = [pooler.wire_login() for _ in range(10)]
    for client in idle:
        client.values("select 1")
    working = pooler.wire_login()
    working.send(wire.query("select pg_sleep(1.5), 'undisturbed'"))
    wait_until(lambda: cluster.backends("query like '%undisturbed%'"), "the query to run")
    for client in idle * 3:
        cancel_by(pooler, client.key)
    assert wire.rows(working.read_until("Z")) == [["", "undisturbed"]]


def test_late_cancel_hits_nobody(make_pooler, threads):
    """The race that poolers lose: a cancel for a query that has just ended, while the server goes
    to the next client. Its query must not be cancelled, however often we try."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    hasty, victim = pooler.wire_login(), pooler.wire_login()
    for number in range(150):
        hasty.send(wire.query("select 1"))
        cancels = [pooler.wire() for _ in range(2)]
        for cancel in cancels:
            cancel.send(wire.cancel_request(*hasty.key))
        victim.send(wire.query(f"select {number} from pg_sleep(0.002)"))
        assert wire.rows(victim.read_until("Z")) == [[str(number)]]
        said = hasty.read_until("Z")
        assert wire.rows(said) == [["1"]] or wire.error(said)["C"] == "57014"
        for cancel in cancels:
            cancel.sock.close()


def test_cancel_between_statements_of_a_transaction(make_pooler):
    """An idle transaction is not a query: nothing happens, and nothing happens later."""
    pooler = make_pooler(default_pool_size=1)
    client = pooler.connect()
    with client.transaction():
        client.execute("select 1")
        for _ in range(5):
            client.cancel()
        # The signal may arrive while the next statement runs only if the pooler sent one on.
        for number in range(20):
            assert client.execute("select %s::int", (number,)).fetchone() == (number,)


def test_cancel_while_waiting(make_pooler):
    """A client in the queue: cancelled or served, but never stuck; the holder is safe."""
    pooler = make_pooler(default_pool_size=1)
    holder = busy(pooler, 1)[0]
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 'served'"))
    pooler.wait_waiting(1)
    cancel_by(pooler, waiter.key)
    assert holder.execute("select 1").fetchone() == (1,)
    holder.execute("commit")
    said = waiter.answer()
    assert wire.rows(said) == [["served"]] or wire.error(said)["C"] == "57014"
    assert pooler.connect().execute("select 1").fetchone() == (1,)


def test_cancel_keys(make_pooler):
    """Every client has a key of its own, and only the whole key fits."""
    pooler = make_pooler(default_pool_size=1)
    clients = [pooler.wire_login() for _ in range(20)]
    assert len({client.key for client in clients}) == 20
    assert len({client.key[1] for client in clients}) == 20


@pytest.mark.parametrize("bit", [0, 1, 7, 31, 32, 33, 63])
def test_cancel_with_one_bit_wrong(make_pooler, cluster, bit):
    """A key that is nearly right cancels nothing."""
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    client.send(wire.query("select pg_sleep(0.6), 'undisturbed'"))
    wait_until(lambda: cluster.backends("query like '%undisturbed%'"), "the query to run")
    pid, secret = client.key
    key = int.from_bytes(pid.to_bytes(4, "big") + secret[:4], "big") ^ (1 << bit)
    raw = key.to_bytes(8, "big")
    cancel_by(pooler, (int.from_bytes(raw[:4], "big"), raw[4:] + secret[4:]))
    assert wire.rows(client.read_until("Z")) == [["", "undisturbed"]]


def test_cancel_over_the_unix_socket(make_pooler, cluster):
    """The request may come over another way in than the client."""
    pooler = make_pooler()
    client = pooler.wire_login()
    client.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    other = pooler.wire(unix=True)
    other.send(wire.cancel_request(*client.key))
    assert wire.error(client.read_until("Z"))["C"] == "57014"


def test_cancel_when_all_places_are_taken(make_pooler, cluster):
    """max_client_conn is reached: a cancel must get in all the same."""
    pooler = make_pooler(max_client_conn=1, default_pool_size=1)
    client = pooler.connect()
    query = Background(client, SLEEP)
    wait_running(cluster, 1)
    client.cancel()
    assert isinstance(query.result(), psycopg.errors.QueryCanceled)


def test_cancel_a_copy(make_pooler, cluster):
    """COPY out, and COPY in that waits for the client, end with 57014, and all goes on."""
    cluster.make_table("filled", "a int")
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    client.send(
        wire.query(
            "copy (select repeat('x', 9000), pg_sleep(.01) from generate_series(1, 6000)) to stdout"
        )
    )
    client.read_until("d")
    cancel_by(pooler, client.key)
    assert wire.error(client.read_until("Z"))["C"] == "57014"
    client.send(wire.query("copy filled from stdin") + wire.copy_data(b"1\n"))
    client.read_until("G")
    cancel_by(pooler, client.key)
    client.send(wire.copy_data(b"2\n"))
    assert wire.error(client.read_until("Z"))["C"] == "57014"
    client.send(wire.COPY_DONE)
    assert client.values("select count(*) from filled") == [["0"]]


def test_cancel_spares_the_settings(make_pooler):
    """A server that changes hands is set up for its client first. A cancel that comes at once is
    meant for the query behind that: it hits the query, never the setting up."""
    pooler = make_pooler(default_pool_size=1, threads=1)
    clients = [pooler.wire_login(application_name=f"client {n}") for n in range(2)]
    for number in range(200):
        client = clients[number % 2]
        cancel = pooler.wire()
        client.send(wire.query("select pg_sleep(0.01), current_setting('application_name')"))
        cancel.send(wire.cancel_request(*client.key))
        said = client.read_until("Z")
        assert wire.rows(said) == [["", f"client {number % 2}"]] or (
            wire.error(said)["S"] == "ERROR" and wire.error(said)["C"] == "57014"
        )
        assert cancel.read_all() == []
        cancel.sock.close()


def pending_signals(pid):
    """Of the process, and of its only thread."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("ShdPnd:")[1].split()[0], 16) | int(status.split("SigPnd:")[1].split()[0], 16)


def test_cancel_waits_for_the_settings(make_pooler, cluster):
    """The server has not begun with what it was sent when the cancel comes: PostgreSQL forgets a
    signal that finds it between queries, so it must be sent when the query runs."""
    pooler = make_pooler(default_pool_size=1, threads=1)
    pid = pid_of(pooler.connect())
    client = pooler.wire_login(application_name="another")
    os.kill(pid, signal.SIGSTOP)
    try:
        client.send(wire.query(SLEEP))
        wait_until(lambda: pooler.pool()["sv_active"] == 1, "the query to be sent")
        cancel = pooler.wire()
        cancel.send(wire.cancel_request(*client.key))
        pooler.show("pools")  # the one loop has come round to the cancel request by now
    finally:
        os.kill(pid, signal.SIGCONT)
    assert wire.error(client.read_until("Z"))["C"] == "57014"
    assert cancel.read_all() == []


def test_query_timeout_before_the_query_has_begun(make_pooler):
    """The server is that slow to read it; nothing else would end the query."""
    pooler = make_pooler(default_pool_size=1)
    pid = pid_of(pooler.connect())
    reload(pooler, query_timeout=0.2, cancel_wait_timeout=0)
    client = pooler.wire_login()
    os.kill(pid, signal.SIGSTOP)
    try:
        client.send(wire.query(SLEEP))
        wait_until(lambda: pending_signals(pid) & 1 << signal.SIGINT - 1, "the cancel")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert wire.error(client.read_until("Z"))["C"] == "57014"


@pytest.mark.parametrize("still_pinned", [True, False])
def test_cancel_that_meets_our_own_question(make_pooler, cluster, still_pinned):
    """The pooler asks a pinned server whether the pin may end: a cancel that comes meanwhile has no
    query of its client to hit. It is not sent, and does not hit the next one."""
    valve = Valve(cluster)
    try:
        pooler = make_pooler(
            default_pool_size=2,
            databases={"app": {"host": "127.0.0.1", "port": valve.port}},
            server_tls_sslmode="disable",
        )
        client = pooler.wire_login()
        client.query("select pg_advisory_lock(1), pg_advisory_lock(2)")
        valve.shut()
        assert client.query(
            "select pg_advisory_unlock(1)" + ("" if still_pinned else ", pg_advisory_unlock(2)")
        )
        assert valve.holds.wait(DEADLINE)
        cancel = pooler.wire()
        cancel.send(wire.cancel_request(*client.key))
        assert cancel.read_all() == []  # it has been dealt with
        valve.open()
        assert client.values("select 'not hit', pg_sleep(0.2)") == [["not hit", ""]]
        assert valve.cancels == 0
        assert len(pooler.show("pins")) == still_pinned
        # and the next one is for the query that runs
        client.send(wire.query(SLEEP))
        wait_running(cluster, 1)
        cancel_by(pooler, client.key)
        assert wire.error(client.read_until("Z"))["C"] == "57014"
        assert valve.cancels == 1
    finally:
        valve.close()
