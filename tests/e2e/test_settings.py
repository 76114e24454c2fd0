"""Settings whose effect no other file is about: sockets, logs, and which server is taken."""

import ctypes
import os
import re
import socket
import stat
import struct

import pytest

import wire
from conftest import unnoticed
from limits import by_name, reload
from test_pooling import busy, pid_of
from waiting import wait_until

SYS_PIDFD_GETFD = 438


# ---- sockets


def sockets(pooler):
    """Duplicates of the pooler's TCP sockets; the test is skipped where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pooler.process.pid)
    found = []
    try:
        for name in os.listdir(f"/proc/{pooler.process.pid}/fd"):
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0 and ctypes.get_errno() in (1, 38):  # EPERM, ENOSYS
                pytest.skip("the pooler's sockets may not be looked at")
            if fd < 0:
                continue
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                continue
            found.append(socket.socket(fileno=fd))
    finally:
        os.close(pidfd)
    return [s for s in found if s.family == socket.AF_INET]


def option(sock, name):
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def is_listening(sock):
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


KEEPALIVE = {"tcp_keepcnt": 3, "tcp_keepidle": 77, "tcp_keepintvl": 11}


@pytest.mark.parametrize("on", [1, 0])
def test_tcp_keepalive(make_pooler, on):
    """Of clients' and servers' sockets alike."""
    pooler = make_pooler(tcp_keepalive=on, **KEEPALIVE)
    pooler.wire_login().query("begin")
    mine = [s for s in sockets(pooler) if not is_listening(s)]
    assert len(mine) == 2
    for sock in mine:
        assert option(sock, "TCP_NODELAY") == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == on
        got = [option(sock, name) for name in ("TCP_KEEPCNT", "TCP_KEEPIDLE", "TCP_KEEPINTVL")]
        assert (got == list(KEEPALIVE.values())) == bool(on)
        sock.close()


def test_listen_backlog(make_pooler):
    """As the kernel knows it: where struct tcp_info has tcpi_sacked for a connection."""
    pooler = make_pooler(listen_backlog=17)
    listening = [s for s in sockets(pooler) if is_listening(s)]
    assert listening
    for sock in listening:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert struct.unpack_from("I", info, 8 + 5 * 4)[0] == 17
        sock.close()


@pytest.mark.parametrize("mode", ["0700", "0777"])
def test_unix_socket_mode(make_pooler, mode):
    pooler = make_pooler(unix_socket_mode=mode)
    assert stat.S_IMODE(pooler.socket_path.stat().st_mode) == int(mode, 8)


def test_unix_socket_group(make_pooler):
    """By number too. The server account may give a file to a group of its own only."""
    first = make_pooler()
    group = first.socket_path.stat().st_gid
    pooler = make_pooler(unix_socket_group=group)
    assert pooler.socket_path.stat().st_gid == group
    assert pooler.wire_login(unix=True).values("select 1") == [["1"]]


# ---- messages


def test_max_packet_size(make_pooler):
    """What is larger ends its connection, whether the client has a server or not."""
    pooler = make_pooler(max_packet_size=10_000)
    with unnoticed(pooler):
        fits = "select '" + "x" * (10_000 - 5 - 10) + "'"
        for begin in (None, "begin"):
            client = pooler.wire_login()
            if begin:
                client.query(begin)
            assert len(client.values(fits)[0][0]) == 9985
            client.send(wire.query(fits + " " * 100))
            fields = wire.error(client.read_all())
            assert (fields["S"], fields["C"]) == ("FATAL", "08P01")


def test_scram_iterations(make_pooler):
    """Of the verifier that is made from a plain secret."""
    pooler = make_pooler(auth_type="scram-sha-256", scram_iterations=5001)
    client = pooler.wire()
    client.send(wire.startup({"user": "alice", "database": "app"}))
    client.read_until("R")
    client.send(wire.sasl_initial("n,,n=,r=abcdefghijklmnop"))
    (said,) = client.read_until("R")
    assert b",i=5001" in said.body
    assert pooler.connect(password="alice-secret").execute("select 1").fetchone() == (1,)


# ---- servers

LEAVE = "do $$ begin perform set_config('work_mem', '7MB', false); end $$"


@pytest.mark.parametrize("always", [0, 1])
def test_server_reset_query_always(make_pooler, always):
    """What happens in a function is not seen: with it nobody else sees it either."""
    pooler = make_pooler(default_pool_size=1, server_reset_query_always=always)
    client, other = pooler.wire_login(), pooler.wire_login()
    client.query(LEAVE)
    assert other.values("show work_mem") == [["4MB" if always else "7MB"]]


@pytest.mark.parametrize("always", [0, 1])
def test_server_reset_query(make_pooler, always):
    """Ours to choose; in transaction pooling it runs only when told to."""
    pooler = make_pooler(
        default_pool_size=1,
        server_reset_query="select pg_advisory_lock(77)",
        server_reset_query_always=always,
        session_state="ignore",
    )
    pooler.wire_login().query("select 1")
    held = "select count(*) from pg_locks where locktype = 'advisory'"
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "the server to be free")
    assert pooler.cluster.sql(held) == [(always,)]


@pytest.mark.parametrize("on", [0, 1])
def test_server_round_robin(make_pooler, on):
    """The one that waited longest, or the one used last."""
    pooler = make_pooler(default_pool_size=3, threads=1, server_round_robin=on)
    for client in busy(pooler, 3):
        client.execute("commit")
    client = pooler.connect()
    pids = [pid_of(client) for _ in range(6)]
    assert len(set(pids)) == (3 if on else 1)
    assert pids[:3] == pids[3:]


def test_reserve_pool_by_its_old_name(make_pooler):
    pooler = make_pooler(databases={"app": {"reserve_pool": 2}})
    assert by_name(pooler, "databases", "app")["reserve_pool_size"] == 2


# ---- logs


@pytest.mark.parametrize("on", [0, 1])
def test_log_connections(make_pooler, on):
    """Logins and ends of clients, each by its own switch; an error is logged in any case."""
    pooler = make_pooler(log_connections=on, log_disconnections=1 - on)
    client = pooler.wire_login()
    client.close()
    wait_until(lambda: int(by_name(pooler, "databases", "app")["current_client_connections"]) == 0,
               "the client to be gone")  # fmt: skip
    log = pooler.log()
    assert bool(re.search(r"c\d+ app/alice \S+: login", log)) == bool(on)
    assert bool(re.search(r"c\d+ app/alice \S+: closing", log)) != bool(on)
    assert wire.error(pooler.wire().login("alice", "nowhere"))["C"] == "3D000"
    assert "nowhere/alice" in pooler.log()


def test_stats_in_the_log(make_pooler):
    """A line every stats_period, until log_stats is off."""
    pooler = make_pooler(stats_period=1)
    client = pooler.wire_login()

    def lines():
        return len(re.findall(r"stats: .* xacts/s", pooler.log()))

    wait_until(lambda: client.values("select 1") and lines() >= 2, "two lines")
    wait_until(
        lambda: client.values("select 1")
        and [r for r in pooler.show("stats") if r["database"] == "app"][0]["avg_xact_count"] > 0,
        "averages of a whole period",
    )
    reload(pooler, log_stats=0)
    before = lines()
    # Other periods pass meanwhile: their averages say so.
    wait_until(
        lambda: [r for r in pooler.show("stats") if r["database"] == "app"][0]["avg_xact_count"] == 0,
        "a period without work",
    )
    assert lines() <= before + 1


def test_logfile(make_pooler):
    """It has what is logged; a reload opens it anew, for who moved it away."""
    pooler = make_pooler()
    file = pooler.folder / "its.log"
    reload(pooler, logfile=file)
    pooler.wire_login()
    wait_until(lambda: "app/alice" in file.read_text(), "a line in the file")
    file.rename(pooler.folder / "moved")
    reload(pooler)
    pooler.wire_login(user="bob")
    wait_until(lambda: file.exists() and "app/bob" in file.read_text(), "a line in the new file")
    assert "app/bob" not in (pooler.folder / "moved").read_text()
