"""Pools and databases of "*" that nobody uses are forgotten (pool_idle_timeout, autodb_idle_timeout)."""

import itertools
import threading

import psycopg
import pytest

from limits import by_name, reload
from waiting import wait_until

# A pool goes when its last server connection has gone.
SOON = {"server_idle_timeout": 0.1}
ANY = {"*": {"dbname": "app"}}


def names(pooler):
    return {row["name"] for row in pooler.show("databases")}


def pools(pooler):
    return {(row["database"], row["user"]) for row in pooler.show("pools")}


def transactions(pooler, database):
    return {r["database"]: int(r["xact_count"]) for r in pooler.show("stats_totals")}.get(database)


def test_autodb(make_pooler, threads):
    """It is there as soon as somebody wants it, and goes with its statistics; others stay."""
    pooler = make_pooler(threads=threads, autodb_idle_timeout=0.2, databases=ANY, **SOON)
    pooler.connect("app").execute("select 1")
    keeper = pooler.connect("kept")
    keeper.execute("select 1")
    with pooler.connect("passing") as conn:
        conn.execute("select 1")
        row = by_name(pooler, "databases", "passing")
        assert (row["database"], row["current_client_connections"]) == ("app", 1)
    wait_until(lambda: "passing" not in names(pooler), "the database to be forgotten")
    wait_until(lambda: "forgotten" in pooler.log(), "a word about it")
    assert not {p for p in pools(pooler) if p[0] == "passing"}
    wait_until(lambda: transactions(pooler, "passing") is None, "its statistics to go with it")
    # A client without a server keeps it.
    wait_until(lambda: not pooler.server_pids(), "no server connection to be left")
    assert "kept" in names(pooler) and ("app", "alice") in pools(pooler)
    assert keeper.execute("select 2").fetchone() == (2,)
    # It can come back, and starts anew.
    with pooler.connect("passing") as conn:
        conn.execute("select 1")
        wait_until(lambda: transactions(pooler, "passing") == 1, "its first transaction")


def test_autodb_stays_without_a_timeout(make_pooler):
    pooler = make_pooler(autodb_idle_timeout=0, databases=ANY, **SOON)
    pooler.connect("passing").close()
    wait_until(lambda: not pooler.server_pids(), "no server connection to be left")
    pooler.settings["autodb_idle_timeout"] = 0.1
    assert "passing" in names(pooler)
    reload(pooler)
    wait_until(lambda: "passing" not in names(pooler), "the database to be forgotten")


def test_autodb_of_a_forced_user(make_pooler):
    """Nothing is kept for a database that has only been asked for."""
    line = {"dbname": "app", "user": "carol", "min_pool_size": 2}
    pooler = make_pooler(autodb_idle_timeout=0.1, databases={"*": line}, **SOON)
    conn = pooler.connect("passing")
    wait_until(lambda: len(pooler.server_pids("app", "carol")) == 2, "two servers")
    conn.close()
    wait_until(lambda: "passing" not in names(pooler), "the database to be forgotten")
    wait_until(lambda: not pooler.server_pids("app", "carol"), "its servers to end")


def test_empty_pool(make_pooler, threads):
    """What it has counted is still counted."""
    pooler = make_pooler(threads=threads, pool_idle_timeout=0.1, **SOON)
    for user in ("alice", "bob"):
        with pooler.connect(user=user) as conn:
            for _ in range(5):
                conn.execute("select 1")
    wait_until(lambda: not pools(pooler) & {("app", "alice"), ("app", "bob")}, "empty pools to go")
    assert transactions(pooler, "app") == 10
    with pooler.connect() as conn:
        conn.execute("select 1")
        assert transactions(pooler, "app") == 11
    wait_until(
        lambda: by_name(pooler, "databases", "app")["current_client_connections"] == 0,
        "its last client to be gone",
    )


def test_kept_pools_stay(make_pooler):
    """One that min_pool_size fills without clients, and one that is paused but has a client."""
    pooler = make_pooler(
        pool_idle_timeout=0.1,
        databases={"fixed": {"dbname": "app", "user": "carol", "min_pool_size": 1}},
        **SOON,
    )
    pooler.connect("other").close()
    client = pooler.connect("app")
    pooler.command("pause app")
    wait_until(lambda: ("other", "alice") not in pools(pooler), "the empty pool to go")
    assert pools(pooler) >= {("fixed", "carol"), ("app", "alice")}
    pooler.command("resume app")
    assert client.execute("select 1").fetchone() == (1,)


def test_database_that_is_not_configured_any_more(make_pooler):
    pooler = make_pooler(databases={"leaving": {"dbname": "app"}}, **SOON)
    client = pooler.connect("leaving")
    client.execute("select 1")
    del pooler.databases["leaving"]
    reload(pooler)
    assert ("leaving", "alice") in pools(pooler)
    client.close()
    pooler.settings["pool_idle_timeout"] = 0.1  # looks more often
    reload(pooler)
    wait_until(lambda: ("leaving", "alice") not in pools(pooler), "its pool to go")
    wait_until(lambda: transactions(pooler, "leaving") is None, "its statistics to go with it")


def test_replication_pool(make_pooler, cluster):
    """The pool beside goes first, and leaves the ordinary one whole."""
    cluster.sql("alter role carol replication")
    pooler = make_pooler(pool_idle_timeout=0.1, **SOON)
    for _ in range(2):
        conn = pooler.connect(user="carol", replication="database")
        conn.close()
        wait_until(lambda: ("app", "carol") not in pools(pooler), "both to go")
        with pooler.connect(user="carol") as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    cluster.sql("alter role carol noreplication")


def test_forgotten_under_the_feet_of_clients(make_pooler):
    """Pools come and go at every moment while clients log in, also by a limit that binds several."""
    pooler = make_pooler(
        threads=4,
        autodb_idle_timeout=0.02,
        pool_idle_timeout=0.02,
        server_idle_timeout=0.02,
        max_user_connections=4,
        databases=ANY,
    )
    failures = []
    numbers = itertools.count()

    def client():
        try:
            for _ in range(40):
                with pooler_connection(pooler, f"d{next(numbers) % 5}") as conn:
                    assert conn.execute("select 7").fetchone() == (7,)
        except Exception as error:  # told by the main thread
            failures.append(error)

    crowd = [threading.Thread(target=client) for _ in range(6)]
    for thread in crowd:
        thread.start()
    while any(thread.is_alive() for thread in crowd):
        pooler.show("stats")
        pooler.show("databases")
        pooler.show("pools")
        reload(pooler)
    for thread in crowd:
        thread.join()
    assert not failures
    wait_until(lambda: not [d for d in names(pooler) if d.startswith("d")], "all to be forgotten")
    assert "forgotten" in pooler.log()


def pooler_connection(pooler, database):
    """Not kept by the pooler: threads share it."""
    return psycopg.connect(
        host=pooler.host,
        port=pooler.port,
        dbname=database,
        user="alice",
        autocommit=True,
        sslmode="disable",
        gssencmode="disable",
    )


@pytest.mark.parametrize("method", ("user", "database"))
def test_many_names_leave_nothing(make_pooler, method):
    """Limits, quotas and pools of names that came once are gone with them."""
    pooler = make_pooler(
        autodb_idle_timeout=0.05,
        pool_idle_timeout=0.05,
        databases=ANY,
        userlist={f"nobody{i}": "secret" for i in range(20)},
        **SOON,
    )
    for i in range(20):
        if method == "user":
            with pytest.raises(psycopg.OperationalError):
                pooler.connect("app", f"nobody{i}")
        else:
            pooler.connect(f"d{i}").close()
    wait_until(lambda: not pools(pooler), "all pools to go")
    assert names(pooler) == {"app", "other", "bench", "*", "pgbouncer"}
