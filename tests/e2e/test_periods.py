"""What a stats_period leaves in performance_log: histograms that add up, and a last period when the
pooler ends."""

import contextlib
import math
import re
import signal
import socket
import time

import pytest

from test_performance_log import more_than, stored, wait_told
from waiting import wait_until

# So long that no period ends by itself.
NEVER = 3600

LOST = re.compile(r"perfkit_dsn: (\d+) numbers(?:, and those of the last period,)? are lost: (.*)")

# The pooler waits two seconds for its last numbers. A busy machine may need longer, once or twice.
ATTEMPTS = 5


def counts(home, metric):
    """How many times the histograms of each user have, of all periods."""
    return dict(
        home.sql(
            "select labels ->> 'user', sum((select sum(histogram[2 * i])"
            " from generate_series(1, cardinality(histogram) / 2) i))::int"
            f" from perfkit.performance_log where metric = '{metric}' group by 1",
            "home",
        )
    )


def ended_whole(start, use, end):
    """start() -> pooler; use(pooler); end(pooler): what the log does not call lost is there."""
    for _ in range(ATTEMPTS):
        pooler = start()
        done = use(pooler)
        end(pooler)
        assert pooler.wait_exit() == 0
        if not LOST.search(pooler.log()):
            return pooler, done
    raise AssertionError(f"numbers were lost each time:\n{pooler.log()}")


def by_console(order):
    return lambda pooler: pooler.command(order)


def by_signal(number):
    return lambda pooler: pooler.signal(number)


# ---- histograms


def sleeps(pooler, user, durations, seconds):
    """Adds to `durations` how long each took: at least (asked) and at most (seen)."""
    client = pooler.connect(user=user)
    for length in seconds:
        began = time.monotonic()
        client.execute(f"select pg_sleep({length})")
        durations.append((length, time.monotonic() - began))
    client.close()


def expect_quantile(value, durations, share):
    """Within 5 % of the one that was measured, of which we know the bounds."""
    rank = max(1, math.ceil(share * len(durations))) - 1
    least = sorted(asked for asked, _ in durations)[rank]
    most = sorted(seen for _, seen in durations)[rank]
    assert 0.95 * least <= value <= 1.05 * most, (share, value, least, most)


def test_histograms_of_pools_and_periods_add_up(writer, home, threads):
    """Quantiles of all users and periods are those of all durations, before and after a roll-up."""
    of = {"alice": [], "bob": []}

    def use(pooler):
        for durations in of.values():
            durations.clear()
        sleeps(pooler, "alice", of["alice"], [0.002 * i for i in range(1, 9)])
        wait_until(lambda: counts(home, "pool_query_seconds").get("alice") == 8, "the first period")
        sleeps(pooler, "alice", of["alice"], [0.05, 0.06])
        sleeps(pooler, "bob", of["bob"], [0.01, 0.07, 0.001])

    def start():
        home.empty()
        return writer(stats_period=1, threads=threads)

    ended_whole(start, use, by_signal(signal.SIGTERM))
    asked = {user: len(durations) for user, durations in of.items()}
    assert counts(home, "pool_query_seconds") == asked
    assert counts(home, "pool_transaction_seconds") == asked
    assert set(counts(home, "pool_wait_seconds")) == {"alice", "bob"}
    # A period may have ended between bob's queries.
    ((mean,),) = home.sql(
        "select sum(value * n) / sum(n) from (select value, (select sum(histogram[2 * i])"
        " from generate_series(1, cardinality(histogram) / 2) i)::float8 as n"
        " from perfkit.performance_log where metric = 'pool_query_seconds'"
        " and labels ->> 'user' = 'bob') p",
        "home",
    )
    assert sum(d for d, _ in of["bob"]) / 3 - 1e-6 <= mean <= sum(d for _, d in of["bob"]) / 3
    for _ in range(2):
        for share in (0.5, 0.9, 0.95):
            ((value,),) = home.sql(
                f"select perfkit._histogram_quantile(perfkit._histogram_sum(histogram), {share}) / 1000"
                " from perfkit.performance_log where metric = 'pool_query_seconds'",
                "home",
            )
            expect_quantile(value, of["alice"] + of["bob"], share)
            rows = home.sql(
                f"select labels ->> 'user', value from perfkit.performance('pool_query_p{share * 100:.0f}_seconds',"
                " '2000-01-01', 'infinity', '36500 days')",
                "home",
            )
            assert {user for user, _ in rows} == {"alice", "bob"} and len(rows) == 2, rows
            for user, quantile in rows:
                expect_quantile(quantile, of[user], share)
        home.sql("select perfkit._roll_up()", "home")


# ---- the last period


@pytest.mark.parametrize(
    "end",
    [
        by_signal(signal.SIGTERM),
        by_signal(signal.SIGINT),
        by_console("shutdown wait_for_clients"),
        by_console("shutdown wait_for_servers"),
    ],
    ids=["term", "int", "for-clients", "for-servers"],
)
def test_the_last_period_is_written(writer, home, end):
    """With the length that it has."""
    queries = 7

    def start():
        home.empty()
        return writer(stats_period=NEVER)

    def use(pooler):
        up = time.monotonic()
        with pooler.connect() as client:
            for _ in range(queries):
                client.execute("select 1")
        return up, time.monotonic()

    before = time.monotonic()
    _, (up, asked) = ended_whole(start, use, end)
    longest = time.monotonic() - before
    rows = stored(home, "metric = 'pool_queries_per_second' and labels ->> 'user' = 'alice'", "value")
    assert len(rows) == 1
    assert asked - up <= queries / rows[0][0] <= longest
    assert counts(home, "pool_query_seconds") == {"alice": queries}
    assert home.sql("select batch from perfkit.pooler", "home") == [(1,)]


def test_what_was_kept_back_is_written_at_the_end(writer, home):
    """The database is back, and the pooler has not tried again yet."""

    def start():
        home.empty()
        return writer(stats_period=1, server_login_retry=NEVER)

    def use(pooler):
        wait_told(pooler, state="connected", rows_written=more_than(0))
        home.stop()
        wait_told(pooler, state="away", rows_pending=more_than(0))
        home.start()

    ended_whole(start, use, by_signal(signal.SIGTERM))
    ((batches, last),) = home.sql(
        "select count(*) filter (where metric = 'pooler_rows_dropped_per_second'),"
        " (select batch from perfkit.pooler) from perfkit.performance_log",
        "home",
    )
    assert batches == last >= 3


def test_one_that_is_replaced_writes_its_last_period(writer, home):
    """Another process on the same port has its place, and goes on."""

    def start():
        home.empty()
        return writer(
            home.dsn(application_name="old"), stats_period=NEVER, so_reuseport=1, peer_id=1
        )

    def use(pooler):
        client = pooler.connect()
        client.execute("select 1")
        writer(
            home.dsn(application_name="new"),
            stats_period=NEVER,
            so_reuseport=1,
            peer_id=2,
            shared_port=pooler.port,
        )
        return client

    def end(pooler):
        pooler.signal(signal.SIGTERM)
        wait_until(lambda: "when the last client has left" in pooler.log(), "the end to begin")
        for client in pooler.clients:
            client.execute("select 2")
        pooler.close_clients()

    ended_whole(start, use, end)
    assert counts(home, "pool_query_seconds") == {"alice": 2}
    assert home.sql("select name from perfkit.pooler", "home") == [("old",)]


def test_an_end_at_once_writes_nothing(writer, home):
    pooler = writer(stats_period=NEVER)
    pooler.connect().execute("select 1")
    wait_told(pooler, state="connected")
    pooler.signal(signal.SIGQUIT)
    assert pooler.wait_exit() == 0
    wait_until(lambda: not home.backends("datname = 'home'"), "the connection to end")
    assert stored(home) == []
    assert not LOST.search(pooler.log())  # there was no batch


def test_a_database_that_is_stuck_does_not_hold_the_end_up(writer, home):
    """Its answer could take ten minutes; what is lost is told, and not written later."""
    pooler = writer(stats_period=NEVER, server_connect_timeout=600)
    wait_told(pooler, state="connected")
    with home.connect("home") as lock, lock.transaction():
        lock.execute("lock table perfkit.pooler")
        pooler.signal(signal.SIGTERM)
        assert pooler.wait_exit() == 0
        assert int(LOST.search(pooler.log()).group(1)) > 0
        wait_until(
            lambda: not home.backends("datname = 'home' and query like '%log_pooler%'"),
            "the statement to be cancelled",
        )
    assert stored(home) == []


def test_a_database_that_is_away_does_not_hold_the_end_up(writer, home):
    """Refused at once, or silent for ever."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        pooler = writer(
            home.dsn(port=silent.getsockname()[1]), stats_period=NEVER, server_connect_timeout=600
        )
        pooler.signal(signal.SIGTERM)
        assert pooler.wait_exit() == 0
        assert LOST.search(pooler.log()).group(2) == "no answer in time"
    pooler = writer(stats_period=1, server_login_retry=NEVER)
    wait_told(pooler, state="connected", rows_written=more_than(0))
    home.stop()
    wait_told(pooler, state="away", rows_pending=more_than(0))
    pooler.signal(signal.SIGTERM)
    assert pooler.wait_exit() == 0
    count, why = LOST.search(pooler.log()).groups()
    assert int(count) > 0 and why != "no answer in time"
