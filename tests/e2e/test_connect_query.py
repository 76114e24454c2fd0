"""connect_query: what runs on a new server connection before a client gets it."""

import psycopg
import pytest

from limits import reload
from test_pooling import pid_of
from waiting import wait_until

WHO = "select current_setting('perfkit.who', true)"


def asks(query, **more):
    return {"app": {"connect_query": "'" + query.replace("'", "''") + "'", **more}}


def test_connect_query(make_pooler, cluster):
    """On each new connection, with whatever results it has."""
    query = "select repeat('x', 9000) from generate_series(1, 5); set perfkit.who to 'me'; listen x"
    pooler = make_pooler(databases=asks(query), default_pool_size=1)
    for _ in range(2):
        client = pooler.connect()
        assert client.execute(WHO).fetchone() == ("me",)
        cluster.terminate({pid_of(client)})


def test_connect_query_sets_what_is_tracked(make_pooler):
    """Clients are greeted with it, and whoever sets something else leaves it as it was."""
    pooler = make_pooler(
        databases=asks("set timezone to 'Asia/Tokyo'"), default_pool_size=1, threads=1
    )
    first, second = pooler.connect(), pooler.connect()
    assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
    first.execute("set timezone to 'Europe/Berlin'")
    assert second.execute("show timezone").fetchone() == ("Asia/Tokyo",)
    assert first.execute("show timezone").fetchone() == ("Europe/Berlin",)


def test_connect_query_behind_the_reset_query(make_pooler):
    """DISCARD ALL would take away what it has set."""
    pooler = make_pooler(
        databases=asks("set perfkit.who to 'me'"), default_pool_size=1, pool_mode="session"
    )
    with pooler.connect() as first:
        pid = pid_of(first)
        first.execute("set perfkit.who to 'another'")
    with pooler.connect() as second:
        assert (pid_of(second), second.execute(WHO).fetchone()) == (pid, ("me",))


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_connect_query_that_fails(make_pooler, mode):
    """Is logged, and does no harm."""
    pooler = make_pooler(databases=asks("select 1/0"), default_pool_size=1, pool_mode=mode)
    pids = set()
    for _ in range(2):
        with pooler.connect() as client:
            pids.add(pid_of(client))
    assert len(pids) == 1
    assert pooler.log().count("connect_query failed: division by zero (22012)") == 1


@pytest.mark.parametrize(
    "query, says",
    [("begin", "leaves a transaction open"), ("copy pg_class to stdout", "something else than rows")],
)
def test_connect_query_that_cannot_be(make_pooler, query, says):
    """The server is of no use after it: the client is told."""
    pooler = make_pooler(databases=asks(query))
    with pytest.raises(psycopg.OperationalError, match=f"connect_query .*{says}"):
        pooler.connect()


def test_connect_query_of_a_reload(make_pooler):
    """Another one means other servers."""
    pooler = make_pooler(databases=asks("set perfkit.who to 'me'"), default_pool_size=1)
    client = pooler.connect()
    assert client.execute(WHO).fetchone() == ("me",)
    pooler.databases.update(asks("set perfkit.who to 'you'"))
    reload(pooler)
    wait_until(lambda: client.execute(WHO).fetchone() == ("you",), "a new server")


def test_connect_query_that_is_too_long(make_pooler):
    pooler = make_pooler()
    pooler.databases.update(asks("select 1" + " " * 8000))
    pooler.write()
    with pytest.raises(psycopg.Error, match="connect_query is longer than 8000 bytes"):
        pooler.command("reload")
