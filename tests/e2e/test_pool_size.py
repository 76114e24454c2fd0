"""Pools that grow: min_pool_size and the reserve."""

import time

import pytest

import wire
from limits import by_name, reload
from test_pooling import busy
from waiting import wait_until


@pytest.mark.parametrize("where", ["global", "database"])
def test_min_pool_size(make_pooler, cluster, threads, where):
    """Kept open while a client is there: at its login, after losses, against server_idle_timeout."""
    limits = {"min_pool_size": 3} if where == "global" else {"databases": {"app": {"min_pool_size": 3}}}
    pooler = make_pooler(threads=threads, server_idle_timeout=0.2, **limits)
    client = pooler.wire_login()

    def three_idle():
        return len(pooler.server_pids()) == 3 and pooler.pool()["sv_idle"] == 3

    wait_until(three_idle, "three servers")
    assert by_name(pooler, "databases", "app")["min_pool_size"] == 3
    crowd = busy(pooler, 5)
    for one in crowd:
        one.execute("commit")
    wait_until(three_idle, "the two others to be closed")
    cluster.terminate(pooler.server_pids())
    wait_until(three_idle, "three new servers")
    client.close()
    pooler.close_clients()
    wait_until(lambda: not pooler.server_pids(), "a pool without clients to be empty")


def test_min_pool_size_of_a_forced_user(make_pooler):
    """It is filled without any client, also again after a pause."""
    line = {"dbname": "app", "user": "carol", "min_pool_size": 2}
    pooler = make_pooler(databases={"fixed": line})
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 2, "two servers")
    before = pooler.server_pids("app", "carol")
    pooler.command("pause fixed")
    wait_until(lambda: not pooler.server_pids("app", "carol") & before, "the two to end")
    pooler.command("resume fixed")
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 2, "two servers after the pause")
    pooler.databases["fixed"]["min_pool_size"] = 4
    reload(pooler)
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 4, "four after a reload")


def test_min_pool_size_stays_within_other_limits(make_pooler):
    """Neither the size of the pool nor the places of the database are exceeded for it."""
    pooler = make_pooler(min_pool_size=10, default_pool_size=3, max_db_connections=4)
    clients = [pooler.wire_login(user=user) for user in ("alice", "bob")]
    for _ in range(20):
        for client in clients:
            client.values("select 1")
        assert by_name(pooler, "databases", "app")["current_connections"] <= 4
        assert pooler.pool()["sv_idle"] <= 3


@pytest.mark.parametrize("limit", ["max_db_connections", "max_user_connections"])
def test_min_pool_size_takes_a_place_that_comes_free(make_pooler, cluster, threads, limit):
    """Without any event of its own pool, when the servers of the others are gone."""
    first, second = ("app", "alice"), ("other", "alice")
    if limit == "max_db_connections":
        second = ("app", "bob")
    pooler = make_pooler(threads=threads, min_pool_size=2, **{limit: 2})
    idle = pooler.wire_login(*first)
    wait_until(lambda: len(pooler.server_pids(*first)) == 2, "two servers")
    crowd = busy(pooler, 2, dbname=second[0], user=second[1])
    wait_until(lambda: not pooler.server_pids(*first), "both to give way")
    for client in crowd:
        client.close()
    cluster.terminate(pooler.server_pids(*second))
    wait_until(lambda: len(pooler.server_pids(*first)) == 2, "two servers again")
    assert idle.values("select 1") == [["1"]]


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_reserve_pool(make_pooler, threads, where):
    """It opens, one by one, for those who waited reserve_pool_timeout; never more than it holds."""
    limits = {
        "global": {"reserve_pool_size": 2},
        "database": {"databases": {"app": {"reserve_pool_size": 2}}},
        "user": {"users": {"alice": "reserve_pool_size=2"}},
    }
    pooler = make_pooler(
        threads=threads, default_pool_size=1, reserve_pool_timeout=0.5, **limits[where]
    )
    busy(pooler, 1)
    waiters = [pooler.wire_login() for _ in range(3)]
    began = time.monotonic()
    for waiter in waiters:
        waiter.send(wire.query("begin; select 1"))
    wait_until(lambda: sum(w.has_answer() for w in waiters) == 2, "two of them to be served")
    assert time.monotonic() - began >= 0.5
    # One loop reads what came at the same time in an order of its own.
    waiters.sort(key=lambda w: not w.has_answer())
    for waiter in waiters[:2]:
        assert wire.rows(waiter.read_until("Z")) == [["1"]]
    pooler.wait_waiting(1)
    assert len(pooler.server_pids()) == 3
    waiters[0].query("commit")
    assert wire.rows(waiters[2].read_until("Z")) == [["1"]]
    assert len(pooler.server_pids()) == 3


def test_reserve_pool_off(make_pooler):
    """A timeout of 0 keeps the reserve closed; a reload opens it for who waits already."""
    pooler = make_pooler(default_pool_size=1, reserve_pool_size=1, reserve_pool_timeout=0)
    busy(pooler, 1)
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    pooler.wait_waiting(1)
    assert len(pooler.server_pids()) == 1 and not waiter.has_answer()
    reload(pooler, reserve_pool_timeout=0.1)
    assert wire.rows(waiter.read_until("Z")) == [["1"]]
