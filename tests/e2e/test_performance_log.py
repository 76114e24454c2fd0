"""The pooler's numbers in performance_log: perfkit_dsn, perfkit_buffer, SHOW PERFORMANCE_LOG.

A period lasts a second at least, so most of these tests take one or two."""

import contextlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import wire
from home_cluster import KEEPER, SECRETS, STRANGER
from limits import reload
from pooler import pooler_binary
from scraper import OPENMETRICS, TYPES, read, scraped
from test_pooling import busy
from valve import Valve
from waiting import wait_until

PLANTED = tuple(SECRETS.values())


def told(pooler):
    (row,) = pooler.show("performance_log")
    return row


def wait_told(pooler, **expected):
    """Until SHOW PERFORMANCE_LOG says so; a callable is a condition. The row."""

    def fits():
        row = told(pooler)
        for key, value in expected.items():
            if not (value(row[key]) if callable(value) else row[key] == value):
                return None
        return row

    return wait_until(fits, lambda: f"{list(expected)} in {told(pooler)}")


def more_than(count):
    return lambda value: value > count


def stored(home, condition="true", what="*", dbname="home"):
    return home.sql(
        f"select {what} from perfkit.performance_log where source = 'pooler' and {condition}"
        " order by logged_at",
        dbname,
    )


def batches(home):
    """How many batches the one pooler has written, by the database's own count."""
    rows = home.sql("select batch from perfkit.pooler", "home")
    assert len(rows) <= 1
    return rows[0][0] if rows else 0


def expect_each_row_once(home, pooler):
    """What the pooler says is written is there, and no batch twice."""
    row = told(pooler)
    metrics = home.sql(
        "select metric, labels, count(*), count(distinct logged_at) from perfkit.performance_log"
        " where source = 'pooler' group by 1, 2",
        "home",
    )
    # The period of a test may end while we look.
    assert sum(count for _, _, count, _ in metrics) >= row["rows_written"]
    assert all(count == times for _, _, count, times in metrics), metrics
    ((of_each_batch, last),) = home.sql(
        "select count(*) filter (where metric = 'pooler_rows_dropped_per_second'),"
        " (select batch from perfkit.pooler) from perfkit.performance_log where source = 'pooler'",
        "home",
    )
    return of_each_batch, last


def log_lines(pooler, text):
    return [line for line in pooler.log().splitlines() if text in line]


def expect_no_secret(pooler, *more):
    text = pooler.log() + "".join(map(str, pooler.show("config"))) + str(told(pooler))
    for secret in PLANTED:
        assert secret not in text + "".join(map(str, more))


# ---- what arrives


def test_values_and_times(writer, home):
    """A waiting client is one in the table, under the pool's names and the pooler's."""
    ((before,),) = home.sql("select clock_timestamp()", "home")
    pooler = writer(default_pool_size=1)
    busy(pooler, 1)
    waiter = pooler.wire_login()
    waiter.send(wire.query("select 1"))
    waiting = (
        "metric = 'pool_clients_waiting' and labels @> '{\"database\": \"app\", \"user\": \"alice\"}'"
        " and value = 1"
    )
    rows = wait_until(
        lambda: len(found := stored(home, waiting, "logged_at, labels")) >= 2 and found,
        "two periods with a waiting client",
    )
    ((after,),) = home.sql("select clock_timestamp()", "home")
    times = [at for at, _ in rows]
    assert before < times[0] < times[1] < after
    assert all(labels["pooler"].endswith(f":{pooler.port}") for _, labels in rows)
    assert home.sql("select name = %s from perfkit.pooler" % f"'{rows[0][1]['pooler']}'", "home") == [(True,)]
    assert told(pooler)["state"] == "connected"
    assert told(pooler)["last_error"] is None
    expect_no_secret(pooler)


def test_a_pooler_has_the_name_it_is_given(writer, home):
    writer(home.dsn(application_name="west 1"))
    wait_until(lambda: stored(home, "labels ->> 'pooler' = 'west 1'"), "rows under that name")
    assert home.sql("select name from perfkit.pooler", "home") == [("west 1",)]


def test_names_that_the_database_cannot_hold(make_pooler, home):
    """A database in another encoding gets question marks, not an error for ever."""
    home.sql("drop database if exists latin")
    home.sql("create database latin encoding 'LATIN1' template template0")
    home.sql("create extension perfkit", "latin")
    pooler = make_pooler(
        databases={"\u20ac": {"dbname": "app"}},
        perfkit_dsn=home.dsn(dbname="latin"),
        stats_period=1,
    )
    pooler.wire_login("\u20ac").query("select 1")
    wait_until(
        lambda: stored(home, "labels ->> 'database' = '???'", dbname="latin"),
        "rows with question marks",
    )
    assert told(pooler)["rows_dropped"] == 0
    pooler.stop()
    home.sql("drop database latin with (force)")


# ---- away and back


def test_nothing_is_lost_while_the_database_is_away(writer, home):
    """Down for two periods and more: what was measured then is there, at the time of then."""
    pooler = writer()
    wait_told(pooler, state="connected", rows_written=more_than(0))
    home.stop()
    wait_told(pooler, state="away")
    pending = wait_told(pooler, rows_pending=more_than(0))["rows_pending"]
    pending = wait_told(pooler, rows_pending=more_than(pending))["rows_pending"]
    wait_told(pooler, rows_pending=more_than(pending))
    home.start()
    wait_told(pooler, state="connected", rows_pending=0)
    of_each_batch, last = expect_each_row_once(home, pooler)
    assert of_each_batch == last >= 3
    assert told(pooler)["rows_dropped"] == 0
    ((early,),) = home.sql(
        "select count(distinct logged_at) from perfkit.performance_log"
        " where source = 'pooler' and logged_at < pg_postmaster_start_time()",
        "home",
    )
    assert early >= 3
    assert len(log_lines(pooler, "perfkit_dsn: away")) == 1
    assert len(log_lines(pooler, "perfkit_dsn: connected")) == 2


def test_the_oldest_give_way(writer, home):
    """Beyond perfkit_buffer rows are dropped, counted, and told of when the database is back."""
    pooler = writer()
    for database in ("app", "other", "bench"):
        for user in ("alice", "bob"):
            pooler.connect(database, user).execute("select 1")  # rows for each of these pools
    wait_told(pooler, rows_written=more_than(0))
    home.stop()
    one = wait_told(pooler, state="away", bytes_pending=more_than(0))["bytes_pending"]
    limit = max(4096, one * 3 // 2)
    pooler.command(f"set perfkit_buffer = {limit}")
    dropped = wait_told(pooler, rows_dropped=more_than(0))["rows_dropped"]
    assert told(pooler)["bytes_pending"] <= limit
    home.start()
    row = wait_told(pooler, state="connected", rows_pending=0)
    assert row["rows_dropped"] >= dropped
    wait_until(
        lambda: stored(home, "metric = 'pooler_rows_dropped_per_second' and value > 0"),
        "the drops to be told",
    )
    of_each_batch, last = expect_each_row_once(home, pooler)
    assert of_each_batch < last


def test_a_lost_answer_stores_nothing_twice(writer, home):
    """The rows are committed and the pooler does not hear of it: it sends them again."""
    valve = Valve(home)
    with contextlib.closing(valve):
        pooler = writer(home.dsn(port=valve.port), server_connect_timeout=1)
        wait_told(pooler, rows_written=more_than(0))
        valve.shut()
        valve.holds.wait()
        wait_told(pooler, state="away", last_error="no answer in time")
        valve.open()
        wait_told(pooler, state="connected", rows_pending=0)
        of_each_batch, last = expect_each_row_once(home, pooler)
        assert of_each_batch == last
        assert told(pooler)["rows_dropped"] == 0


def test_a_database_that_is_stuck(writer, home):
    """A lock holds the batch up: its statement ends by server_connect_timeout, and is sent again."""
    pooler = writer(server_connect_timeout=1)
    wait_told(pooler, rows_written=more_than(0))
    with home.connect("home") as lock, lock.transaction():
        lock.execute("lock table perfkit.pooler")
        wait_told(pooler, state="away", last_error="canceling statement due to statement timeout")
    wait_told(pooler, state="connected", rows_pending=0)
    of_each_batch, last = expect_each_row_once(home, pooler)
    assert of_each_batch == last


# ---- what is wrong, and what becomes of it


def test_wrong_password(writer, home):
    """It is told without the password, tried again, and right after a RELOAD."""
    wrong = "planted-wrong-guess"
    pooler = writer(home.dsn(password=wrong), server_login_retry=1)
    row = wait_told(pooler, state="away", rows_pending=more_than(0))
    assert "password authentication failed" in row["last_error"]
    assert wrong not in str(row) + pooler.log()
    assert len(log_lines(pooler, "perfkit_dsn: away")) == 1
    reload(pooler, perfkit_dsn=home.dsn())
    wait_told(pooler, state="connected", rows_pending=0)
    expect_no_secret(pooler)


# Each: the perfkit_dsn, while something is wrong; mends it; cleans up.


def without_extension(home):
    yield home.dsn(dbname="bare")
    yield home.sql("create extension perfkit", "bare")


def without_privilege(home):
    yield home.dsn(STRANGER)
    yield home.sql(f"grant pg_monitor to {STRANGER}")
    home.sql(f"revoke pg_monitor from {STRANGER}")


def read_only(home):
    home.sql("alter database home set default_transaction_read_only = on")
    yield home.dsn()
    yield home.sql("alter database home reset default_transaction_read_only")


def without_room(home):
    home.sql(f"alter role {KEEPER} connection limit 0")
    yield home.dsn()
    yield home.sql(f"alter role {KEEPER} connection limit -1")


@pytest.mark.parametrize(
    "fault, message",
    [
        (without_extension, 'schema "perfkit" does not exist'),
        (without_privilege, "permission denied for function log_pooler"),
        (read_only, "cannot execute INSERT in a read-only transaction"),
        (without_room, "too many connections for role"),
    ],
)
def test_until_it_is_mended(writer, home, fault, message):
    steps = fault(home)
    pooler = writer(next(steps))
    row = wait_told(pooler, state="away", last_error=lambda text: text and message in text)
    assert row["rows_written"] == 0
    next(steps)
    wait_told(pooler, state="connected", rows_written=more_than(0))
    assert told(pooler)["rows_dropped"] == 0
    assert len(log_lines(pooler, "perfkit_dsn: away")) == 1
    assert next(steps, None) is None


def test_the_extension_is_dropped_and_made_again(writer, home):
    pooler = writer()
    wait_told(pooler, rows_written=more_than(0))
    home.sql("drop extension perfkit", "home")
    wait_told(pooler, state="away", last_error=lambda text: text and "does not exist" in text)
    home.sql("create extension perfkit", "home")
    wait_told(pooler, state="connected", rows_pending=0)
    assert batches(home) > 1 and told(pooler)["rows_dropped"] == 0


def test_hosts_are_tried_in_turn(writer, home):
    """By address and by name; the first is not there."""
    pooler = writer(home.dsn(host=f"127.0.0.9,{home.host}"))
    wait_told(pooler, state="connected", rows_written=more_than(0))
    reload(pooler, perfkit_dsn=home.dsn(host="nowhere.invalid,localhost"))
    written = told(pooler)["rows_written"]
    wait_told(pooler, state="connected", rows_written=more_than(written))


# ---- settings


def test_another_database_by_reload(writer, home):
    """What waits goes to the new one; without any, it is over."""
    home.sql("create extension perfkit", "bare")
    pooler = writer()
    wait_told(pooler, rows_written=more_than(0))
    reload(pooler, perfkit_dsn=home.dsn(dbname="bare"))
    wait_until(lambda: stored(home, dbname="bare"), "rows in the other database")
    reload(pooler, perfkit_dsn="")
    row = wait_told(pooler, state="off", rows_pending=0)
    wait_until(lambda: not home.backends("datname in ('home', 'bare')"), "the connection to end")
    assert row["last_error"] is None


def test_it_is_off_by_default(make_pooler):
    pooler = make_pooler(stats_period=1)
    row = told(pooler)
    assert (row["state"], row["rows_written"], row["rows_pending"]) == ("off", 0, 0)
    (setting,) = [r for r in pooler.show("config") if r["key"] == "perfkit_dsn"]
    assert setting["value"] == "" and setting["changeable"] == "yes"


def test_a_bad_one_is_refused_without_being_told(make_pooler):
    bad = "host=127.0.0.1 password=planted two"
    pooler = make_pooler()
    with pytest.raises(psycopg.Error) as error, pooler.console() as console:
        console.execute(f"set perfkit_dsn = '{bad}'")
    assert "perfkit_dsn is no connection string" in str(error.value) + str(error.value.diag.message_detail)
    pooler.settings["perfkit_dsn"] = bad
    pooler.write()
    with pytest.raises(psycopg.Error) as error, pooler.console() as console:
        console.execute("reload")
    assert "perfkit_dsn is no connection string" in str(error.value)
    again = subprocess.run(
        [pooler_binary(), pooler.ini], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "perfkit_dsn is no connection string" in again.stderr
    assert "planted" not in pooler.log() + again.stderr + str(error.value)


# ---- /metrics/database


@pytest.mark.parametrize("openmetrics", [False, True])
def test_metrics_of_the_database(writer, home, openmetrics):
    """What perfkit.metrics() says, in the format that is asked for."""
    scraper = scraped(writer())
    accept = {"Accept": OPENMETRICS} if openmetrics else {}
    status, headers, text = scraper.ask("/metrics/database", **accept)
    assert (status, headers["Content-Type"]) == (200, TYPES[openmetrics])
    families = read(text, openmetrics)
    assert families["perfkit_log_pending"].kind == "gauge"
    assert "Retry-After" not in headers


def test_one_question_for_all_who_ask(writer, home):
    """While the answer is being made others wait for the same one."""
    pooler = writer()
    scraper = scraped(pooler)
    asking = "state = 'active' and query like 'SELECT perfkit.metrics%'"
    with ThreadPoolExecutor(6) as threads:
        with home.connect("home") as lock, lock.transaction():
            lock.execute("lock table perfkit.alert")
            answers = [threads.submit(scraper.ask, "/metrics/database") for _ in range(6)]
            wait_until(lambda: home.backends(asking), "the question")
            assert len(home.backends(asking)) == 1
            assert pooler.connect().execute("select 1").fetchone() == (1,)
        got = [answer.result() for answer in answers]
    assert [status for status, _, _ in got] == [200] * 6
    assert len({text for _, _, text in got}) == 1


def test_no_metrics_from_a_database_that_is_stuck_or_away(writer, home):
    pooler = writer(server_connect_timeout=1, server_login_retry=30)
    scraper = scraped(pooler)
    with home.connect("home") as lock, lock.transaction():
        lock.execute("lock table perfkit.alert")
        too_long = (503, "canceling statement due to statement timeout\n")
        wait_until(lambda: scraper.ask("/metrics/database")[::2] == too_long, "the refusal")
    wait_until(lambda: scraper.ask("/metrics/database")[0] == 200, "metrics again")
    home.stop()
    wait_told(pooler, state="away")
    status, headers, text = wait_until(
        lambda: (answer := scraper.ask("/metrics/database"))[0] == 503 and answer, "a refusal"
    )
    assert int(headers["Retry-After"]) >= 1
    assert text.count("\n") == 1 and text.endswith("\n") and len(text) > 1
    expect_no_secret(pooler, text)


def test_no_metrics_without_privilege(writer, home):
    """The numbers may be written and the others not be read: one says so, the other works."""
    home.sql(f"grant execute on function perfkit.log_pooler to {STRANGER}", "home")
    pooler = writer(home.dsn(STRANGER))
    scraper = scraped(pooler)
    status, _, text = scraper.ask("/metrics/database")
    assert (status, text) == (503, "permission denied for function metrics\n")
    wait_told(pooler, state="connected", rows_written=more_than(0))
    home.sql(f"revoke execute on function perfkit.log_pooler from {STRANGER}", "home")


# ---- through this very pooler


def test_through_the_pooler_itself(make_pooler, home, threads):
    """It is a client like any other, and does not keep a pooler alive that is to end."""
    pooler = make_pooler(
        databases={"own": {"port": home.port, "dbname": "home", "user": "postgres"}},
        threads=threads,
        stats_period=1,
    )
    own = home.dsn("alice", "own", port=pooler.port)
    reload(pooler, perfkit_dsn=own)
    wait_told(pooler, state="connected", rows_written=more_than(0))
    assert stored(home)
    pooler.command("shutdown wait_for_clients")
    assert pooler.wait_exit() == 0
