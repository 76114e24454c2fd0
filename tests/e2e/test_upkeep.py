"""Small duties around sessions and servers: the check of idle servers, what clients are told at login,
what the log says of errors, what is forbidden."""

import re
import socket

import psycopg
import pytest

import wire
from pooler import ADMIN
from test_console import console_wire
from test_pooling import pid_of
from valve import Valve
from waiting import wait_until

# ---- server_check_query, server_check_delay


@pytest.fixture
def checks(cluster):
    """A sequence that counts checks, and how to read it."""
    cluster.sql("drop sequence if exists checks", "app")
    cluster.sql("create sequence checks owned by none", "app")
    cluster.sql("grant all on sequence checks to public", "app")
    yield lambda: cluster.sql("select last_value * is_called::int from checks", "app")[0][0]
    cluster.sql("drop sequence checks", "app")


CHECK = "select nextval('checks')"


def test_check_before_use(make_pooler, threads, checks):
    """With a delay of 0 each server that was idle is checked; the client notices nothing."""
    pooler = make_pooler(
        default_pool_size=1, server_check_query=CHECK, server_check_delay=0, threads=threads
    )
    client = pooler.wire_login()
    pooler.wait_idle = lambda: wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    before = checks()
    for n in range(1, 4):
        pooler.wait_idle()
        assert client.values("select 'x'") == [["x"]]
        assert checks() == before + n
    pooler.wait_idle()
    client.send(wire.extended("select 'y'"))
    assert wire.rows(client.read_until("Z")) == [["y"]]
    assert checks() == before + 4


def test_no_check_of_what_was_just_used(make_pooler, checks):
    """Before the delay has passed, and with an empty query never."""
    pooler = make_pooler(default_pool_size=1, server_check_query=CHECK, server_check_delay=600)
    client = pooler.wire_login()
    for _ in range(3):
        client.values("select 1")
    assert checks() == 0
    pooler.command("set server_check_delay = 0")
    pooler.command("set server_check_query = ''")
    client.values("select 1")
    assert checks() == 0
    pooler.command("set server_check_query = <empty>")
    assert client.values("select 1") == [["1"]]


def test_a_server_that_fails_the_check(make_pooler, threads):
    """It is closed, and the client gets another one; not a word of it reaches the client."""
    pooler = make_pooler(
        default_pool_size=1,
        server_check_query="select 1/0",
        server_check_delay=0,
        threads=threads,
    )
    client = pooler.wire_login()
    seen = set()
    for _ in range(3):
        said = client.query("select pg_backend_pid()")
        assert wire.kinds(said) == "TDCZ"
        seen.add(wire.rows(said)[0][0])
        wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    assert len(seen) == 3
    assert "server_check_query failed" in pooler.log()


def test_a_server_that_does_not_answer(make_pooler, cluster, threads):
    """A connection that leads nowhere is noticed before the query is given to it: no query is lost,
    and none runs twice."""
    valve = Valve(cluster)
    pooler = make_pooler(
        default_pool_size=1,
        server_check_delay=600,
        databases={"app": {"port": valve.port}},
        server_tls_sslmode="disable",
        threads=threads,
    )
    client, leaver = pooler.wire_login(), pooler.wire_login()
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    valve.shut()
    client.values("select 1")  # its answer is the last that is heard of this connection
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    pooler.command("set server_check_delay = 0")
    pooler.command("set server_connect_timeout = 3")
    leaver.send(wire.query("select 'gone'"))
    wait_until(lambda: pooler.pool()["sv_tested"] == 1, "the check")
    client.send(wire.query("select 'safe'"))
    leaver.vanish()
    wait_until(lambda: "server_check_query is not answered" in pooler.log(), "the check to fail")
    pooler.command("set server_connect_timeout = 15")
    valve.open()
    assert wire.rows(client.read_until("Z")) == [["safe"]]
    valve.close()


@pytest.mark.parametrize("longest", [0, 2], ids=["any", "full"])
def test_who_waited_for_a_check_keeps_its_place(make_pooler, cluster, threads, checks, longest):
    """Its server is dead: it is served before those who came meanwhile, and never shed."""
    pooler = make_pooler(
        default_pool_size=1,
        server_check_query="select pg_sleep(600)",
        server_check_delay=0,
        max_client_waiting=longest,
        threads=threads,
    )
    clients = [pooler.wire_login() for _ in range(3)]
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "an idle server")
    clients[0].send(wire.query(CHECK))
    wait_until(lambda: pooler.pool()["sv_tested"] == 1, "the check")
    for number, client in enumerate(clients[1:], 1):
        client.send(wire.query(CHECK))
        pooler.wait_waiting(number)
    cluster.terminate(pooler.server_pids())
    for number, client in enumerate(clients, 1):
        assert wire.rows(client.read_until("Z")) == [[str(number)]]
    assert checks() == 3


# ---- what clients are told at login


def test_login_notify_message(make_pooler):
    """A notice in front of the first ReadyForQuery, on the console too."""
    pooler = make_pooler(login_notify_message="maintenance at noon")
    for user, database in (("alice", "app"), (ADMIN, "pgbouncer")):
        said = pooler.wire().login(user, database)
        assert wire.kinds(said).endswith("KNZ")
        fields = wire.fields(said[-2].body)
        assert (fields["S"], fields["M"]) == ("NOTICE", "maintenance at noon")
    pooler.command("set login_notify_message = ''")
    assert wire.kinds(pooler.wire().login("alice", "app")).endswith("KZ")


def test_application_name_add_host(make_pooler, threads):
    """The client's address behind its name, at the server too; a later SET is left alone."""
    pooler = make_pooler(application_name_add_host=1, default_pool_size=1, threads=threads)
    named, nameless = pooler.wire_login(application_name="shown"), pooler.wire_login()
    for client, name in ((named, "shown"), (nameless, "app")):
        port = client.sock.getsockname()[1]
        wanted = f"{name} - {pooler.host}:{port}"
        assert client.values("show application_name") == [[wanted]]
        assert wanted in {r["application_name"] for r in pooler.show("clients")}
    named.query("set application_name = 'mine'")
    assert named.values("show application_name") == [["mine"]]
    local = pooler.wire_login(unix=True, application_name="here")
    (name,) = local.values("show application_name")[0]
    assert re.fullmatch(rf"here - unix\(\d+@{re.escape(socket.gethostname())}\):{pooler.port}", name)


# ---- disable_pqexec


def test_disable_pqexec(make_pooler, threads):
    """A simple query ends the client; the extended protocol works, and the console."""
    pooler = make_pooler(disable_pqexec=1, default_pool_size=1, threads=threads)
    simple, extended = pooler.wire_login(), pooler.wire_login()
    extended.send(wire.extended("select 'fine'"))
    assert wire.rows(extended.read_until("Z")) == [["fine"]]
    simple.send(wire.query("select 1"))
    assert wire.error(simple.read_all())["M"] == "PQexec disallowed"
    inside = pooler.wire_login(timezone="Asia/Tokyo")
    inside.send(wire.extended("begin"))
    inside.read_until("Z")
    inside.send(wire.query("drop table if exists nothing"))
    assert wire.error(inside.read_all())["M"] == "PQexec disallowed"
    extended.send(wire.extended("select 'still'"))
    assert wire.rows(extended.read_until("Z")) == [["still"]]
    assert console_wire(pooler).query("show version")


# ---- log_pooler_errors


def test_log_pooler_errors(make_pooler):
    """Errors of ours are in the log, or not; those of PostgreSQL never."""
    pooler = make_pooler(log_disconnections=0)
    with pytest.raises(psycopg.OperationalError):
        pooler.connect("nowhere")
    console_wire(pooler).query("frobnicate")
    with pytest.raises(psycopg.errors.DivisionByZero):
        pooler.connect().execute("select 1/0")
    wait_until(lambda: "pooler error: invalid command" in pooler.log(), "the second error")
    assert "pooler error: no such database: nowhere" in pooler.log()
    assert "division" not in pooler.log()
    pooler.command("set log_pooler_errors = 0")
    before = pooler.log().count("pooler error")
    console_wire(pooler).query("frobnicate")
    with pytest.raises(psycopg.OperationalError):
        pooler.connect("nowhere")
    pid_of(pooler.connect())
    assert pooler.log().count("pooler error") == before
