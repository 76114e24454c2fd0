"""SCRAM-SHA-256-PLUS, towards clients and towards PostgreSQL: whoever sits in between with a
certificate of his own gets nowhere, even with one that everybody trusts."""

import contextlib
import select
import socket
import ssl
import threading

import psycopg
import pytest

import wire
from certificates import Authority
from papers import HOST_NAMES, client_side
from waiting import DEADLINE, wait_until


@pytest.fixture
def bound_pooler(make_pooler, paper):
    def make(pair=None, **settings):
        return make_pooler(
            auth_type="scram-sha-256",
            userlist={"bob": wire.scram_secret("bob-secret")},
            **client_side(paper, "require", pair),
            **settings,
        )

    return make


def who(conn):
    return conn.execute("select current_user::text").fetchone()[0]


@pytest.mark.parametrize("user", ("alice", "bob"))
@pytest.mark.parametrize("binding", ("disable", "prefer", "require"))
def test_clients(bound_pooler, user, binding):
    pooler = bound_pooler()
    conn = pooler.connect(
        user=user, password=f"{user}-secret", sslmode="require", channel_binding=binding
    )
    assert who(conn) == user
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pooler.connect(user=user, password="wrong", sslmode="require", channel_binding=binding)


def test_not_offered_in_clear(make_pooler):
    pooler = make_pooler(auth_type="scram-sha-256")
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        pooler.connect(password="alice-secret", channel_binding="require")


@pytest.mark.parametrize("kind, digest", [("rsa", "sha512"), ("ec", "sha384"), ("rsa", "sha1")])
def test_digests(bound_pooler, paper, kind, digest):
    """The hash is the one of the certificate's signature, and never weaker than SHA-256."""
    pair = paper.ours.issue(f"{kind}-{digest}", "pooler.test", HOST_NAMES, kind, digest)
    conn = bound_pooler(pair, client_tls_ciphers="DEFAULT@SECLEVEL=0").connect(
        password="alice-secret", sslmode="require", channel_binding="require"
    )
    assert who(conn) == "alice"


def test_certificate_without_a_digest(bound_pooler, base_folder, cluster):
    """For Ed25519 none is defined: the mechanism is not offered, and the other one works."""
    edwards = Authority(base_folder / "edwards", cluster.account, kind="ed25519")
    pooler = bound_pooler(edwards.issue("server", "pooler.test", HOST_NAMES, "ed25519"))
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        pooler.connect(password="alice-secret", sslmode="require", channel_binding="require")
    conn = pooler.connect(password="alice-secret", sslmode="require", channel_binding="disable")
    assert who(conn) == "alice"


class InBetween:
    """Ends TLS with a certificate of its own and speaks TLS with the pooler, byte for byte; edit
    may change what the server says."""

    def __init__(self, pooler, pair, edit=lambda data: data):
        self.pooler = pooler
        self.edit = edit
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.socks = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed under it
            client, _ = self.listener.accept()
            assert client.recv(8) == wire.SSL_REQUEST
            client.sendall(b"S")
            client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(self.pooler.address, timeout=DEADLINE)
            server.sendall(wire.SSL_REQUEST)
            assert server.recv(1) == b"S"
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            server = trusting.wrap_socket(server)
            self.socks = [client, server]
            self._pump(client, server)

    def _pump(self, client, server):
        """Both ways by one thread: two of them must not be within the same TLS connection."""
        ways = {client: (server, lambda data: data), server: (client, self.edit)}
        while ways:
            ready = [s for s in ways if s.pending()] or select.select(list(ways), [], [])[0]
            for source in ready:
                sink, edit = ways[source]
                if data := source.recv(65536):
                    sink.sendall(edit(data))
                else:
                    sink.shutdown(socket.SHUT_WR)
                    del ways[source]

    def close(self):
        for sock in (self.listener, *self.socks):
            sock.close()


def without_plus(data):
    """The list of mechanisms, shortened by the one that is in the way."""
    if data[:1] == b"R" and b"SCRAM-SHA-256-PLUS" in data:
        return wire.message("R", b"\0\0\0\x0a" + wire.cstring("SCRAM-SHA-256") + b"\0")
    return data


@pytest.mark.parametrize("edit", (lambda data: data, without_plus), ids=("as is", "without PLUS"))
def test_somebody_in_between(bound_pooler, paper, edit):
    """He has a certificate that the client trusts, and is found out all the same."""
    pooler = bound_pooler()
    between = InBetween(pooler, paper.ours.issue("between", "pooler.test", HOST_NAMES), edit)
    try:
        with pytest.raises(psycopg.OperationalError):
            pooler.connect(
                port=between.port,
                password="alice-secret",
                sslmode="verify-full",
                sslrootcert=paper.ours.certificate,
                channel_binding="prefer",
            )
        assert "invalid authentication message" in pooler.log()
    finally:
        between.close()


@pytest.mark.parametrize("mode", ("prefer", "require", "verify-full"))
@pytest.mark.parametrize("password", ("carol-secret", "outdated"))
def test_towards_postgresql(make_pooler, tls_cluster, paper, mode, password):
    """PostgreSQL offers the binding under TLS, takes ours, and still minds the password."""
    tls_cluster(paper.server)
    pooler = make_pooler(
        userlist={"carol": password},
        server_tls_sslmode=mode,
        server_tls_ca_file=paper.ours.certificate,
    )
    if password == "carol-secret":
        assert who(pooler.connect(user="carol")) == "carol"
    else:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            who(pooler.connect(user="carol"))


@pytest.mark.parametrize("direct", (0, 1))
def test_through_two_poolers(bound_pooler, make_pooler, paper, direct):
    """Our two halves speak with each other: the one in front is a client of the one behind, which
    knows direct TLS as PostgreSQL 17 does."""
    behind = bound_pooler()
    front = make_pooler(
        databases={"app": {"port": behind.port}},
        server_tls_sslmode="verify-full",
        server_tls_ca_file=paper.ours.certificate,
        server_tls_direct=direct,
    )
    assert who(front.connect()) == "alice"


def test_direct_to_a_server_that_does_not_know_it(make_pooler, tls_cluster, paper):
    """PostgreSQL before 17 closes such a connection: nobody gets in, and nothing goes in clear."""
    if tls_cluster(paper.server).sql("show server_version_num")[0][0] >= "170000":
        pytest.skip("it knows")
    pooler = make_pooler(
        server_tls_sslmode="require", server_tls_direct=1, query_wait_timeout=1
    )
    with pytest.raises(psycopg.OperationalError):
        who(pooler.connect())
    wait_until(lambda: "TLS handshake" in pooler.log(), "the failed handshake")
