"""Several processes on one port: cancel requests that come to the wrong one, and restarts that
nobody notices."""

import collections
import contextlib
import struct
import threading

import psycopg
import pytest

import wire
from fake_server import FakeServer
from limits import reload
from machine import free_port
from test_cancel import SLEEP, Background, cancel_by, running, wait_running
from waiting import wait_until

CANCEL_CODE = 80877102


def introduce(*poolers):
    """Each learns of all of them, by a reload. As in PgBouncer the list may hold oneself."""
    entries = [
        f"{number} = host={pooler.folder} port={pooler.port}\n"
        for number, pooler in enumerate(poolers, 1)
    ]
    for pooler in poolers:
        pooler.tail = "[peers]\n" + "".join(entries)
        reload(pooler)


@pytest.fixture
def make_peers(make_pooler):
    """make_peers(3) -> poolers with the peer_ids 1, 2, 3 on one port, each with a unix socket of
    its own."""

    def make(count, **settings):
        settings = {"so_reuseport": 1, "default_pool_size": 20, **settings}
        poolers = [make_pooler(peer_id=1, **settings)]
        for number in range(2, count + 1):
            poolers.append(
                make_pooler(peer_id=number, shared_port=poolers[0].port, **settings)
            )
        introduce(*poolers)
        return poolers

    return make


def cancel_at(pooler, key):
    """Send a cancel request to this very process, and wait for its end."""
    client = pooler.wire(unix=True)
    client.send(wire.cancel_request(*key))
    assert client.read_all() == []


# ---- cancels


@pytest.mark.parametrize("version", [wire.PROTOCOL_3_0, wire.PROTOCOL_3_2])
def test_cancel_at_the_wrong_process(make_peers, cluster, threads, version):
    """It is sent on to the peer that the key names, and done when it is done there."""
    poolers = make_peers(3, threads=threads)
    for owner in poolers:
        for asked in poolers:
            client = owner.wire_login(unix=True, version=version)
            client.send(wire.query(SLEEP))
            wait_running(cluster, 1)
            cancel_at(asked, client.key)
            assert wire.error(client.read_until("Z"))["C"] == "57014"
            client.sock.close()


def test_three_processes_on_one_port(make_peers, cluster):
    """Clients and their cancels come over the port, to whichever process the kernel chooses."""
    poolers = make_peers(3)
    clients = [poolers[0].connect() for _ in range(12)]
    served = [len([c for c in p.show("clients") if c["database"] == "app"]) for p in poolers]
    assert sum(served) == 12
    assert len([n for n in served if n > 0]) > 1  # all at one: once in 170,000 times
    queries = [Background(client, SLEEP) for client in clients]
    wait_running(cluster, 12)
    for client, query in zip(clients, queries):
        client.cancel()
        assert isinstance(query.result(), psycopg.errors.QueryCanceled)


def test_cancel_with_a_wrong_key(make_peers, cluster):
    """The peer compares the key as it does with its own clients; the client of it runs on."""
    first, second = make_peers(2)
    client = second.wire_login(unix=True)
    client.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    pid, secret = client.key
    cancel_at(first, (pid, bytes([secret[0] ^ 1]) + secret[1:]))
    assert len(running(cluster)) == 1
    cancel_at(first, client.key)
    assert wire.error(client.read_until("Z"))["C"] == "57014"


def test_peer_ids_without_peers(make_pooler, cluster):
    """A cancel for a peer that is not listed comes to nothing, at once."""
    first = make_pooler(peer_id=1)
    cancel_at(first, (2 << 17 | 5, b"abcd"))


def test_no_ring(make_pooler):
    """Two that each take the other for a third: the request goes round a few times and ends."""
    first, second = make_pooler(peer_id=1), make_pooler(peer_id=2)
    for here, there in ((first, second), (second, first)):
        here.tail = f"[peers]\n3 = host={there.folder} port={there.port}\n"
        reload(here, verbose=1)
    cancel_at(first, (3 << 17 | 5, b"abcd"))
    assert first.connect().execute("select 1").fetchone() == (1,)


PEER_SETTINGS = {"peer_id": 1, "server_tls_sslmode": "disable"}


def peer_at(port, **more):
    keys = " ".join(f"{key}={value}" for key, value in more.items())
    return f"[peers]\n2 = host=127.0.0.1 port={port} {keys}\n"


def test_what_a_peer_is_sent(make_pooler):
    """The request as it came, and how often it may be sent on."""
    with contextlib.closing(FakeServer(hang_up=True)) as fake:
        pooler = make_pooler(tail=peer_at(fake.port), **PEER_SETTINGS)
        for key, hops in ((b"abcd", 2), (b"abcd\x02", 1), (b"abcd\xff", 2)):
            cancel_at(pooler, (2 << 17 | 5, key))
            said = struct.pack("!III4sB", 17, CANCEL_CODE, 2 << 17 | 5, b"abcd", hops)
            assert fake.heard.pop() == said
        cancel_at(pooler, (2 << 17 | 5, b"abcd\x00"))
        assert fake.heard == []


def test_peer_pool_size(make_pooler):
    """So many are on their way to a peer at once; the others wait for one of them to end."""
    with contextlib.closing(FakeServer()) as fake:
        pooler = make_pooler(tail=peer_at(fake.port, pool_size=2), **PEER_SETTINGS)
        clients = [pooler.wire() for _ in range(3)]
        for client in clients:
            client.send(wire.cancel_request(2 << 17 | 5, b"abcd"))
        wait_until(lambda: len(fake.heard) == 2, "two requests")
        (row,) = pooler.show("peers")
        assert list(row.values()) == [2, "127.0.0.1", fake.port, 2]
        wait_until(
            lambda: list(pooler.show("peer_pools")[0].values()) == [2, 2, 1, 2, 0],
            lambda: f"two on their way and one waiting in {pooler.show('peer_pools')}",
        )
        fake.connections[0].shutdown(2)
        wait_until(lambda: len(fake.heard) == 3, "the third")
        for conn in list(fake.connections[1:]):
            conn.shutdown(2)
        for client in clients:
            assert client.read_all() == []
        assert list(pooler.show("peer_pools")[0].values()) == [2, 0, 0, 0, 0]


def test_peer_that_does_not_answer(make_pooler):
    """After cancel_wait_timeout it is given up, and so it is when the process ends."""
    with contextlib.closing(FakeServer()) as fake:
        pooler = make_pooler(tail=peer_at(fake.port), cancel_wait_timeout=0.1, **PEER_SETTINGS)
        cancel_at(pooler, (2 << 17 | 5, b"abcd"))
        assert "peer 2 not answered within cancel_wait_timeout" in pooler.log()
        reload(pooler, cancel_wait_timeout=60)
        pooler.wire().send(wire.cancel_request(2 << 17 | 5, b"abcd"))
        wait_until(lambda: len(fake.heard) == 2, "the second request")
        pooler.stop()


def test_peer_that_is_down(make_pooler):
    pooler = make_pooler(tail=peer_at(free_port()), **PEER_SETTINGS)
    cancel_at(pooler, (2 << 17 | 5, b"abcd"))
    assert "cancel request not forwarded to peer 2" in pooler.log()


@pytest.mark.parametrize("line", ["0 = host=/tmp", "16384 = host=/tmp", "x = host=/tmp",
                                  "1 = hots=/tmp", "1 = host=a,b", "1 = pool_size=-1"])  # fmt: skip
def test_bad_peers(make_pooler, line):
    pooler = make_pooler()
    pooler.tail = f"[peers]\n{line}\n"
    pooler.write()
    with pytest.raises(psycopg.Error, match="peer"):
        pooler.command("reload")


# ---- the port


def test_port_is_not_shared_without_so_reuseport(make_pooler, request):
    """Both must want it."""
    first = make_pooler()
    with pytest.raises(AssertionError, match="in use"):
        make_pooler(shared_port=first.port, so_reuseport=1)
    request.node.poolers[1].process = None  # it has ended as it should


# ---- a restart


class Load:
    """Clients that come, ask a few questions and go, all the time, each in a thread."""

    def __init__(self, pooler, count):
        self.errors = []
        self.done = collections.Counter()  # questions by round
        self.round = 0
        self._over = threading.Event()
        self._pooler = pooler
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._over.is_set():
            try:
                with self._connect() as conn:
                    for number in range(5):
                        assert conn.execute("select %s::int", (number,)).fetchone() == (number,)
                        self.done[self.round] += 1
            except (psycopg.Error, AssertionError) as failed:
                self.errors.append(repr(failed))

    def _connect(self):
        """As a careful client does it, which tries twice: a connection that is being made when a
        process stops listening is reset where the kernel does not permit what prevents that."""
        keys = {"host": self._pooler.host, "port": self._pooler.port, "dbname": "app"}
        keys.update(user="alice", sslmode="disable", autocommit=True)
        try:
            return psycopg.connect(**keys)
        except psycopg.OperationalError:
            return psycopg.connect(**keys)

    def wait_more(self):
        """Until each has had time to come and go some times."""
        self.round += 1
        wait_until(lambda: self.done[self.round] >= 20 * len(self._threads), "the load to go on")

    def end(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_restart_that_nobody_notices(make_peers, make_pooler, cluster):
    """A second process joins on the port, the first one is told to go when its clients have left:
    new clients meet the second one, those of the first are served to their end, and can be
    cancelled to their end too. Nobody's connection or query fails."""
    (old,) = make_peers(1)
    load = Load(old, 4)
    staying = old.wire_login(unix=True)
    staying.send(wire.query(SLEEP))
    wait_running(cluster, 1)
    load.wait_more()
    new = make_pooler(peer_id=2, so_reuseport=1, shared_port=old.port, default_pool_size=20)
    introduce(old, new)
    load.wait_more()
    old.command("shutdown wait_for_clients")
    wait_until(
        lambda: len(old.show("clients")) == 2,  # who stays and the console
        lambda: f"all others to leave: {old.show('clients')}",
    )
    load.wait_more()
    cancel_by(new, staying.key)  # over the port
    assert wire.error(staying.read_until("Z"))["C"] == "57014"
    assert staying.values("select 'served'") == [["served"]]
    with pytest.raises(psycopg.OperationalError, match="shutting down"):
        old.connect(host=str(old.folder))
    staying.sock.close()
    assert old.wait_exit() == 0
    load.wait_more()
    load.end()
    assert load.errors == []
