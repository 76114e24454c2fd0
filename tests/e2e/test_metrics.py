"""The pooler's numbers: what /metrics, SHOW ERRORS and SHOW LATENCIES tell is what was done."""

import contextlib
import json
import threading

import psycopg
import pytest

import wire
from limits import reload
from scraper import OPENMETRICS, read, scraped
from test_pooling import busy
from waiting import wait_until

APP = {"database": "app", "user": "alice"}
ERRORS = {
    "select 1/0": "22",
    "select nothing_here": "42",
    "select '1'::int4 + 'x'": "22",
    "do $$ begin raise exception 'mine' using errcode = 'ZZ123'; end $$": "other",
    "do $$ begin raise exception 'plain'; end $$": "P0",
}


def same(scraper, name, wanted, **labels):
    """Counters that the loops are done with: the client hears of the end a moment before."""
    labels = labels or APP
    wait_until(
        lambda: scraper.value(name, **labels) == wanted,
        lambda: f"{name} {labels} = {wanted}, not {scraper.values(name)}",
    )


def test_counts(make_pooler, threads):
    """Queries, transactions, logins, bytes and assignments, as SHOW STATS has them."""
    pooler = make_pooler(threads=threads)
    scraper = scraped(pooler)
    clients = [pooler.connect() for _ in range(3)]
    for client in clients:
        for _ in range(5):
            client.execute("select 1")
        with client.transaction():
            client.execute("select 1")
    same(scraper, "queries_total", 3 * 8)
    same(scraper, "transactions_total", 3 * 6)
    same(scraper, "server_assignments_total", 3 * 6)
    same(scraper, "logins_total", 3)
    same(scraper, "clients_active", 3)
    (stats,) = [row for row in pooler.show("stats") if row["database"] == "app"]
    families = scraper.families()
    key = frozenset(APP.items())
    for name, ours in (("received", "received_bytes"), ("sent", "sent_bytes")):
        name_there = f"perfkit_pooler_{ours}_total"
        assert families[name_there].samples[name_there, key] == stats[f"total_{name}"]
    # The first client waited for the pool's first server, too.
    for name, count in (("query", 24), ("transaction", 18), ("wait", 19)):
        histogram = families[f"perfkit_pooler_{name}_seconds"].samples
        assert histogram[f"perfkit_pooler_{name}_seconds_count", key] == count
        key_of_time = {"transaction": "xact"}.get(name, name)
        assert histogram[f"perfkit_pooler_{name}_seconds_sum", key] == pytest.approx(
            float(stats[f"total_{key_of_time}_time"]) / 1e6
        )


def test_servers_and_waiting_clients(make_pooler):
    pooler = make_pooler(default_pool_size=2)
    scraper = scraped(pooler)
    clients = busy(pooler, 2)
    late = pooler.wire_login()
    late.send(wire.query("select 1"))
    same(scraper, "clients_waiting", 1)
    assert scraper.value("clients_active", **APP) == 2
    states = scraper.values("servers", **APP)
    assert states.pop(("active",)) == 2 and set(states.values()) == {0}
    wait_until(lambda: scraper.value("oldest_wait_seconds", **APP) > 0.05, "a wait of 50 ms")
    clients[0].execute("commit")
    late.read_until("Z")
    same(scraper, "clients_waiting", 0)
    same(scraper, "server_assignments_total", 3)
    waits = scraper.values("wait_seconds_bucket", **APP)
    assert waits[("0.033554432",)] < waits[("+Inf",)] == 4
    assert scraper.value("wait_seconds_sum", **APP) >= 0.05


@contextlib.contextmanager
def traffic(pooler):
    """Queries of 0.2 s, one behind the other: each stats_period of a second has some."""
    client = pooler.connect()
    over = threading.Event()

    def ask():
        while not over.is_set():
            client.execute("select pg_sleep(0.2)")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_percentiles_of_the_last_period(make_pooler):
    """They are there while there is something to measure, and no longer."""
    pooler = make_pooler(stats_period=1)
    scraper = scraped(pooler)
    names = [f"{what}_p{p}_seconds" for what in ("query", "transaction") for p in (50, 95, 99)]

    def told():
        families = scraper.families()
        found = [families[f"perfkit_pooler_{name}"].samples for name in names]
        return [samples[next(iter(samples))] for samples in found if samples]

    with traffic(pooler):
        values = wait_until(lambda: len(v := told()) == len(names) and v, "all percentiles")
    # A bucket's value is at most 4.8 % off.
    assert min(values) >= 0.19 and values[:3] == sorted(values[:3]), values
    wait_until(lambda: told() == [], "a period without queries")


def test_show_latencies(make_pooler):
    pooler = make_pooler(stats_period=1)

    def shown():
        rows = [row for row in pooler.show("latencies") if row["user"] == "alice"]
        return rows and None not in rows[0].values() and rows[0]

    with traffic(pooler):
        row = wait_until(shown, "a row with percentiles")
    assert list(row) == [
        "database",
        "user",
        *(f"{what}_p{p}" for what in ("wait", "query", "xact") for p in (50, 95, 99)),
    ]
    assert row["query_p50"] >= 190000 and row["xact_p99"] >= 190000


def test_errors_by_class(make_pooler):
    """Of the server and of the pooler, each once, where the client was sent it."""
    pooler = make_pooler(max_statement_length=200)
    scraper = scraped(pooler)
    client = pooler.connect()
    wanted = {}
    for text, code in ERRORS.items():
        with pytest.raises(psycopg.Error):
            client.execute(text)
        wanted[code] = wanted.get(code, 0) + 1
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        client.execute("select '" + "x" * 300 + "'")
    wanted["54"] = 1
    for code, count in wanted.items():
        same(scraper, "errors_total", count, **APP, **{"class": code})
    assert {key[0] for key in scraper.values("errors_total", **APP)} == set(wanted)
    rows = pooler.show("errors")
    mine = {row["class"]: row["count"] for row in rows if row["user"] == "alice"}
    assert mine == wanted
    assert {row["name"] for row in rows if row["class"] == "22"} == {"data exception"}


def test_a_very_long_error_has_its_class(make_pooler):
    scraper = scraped(pooler := make_pooler())
    with pytest.raises(psycopg.errors.RaiseException):
        pooler.connect().execute(
            "do $$ begin raise exception '%', repeat('long ', 20000); end $$"
        )
    same(scraper, "errors_total", 1, **APP, **{"class": "P0"})


@pytest.fixture
def asks_passwords(make_pooler, base_folder, cluster):
    """A pooler that asks everybody but the console's users on the unix socket."""
    hba = base_folder / "passwords.hba"
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    cluster.account.take(hba)

    def make(**settings):
        return make_pooler(auth_type="hba", auth_hba_file=hba, **settings)

    return make


def test_failed_logins(asks_passwords):
    pooler = asks_passwords(client_login_timeout=3)
    scraper = scraped(pooler)
    for more in ({"user": "nobody_here"}, {"dbname": "no_such"}, {"password": "wrong"}):
        with pytest.raises(psycopg.OperationalError):
            pooler.connect(**{"password": "alice-secret", **more})
    wait_until(lambda: scraper.value("failed_logins_total") == 3, "three failed logins")
    silent = pooler.wire()
    silent.send(wire.startup({"user": "alice", "database": "app"}))
    silent.read_all()
    found = scraper.values("timeouts_total", setting="client_login_timeout")
    assert found == {(): 1}
    classes = {k: v for k, v in scraper.values("errors_total").items() if len(k) == 1}
    assert sum(classes.values()) == 4 and ("28",) in classes
    rows = [row for row in pooler.show("errors") if row["database"] is None]
    assert {(row["class"],): row["count"] for row in rows} == classes


def timed_out(pooler, setting):
    client = pooler.wire_login()
    if setting == "idle_transaction_timeout":
        client.query("begin")
    elif setting in ("query_timeout", "transaction_timeout"):
        client.send(wire.query("select pg_sleep(60)"))
    elif setting == "query_wait_timeout":
        busy(pooler, 1)
        client.send(wire.query("select 1"))
    client.read_until("E")


@pytest.mark.parametrize(
    "setting",
    [
        "client_idle_timeout",
        "idle_transaction_timeout",
        "query_timeout",
        "query_wait_timeout",
        "transaction_timeout",
    ],
)
def test_timeouts_by_setting(make_pooler, setting):
    pooler = make_pooler(default_pool_size=1)
    pooler.connect().close()  # the pool's first login may take longer than that
    scraper = scraped(pooler)
    reload(pooler, **{setting: 0.2})
    timed_out(pooler, setting)
    same(scraper, "timeouts_total", 1, **APP, setting=setting)
    (stats,) = [row for row in pooler.show("stats") if row["database"] == "app"]
    assert stats[f"total_{setting}_count"] == 1


def test_pins(make_pooler):
    pooler = make_pooler()
    scraper = scraped(pooler)
    client = pooler.connect()
    client.execute("listen something")
    same(scraper, "pinned_clients", 1)
    same(scraper, "pins_total", 1, **APP, reason="listen")
    client.close()
    same(scraper, "pinned_clients", 0)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_format(make_pooler, openmetrics):
    """Of names that want to break out of their quotes, in a text that a strict reader takes."""
    names = ['quo"te', "back\\slash", "ünder"]
    pooler = make_pooler(userlist={name: "x" for name in names})
    scraper = scraped(pooler)
    for name in names:
        with pytest.raises(psycopg.OperationalError):
            pooler.connect(user=name).execute("select 1")
    pooler.connect().execute("select 1")
    families = scraper.families(openmetrics)
    total = "" if openmetrics else "_total"
    users = {
        dict(labels).get("user")
        for _, labels in families[f"perfkit_pooler_logins{total}"].samples
    }
    assert users >= set(names) | {"alice"}
    if openmetrics:
        assert families["perfkit_pooler_query_seconds"].unit == "seconds"
        assert families["perfkit_pooler_sent_bytes"].unit == "bytes"


@pytest.mark.parametrize("openmetrics", [False, True])
def test_format_as_prometheus_reads_it(make_pooler, openmetrics):
    kind = "prometheus_client.openmetrics.parser" if openmetrics else "prometheus_client.parser"
    parser = pytest.importorskip(kind)
    pooler = make_pooler()
    scraper = scraped(pooler)
    pooler.connect().execute("select 1")
    _, _, text = scraper.ask("/metrics", Accept=OPENMETRICS if openmetrics else "*/*")
    theirs = {family.name for family in parser.text_string_to_metric_families(text)}
    ours = {name if openmetrics else name.removesuffix("_total") for name in read(text, openmetrics)}
    assert theirs == ours


@pytest.mark.parametrize(
    "accept, openmetrics",
    [
        (None, False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain, application/openmetrics-text;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
    ],
)
def test_negotiation(make_pooler, accept, openmetrics):
    scraper = scraped(make_pooler())
    _, headers, text = scraper.ask("/metrics", **({"Accept": accept} if accept else {}))
    assert text.endswith("# EOF\n") == openmetrics
    assert headers["Content-Type"].startswith(
        "application/openmetrics-text" if openmetrics else "text/plain"
    )


def test_pools_over_the_limit_are_left_out(make_pooler):
    """The oldest stay, and how many are not told is."""
    pooler = make_pooler(prometheus_max_pools=2)
    scraper = scraped(pooler)
    for user in ("alice", "bob", "carol"):
        pooler.connect(user=user)
    pools = {key[1] for key in scraper.values("clients_active")}
    assert pools == {"alice", "bob"}
    assert scraper.value("pools") == 2 and scraper.value("pools_left_out") == 1
    reload(pooler, prometheus_max_pools=500)
    assert len(scraper.values("clients_active")) == 3


def test_secrets_are_not_told(asks_passwords):
    pooler = asks_passwords()
    scraper = scraped(pooler)
    pooler.connect(password="alice-secret").execute("select 'needle-in-a-query'")
    told = "".join(
        scraper.ask(path)[2] for path in ("/metrics", "/health", "/ready", "/metrics/database", "/")
    )
    assert "alice" in told
    for secret in (*pooler.userlist.values(), "needle"):
        assert secret not in told


def test_many_ask_while_queries_run(make_pooler, threads):
    """Each hears at least what had been done when it asked."""
    pooler = make_pooler(threads=threads)
    scraper = scraped(pooler)
    client = pooler.connect()
    client.execute("select 1")
    wrong = []

    def ask():
        for _ in range(10):
            said = scraper.value("queries_total", **APP)
            if said is None or said < 1:
                wrong.append(said)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for n in range(1, 21):
        client.execute("select 1")
    for asker in askers:
        asker.join()
    assert not wrong
    same(scraper, "queries_total", 21)


def test_health_is_json_for_everybody(make_pooler):
    scraper = scraped(make_pooler())
    status, headers, text = scraper.ask("/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    said = json.loads(text)
    assert (said["status"], said["reasons"]) == ("ok", [])
