"""Sockets: unix sockets and IPv6 on both sides, and what the tcp_* settings ask of the kernel."""

import socket

import psycopg
import pytest

from limits import reload
from test_cancel import SLEEP, Background, wait_running
from test_settings import is_listening, option, sockets
from waiting import wait_until

SERVER_ADDRESS = "select host(inet_server_addr())"


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


# ---- servers over unix sockets


def test_server_over_a_unix_socket(make_pooler, cluster):
    """host=/dir; cancels take the same way."""
    pooler = make_pooler(databases={"app": {"host": str(cluster.folder.parent)}})
    client = pooler.connect()
    assert client.execute(SERVER_ADDRESS).fetchone() == (None,)
    (row,) = pooler.show("servers")
    assert (row["addr"], row["port"]) == ("unix", cluster.port)


def test_server_without_host(make_pooler, cluster):
    """It is looked for in the directory of the pooler's own socket, as in PgBouncer."""
    pooler = make_pooler(databases={"app": {"host": None}, "other": {"host": "''"}})
    name = f".s.PGSQL.{cluster.port}"
    (pooler.folder / name).symlink_to(cluster.folder.parent / name)
    for database in ("app", "other"):
        assert pooler.connect(database).execute(SERVER_ADDRESS).fetchone() == (None,)


def test_abstract_socket(make_pooler, cluster):
    """unix_socket_dir = @name listens on one, host = @name leads to one."""
    name = f"@{cluster.folder.parent.name}"
    behind = make_pooler(listen_addr="127.0.0.1", unix_socket_dir=name)
    front = make_pooler(databases={"app": {"host": name, "port": behind.port}})
    assert front.connect().execute("select 1").fetchone() == (1,)
    assert {row["addr"] for row in front.show("servers")} == {"unix"}


# ---- IPv6


@needs_ipv6
def test_ipv6(make_pooler):
    """A list of addresses to listen on, a client and a server that come and are reached that way."""
    pooler = make_pooler(listen_addr="127.0.0.1, ::1", databases={"app": {"host": "::1"}})
    for host in ("127.0.0.1", "::1"):
        client = pooler.connect(host=host)
        assert client.execute(SERVER_ADDRESS).fetchone() == ("::1",)
    assert {row["addr"] for row in pooler.show("servers")} == {"::1"}
    assert "::1" in {row["addr"] for row in pooler.show("clients")}


@needs_ipv6
def test_cancel_over_ipv6(make_pooler, cluster):
    pooler = make_pooler(listen_addr="*", databases={"app": {"host": "::1"}})
    client = pooler.connect(host="::1")
    query = Background(client, SLEEP)
    wait_running(cluster, 1)
    client.cancel()
    assert isinstance(query.result(), psycopg.errors.QueryCanceled)


@needs_ipv6
def test_hba_of_ipv6(make_pooler, base_folder):
    """Addresses and masks of both families; a rule of one does not fit the other."""
    rules = base_folder / "hba6.conf"
    rules.write_text(
        "host all alice ::1/128 trust\n"
        "host all bob 127.0.0.0/8 trust\n"
        "host all carol ::/0 trust\n"
        "local all ops trust\n"
    )
    pooler = make_pooler(
        listen_addr="127.0.0.1,::1", auth_type="hba", auth_hba_file=rules, server_tls_sslmode="disable"
    )
    for user, host in (("alice", "::1"), ("bob", "127.0.0.1")):
        assert pooler.connect(user=user, host=host).execute("select 1").fetchone() == (1,)
    for user, host in (("alice", "127.0.0.1"), ("bob", "::1"), ("carol", "127.0.0.1")):
        with pytest.raises(psycopg.OperationalError):
            pooler.connect(user=user, host=host)


# ---- what the kernel is asked for


def connected(pooler):
    """The pooler's TCP sockets to its client and its server, of which there is one each."""
    mine = [s for s in sockets(pooler) if not is_listening(s)]
    assert len(mine) == 2
    return mine


def test_tcp_user_timeout_and_socket_buffer(make_pooler):
    """Of clients' and servers' sockets alike. The kernel doubles a buffer for its own use."""
    pooler = make_pooler(tcp_user_timeout=12345, tcp_socket_buffer=50000)
    pooler.wire_login().query("begin")
    for sock in connected(pooler):
        assert option(sock, "TCP_USER_TIMEOUT") == 12345
        for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            assert sock.getsockopt(socket.SOL_SOCKET, name) == 100000
        sock.close()


def test_tcp_settings_are_the_systems_by_default(make_pooler):
    pooler = make_pooler()
    pooler.wire_login().query("begin")
    with socket.create_server(("127.0.0.1", 0)) as fresh:
        for sock in connected(pooler):
            assert option(sock, "TCP_USER_TIMEOUT") == option(fresh, "TCP_USER_TIMEOUT")
            sock.close()


@pytest.mark.parametrize("setting, least, most", [(0, 0, 0), (1, 45, 127), (7, 7, 14)])
def test_tcp_defer_accept(make_pooler, setting, least, most):
    """1 stands for 45 seconds; the kernel rounds up to what its retransmissions make. A reload
    applies it."""
    pooler = make_pooler(tcp_defer_accept=5)
    reload(pooler, tcp_defer_accept=setting)

    def deferred():
        listening = [s for s in sockets(pooler) if is_listening(s)]
        values = {option(s, "TCP_DEFER_ACCEPT") for s in listening}
        for sock in listening:
            sock.close()
        return values

    wait_until(
        lambda: all(least <= value <= most for value in deferred()),
        lambda: f"{least} to {most} seconds in {deferred()}",
    )


def test_silent_client_is_not_accepted(make_pooler):
    """That is what deferring is about: who says nothing costs the pooler nothing."""
    pooler = make_pooler()
    silent = pooler.wire()
    assert pooler.connect().execute("select 1").fetchone() == (1,)
    assert [row for row in pooler.show("clients") if row["port"] == silent.sock.getsockname()[1]] == []
    assert silent.login("alice", "app")[-1].type == "Z"


def test_so_reuseport(make_pooler):
    """Nothing is put off there: a process that goes would take such a connection with it."""
    pooler = make_pooler(so_reuseport=1)
    pooler.connect()
    listening = [sock for sock in sockets(pooler) if is_listening(sock)]
    assert listening
    for sock in listening:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
        assert option(sock, "TCP_DEFER_ACCEPT") == 0
        sock.close()
