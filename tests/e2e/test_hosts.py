"""Where a database is: lists of hosts, and names with several or changing addresses."""

import contextlib
import re
import socket
import struct

import psycopg
import pytest

import wire
from fake_server import FakeServer
from limits import reload
from name_server import NameServer
from test_cancel import SLEEP, Background, wait_running
from test_pooling import busy, pid_of
from waiting import wait_until

HERE, THERE, NOWHERE = "127.0.0.1", "127.0.0.2", "127.0.0.9"

ALICE = {"user": "alice", "database": "app"}

SERVER_ADDRESS = "select host(inet_server_addr())"


def place_of(conn):
    """The address of the server behind this connection."""
    return conn.execute(SERVER_ADDRESS).fetchone()[0]


def places(clients):
    return sorted(place_of(client) for client in clients)


def listed(*hosts, **more):
    """The entry of a database with these hosts."""
    return {"app": {"host": ",".join(hosts), **more}}


def passed_over(pooler):
    return pooler.log().count("is passed over")


def replace_server(pooler, cluster):
    """The one server of the pool ends, and the next client gets another."""
    cluster.terminate(pooler.server_pids())


@pytest.fixture
def silent_host(cluster):
    """An address where somebody accepts and says nothing."""
    with contextlib.closing(socket.create_server(("127.0.0.3", cluster.port))):
        yield "127.0.0.3"


# ---- lists of hosts


def test_round_robin(make_pooler, threads):
    """The default: each new server connection goes to the next host."""
    pooler = make_pooler(databases=listed(HERE, THERE), default_pool_size=4, threads=threads)
    assert places(busy(pooler, 4)) == [HERE, HERE, THERE, THERE]


def test_load_balance_hosts_disable(make_pooler):
    databases = listed(HERE, THERE, load_balance_hosts="disable")
    pooler = make_pooler(databases=databases, default_pool_size=3)
    assert places(busy(pooler, 3)) == [HERE] * 3


def test_load_balance_hosts_is_shown(make_pooler):
    """Where there is something to balance, as in PgBouncer."""
    pooler = make_pooler(
        databases={
            "app": {"host": f"{HERE},{THERE}"},
            "other": {"host": f"{HERE},{THERE}", "load_balance_hosts": "disable"},
        }
    )
    shown = {row["name"]: row["load_balance_hosts"] for row in pooler.show("databases")}
    assert (shown["app"], shown["other"], shown["bench"]) == ("round-robin", "disable", None)


@pytest.mark.parametrize("mode", ["round-robin", "disable"])
def test_host_that_refuses_is_passed_over(make_pooler, cluster, mode):
    """At once, by the very login that met it; and it is left alone for server_login_retry."""
    pooler = make_pooler(
        databases=listed(NOWHERE, HERE, load_balance_hosts=mode),
        default_pool_size=1,
        server_login_retry=600,
    )
    client = pooler.connect()
    for _ in range(4):
        assert place_of(client) == HERE
        replace_server(pooler, cluster)
        client = pooler.connect()
    assert passed_over(pooler) == 1


def test_disable_goes_on_where_it_went(make_pooler, cluster):
    """It does not return to a host that failed when that is back, as long as the other works."""
    with contextlib.closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.3", cluster.port))
        pooler = make_pooler(
            databases=listed("127.0.0.3", THERE, HERE, load_balance_hosts="disable"),
            default_pool_size=1,
            server_login_retry=0,
        )
        client = pooler.connect()
        for _ in range(3):
            assert place_of(client) == THERE
            replace_server(pooler, cluster)
            client = pooler.connect()
        assert passed_over(pooler) == 1


def test_host_that_is_silent_is_passed_over(make_pooler, silent_host):
    """After its share of server_connect_timeout."""
    pooler = make_pooler(
        databases=listed(silent_host, HERE), default_pool_size=1, server_connect_timeout=1
    )
    assert place_of(pooler.connect()) == HERE
    assert f"{silent_host} is passed over: server_connect_timeout" in pooler.log()


def starting_up():
    body = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


def test_server_that_is_not_ready_is_passed_over(make_pooler, cluster):
    """It answers, but does not serve: the next one may."""
    with contextlib.closing(FakeServer(starting_up(), hang_up=True)) as fake:
        with contextlib.closing(socket.create_server((THERE, fake.port))) as other:
            pooler = make_pooler(
                databases={"app": {"host": f"{HERE},{THERE}", "port": fake.port}},
                default_pool_size=1,
                server_login_retry=600,
            )
            pooler.wire().send(wire.startup(ALICE))
            conn, _ = other.accept()
            conn.close()
            assert "127.0.0.1 is passed over: the database system is starting up" in pooler.log()


def test_nonsense_is_passed_over(make_pooler, cluster):
    """Whoever answers there is not PostgreSQL; at the next host it may be."""
    with contextlib.closing(FakeServer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as fake:
        with contextlib.closing(socket.create_server((THERE, fake.port))) as other:
            pooler = make_pooler(
                databases={"app": {"host": f"{HERE},{THERE}", "port": fake.port}},
                default_pool_size=1,
                server_login_retry=600,
                server_tls_sslmode="disable",
            )
            pooler.wire().send(wire.startup(ALICE))
            conn, _ = other.accept()
            conn.close()
            assert re.search("127.0.0.1 is passed over: .*PostgreSQL", pooler.log())


def test_refusal_is_not_passed_over(make_pooler, cluster):
    """A database that is not there, a user who may not: the next host says the same, and the
    client is told."""
    pooler = make_pooler(databases=listed(HERE, THERE, dbname="nowhere"))
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        pooler.connect()
    assert passed_over(pooler) == 0


def test_no_host_left(make_pooler, cluster):
    """All of them are down: clients wait, and are served when one has come."""
    pooler = make_pooler(databases=listed(NOWHERE, "127.0.0.8"), server_login_retry=0)
    waiting = pooler.wire()
    waiting.send(wire.startup(ALICE))
    wait_until(lambda: "server login failed" in pooler.log(), "the login to fail")
    assert passed_over(pooler) >= 1
    pooler.databases = {**pooler.databases, **listed(NOWHERE, HERE)}
    reload(pooler)
    waiting.read_until("Z")
    assert waiting.values(SERVER_ADDRESS) == [[HERE]]


def test_unix_sockets_in_a_list(make_pooler, cluster, tmp_path):
    """Hosts of a list may be of different kinds."""
    pooler = make_pooler(
        databases=listed("/nowhere/at/all", str(cluster.folder.parent)), default_pool_size=1
    )
    client = pooler.connect()
    assert place_of(client) is None
    assert passed_over(pooler) == 1


def test_cancel_goes_to_the_host_of_the_server(make_pooler, cluster):
    """Of two hosts only one runs the query."""
    pooler = make_pooler(databases=listed(HERE, THERE), default_pool_size=2)
    clients = busy(pooler, 2)
    for number, client in enumerate(clients):
        query = Background(client, SLEEP)
        wait_running(cluster, 1)
        client.cancel()
        assert isinstance(query.result(), psycopg.errors.QueryCanceled), number


def test_auth_query_passes_over(make_pooler, cluster):
    """The question for a user's secret tries the same hosts."""
    pooler = make_pooler(
        databases=listed(NOWHERE, HERE),
        auth_type="md5",
        auth_user="postgres",
        auth_query="select usename::text, 'found' from pg_user where usename = $1",
        userlist={"postgres": "postgres"},
        server_login_retry=600,
    )
    cluster.sql("drop role if exists elsewhere; create role elsewhere login")
    try:
        assert pooler.connect(user="elsewhere", password="found").execute("select 1").fetchone()
    finally:
        cluster.sql("drop role elsewhere")


@pytest.mark.parametrize("hosts", ["a,,b", ",a", "a,", "'a, '", ",".join("a" * 40)])
def test_bad_lists(make_pooler, hosts):
    """Refused by a reload, with the line; what was in force stays."""
    pooler = make_pooler()
    pooler.databases["app"] = {"host": hosts}
    pooler.write()
    with pytest.raises(psycopg.Error, match='database "app": (an empty name|more than 32 hosts)'):
        pooler.command("reload")
    assert pooler.connect().execute("select 1").fetchone() == (1,)


# ---- names


@pytest.fixture
def make_names(base_folder):
    """make_names(db_test=[address, …]) -> a running NameServer."""
    with contextlib.ExitStack() as stack:

        def make(**more):
            return stack.enter_context(contextlib.closing(NameServer(base_folder, **more)))

        yield make


def named(names, host="db.test", **more):
    """Settings of a pooler that asks this name server."""
    return {"databases": {"app": {"host": host}}, "resolv_conf": names.conf, **more}


def test_name(make_pooler, make_names):
    """resolv_conf names the name server, with a port."""
    names = make_names(db_test=[THERE])
    pooler = make_pooler(**named(names))
    assert place_of(pooler.connect()) == THERE


def test_addresses_by_turns(make_pooler, make_names, threads):
    """All addresses of a name are used, and it is asked for once."""
    names = make_names(db_test=[HERE, THERE])
    pooler = make_pooler(
        **named(names), default_pool_size=4, server_login_concurrency=1, threads=threads
    )
    assert places(busy(pooler, 4)) == [HERE, HERE, THERE, THERE]
    assert 1 <= names.asked("db.test") <= threads


def test_dns_hosts(make_pooler, make_names):
    """What is known, for how many seconds yet, and the addresses; nothing of what is no name."""
    names = make_names(db_test=[HERE, THERE])
    pooler = make_pooler(**named(names), dns_max_ttl=3600)
    assert pooler.show("dns_hosts") == []
    place_of(pooler.connect())
    assert place_of(pooler.connect("other")) == HERE
    (row,) = pooler.show("dns_hosts")
    assert list(row) == ["hostname", "ttl", "addrs"]
    assert row["hostname"] == "db.test"
    assert 30 < row["ttl"] <= 60
    assert sorted(row["addrs"].split(",")) == [HERE, THERE]
    assert {r["list"]: r["items"] for r in pooler.show("lists")}["dns_names"] == 1


def test_address_that_refuses_is_passed_over(make_pooler, make_names):
    names = make_names(db_test=[NOWHERE, HERE])
    pooler = make_pooler(**named(names), default_pool_size=3)
    assert places(busy(pooler, 3)) == [HERE] * 3


def test_dns_max_ttl(make_pooler, make_names, cluster):
    """A longer life than this is cut: the name is asked for anew with the next connection."""
    names = make_names(db_test=[HERE], ttl=3600)
    pooler = make_pooler(**named(names), dns_max_ttl=0, default_pool_size=1)
    place_of(pooler.connect())
    before = names.asked("db.test")
    replace_server(pooler, cluster)
    place_of(pooler.connect())
    assert names.asked("db.test") > before


def test_name_is_remembered(make_pooler, make_names, cluster):
    names = make_names(db_test=[HERE], ttl=3600)
    pooler = make_pooler(**named(names), dns_max_ttl=3600, default_pool_size=1, threads=1)
    for _ in range(3):
        place_of(pooler.connect())
        replace_server(pooler, cluster)
    assert names.asked("db.test") == 1


def test_shorter_life_of_the_answer_counts(make_pooler, make_names, cluster):
    names = make_names(db_test=[HERE], ttl=0)
    pooler = make_pooler(**named(names), dns_max_ttl=3600, default_pool_size=1)
    place_of(pooler.connect())
    before = names.asked("db.test")
    replace_server(pooler, cluster)
    place_of(pooler.connect())
    assert names.asked("db.test") > before


@pytest.mark.parametrize("seconds, again", [(3600, False), (0, True)])
def test_dns_nxdomain_ttl(make_pooler, make_names, seconds, again):
    """That a name does not exist is remembered too, for a time of its own."""
    names = make_names()
    pooler = make_pooler(**named(names), dns_nxdomain_ttl=seconds, server_login_retry=0, threads=1)
    pooler.wire().send(wire.startup(ALICE))
    wait_until(lambda: pooler.log().count("cannot resolve db.test") >= 3, "three failures")
    assert (names.asked("db.test") > 1) == again
    names.names["db.test"] = [HERE]
    if again:
        assert place_of(pooler.connect()) == HERE


def test_name_server_that_fails(make_pooler, make_names, cluster):
    """Addresses that are known stay in use while it cannot be asked."""
    names = make_names(db_test=[THERE])
    pooler = make_pooler(**named(names), dns_max_ttl=0, default_pool_size=1)
    assert place_of(pooler.connect()) == THERE
    names.names["db.test"] = None
    replace_server(pooler, cluster)
    assert place_of(pooler.connect()) == THERE


def test_name_that_moves(make_pooler, make_names, cluster):
    """A failover by DNS: the next connection finds out, and those to the old address are closed;
    idle ones at once, one in a transaction when that is over."""
    names = make_names(db_test=[HERE])
    pooler = make_pooler(**named(names), dns_max_ttl=0, default_pool_size=3)
    in_transaction, *others = busy(pooler, 2)
    for client in others:
        client.execute("commit")
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    names.names["db.test"] = [THERE]
    more = busy(pooler, 2)
    assert THERE in places(more)
    for client in more:
        client.execute("commit")
    assert place_of(in_transaction) == HERE
    in_transaction.execute("commit")

    def all_there():
        return {row["addr"] for row in pooler.show("servers")} <= {THERE}

    wait_until(all_there, lambda: f"no server at {HERE} in {pooler.show('servers')}")
    assert place_of(in_transaction) == THERE


def test_name_that_keeps_an_address(make_pooler, make_names):
    """Servers at an address that the name still has are left alone."""
    names = make_names(db_test=[HERE, NOWHERE])
    pooler = make_pooler(**named(names), dns_max_ttl=0, default_pool_size=3)
    first = busy(pooler, 1)[0]
    pid = pid_of(first)
    names.names["db.test"] = [THERE, HERE]
    assert set(places(busy(pooler, 2))) <= {HERE, THERE}
    wait_until(lambda: "has moved" in pooler.log(), "the change to be seen")
    first.execute("commit")
    assert pid in pooler.server_pids()
