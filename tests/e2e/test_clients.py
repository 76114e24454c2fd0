"""Real clients do their usual work through transaction pooling, unchanged: tests/clients.

Fewer server connections than clients, several threads. PERFKIT_CLIENTS=all runs those of make
check-long too; a client that is not installed is skipped, and the reason says so."""

import contextlib
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from machine import free_port
from scraper import scraped
from waiting import PATIENCE, wait_until

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
LONG = pytest.mark.skipif(os.environ.get("PERFKIT_CLIENTS") != "all", reason="in make check-long")
JDBC = Path("/usr/share/java/postgresql.jar")
GOPATH = Path("/usr/share/gocode")
# Ours where npm has put it, Debian's in a place that node knows by itself.
NODE_PATH = ":".join(filter(None, [os.environ.get("NODE_PATH"), "/usr/share/nodejs"]))


def installed(*programs):
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def pooler(make_pooler):
    """Four servers for a dozen clients or two, on four threads; as in docs/perfkit-pooler.ini.sample,
    pgJDBC's extra_float_digits is let go."""
    return make_pooler(
        threads=4, default_pool_size=4, ignore_startup_parameters="extra_float_digits"
    )


def environment(pooler, **more):
    """What a client finds its database by."""
    return {
        "PATH": f"{pooler.cluster.bindir}:{os.environ['PATH']}",
        "HOME": str(pooler.folder),
        "LC_ALL": "C.UTF-8",
        "PGHOST": pooler.host,
        "PGPORT": str(pooler.port),
        "PGUSER": "alice",
        "PGDATABASE": "bench",
        **more,
    }


def run(pooler, *command, seconds=60, **more):
    """Run a client to its end, as an ordinary user; its output."""
    # What it needs must be where that user can read it.
    done = subprocess.run(
        [str(part) for part in command], env=environment(pooler, **more), cwd=pooler.folder,
        capture_output=True, text=True, check=False, timeout=seconds * PATIENCE,
        stdin=subprocess.DEVNULL, **pooler.account.popen_arguments(),
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def program(pooler, name):
    """A copy of a program of tests/clients in the pooler's folder."""
    copy = pooler.folder / name
    shutil.copy(CLIENTS / name, copy)
    pooler.account.take(copy)
    return copy


def nothing_is_left(pooler):
    """No pin, nobody who waits; servers are shared and well."""
    wait_until(lambda: pooler.pool("bench")["cl_active"] == 0, "the clients to be gone")
    assert pooler.show("pins") == []
    assert 1 <= len(pooler.server_pids("bench")) <= 4
    assert all(row["value"] in ("0", "yes", "no") for row in pooler.show("state"))


# ---- in every make check


def test_psql(pooler):
    said = run(pooler, "psql", "-X", "-f", program(pooler, "usual.sql"))
    assert "from a block" in said and "duplicate key" in said
    nothing_is_left(pooler)


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench(pooler, protocol):
    run(pooler, "pgbench", "-i", "-q", "-s", "1")
    said = run(pooler, "pgbench", "-n", "-M", protocol, "-c", "10", "-j", "10", "-t", "20")
    assert "200/200" in said and "number of failed transactions: 0" in said
    nothing_is_left(pooler)


def test_psycopg3(pooler):
    run(pooler, sys.executable, program(pooler, "psycopg3.py"))
    nothing_is_left(pooler)


def test_libpq_pipelines(pooler):
    installed("cc")
    built = pooler.folder / "pipeline"
    paths = [
        subprocess.run([pooler.cluster.bindir / "pg_config", f"--{what}dir"], check=True,
                       capture_output=True, text=True).stdout.strip()
        for what in ("include", "lib")
    ]  # fmt: skip
    subprocess.run(
        ["cc", "-O1", f"-I{paths[0]}", CLIENTS / "pipeline.c", "-o", built, f"-L{paths[1]}", "-lpq"],
        check=True,
    )
    run(pooler, built)
    nothing_is_left(pooler)


def test_node_postgres(pooler):
    installed("node")
    known = subprocess.run(
        ["node", "-e", "require('pg')"], env={**os.environ, "NODE_PATH": NODE_PATH},
        capture_output=True, check=False, cwd="/",
    )  # fmt: skip
    if known.returncode != 0:
        pytest.skip("not installed: node-postgres")
    run(pooler, "node", program(pooler, "node_pg.js"), NODE_PATH=NODE_PATH)
    nothing_is_left(pooler)


# ---- in make check-long


@LONG
def test_asyncpg(pooler):
    pytest.importorskip("asyncpg")
    run(pooler, sys.executable, program(pooler, "asyncpg_client.py"))
    nothing_is_left(pooler)


@LONG
def test_jdbc(pooler):
    installed("java")
    if not JDBC.exists():
        pytest.skip("not installed: libpostgresql-jdbc-java")
    run(pooler, "java", "-cp", JDBC, program(pooler, "Jdbc.java"), seconds=120)
    nothing_is_left(pooler)


@LONG
def test_pgx(pooler):
    installed("go")
    if not (GOPATH / "src/github.com/jackc/pgx/v4").exists():
        pytest.skip("not installed: golang-github-jackc-pgx-v4-dev")
    run(
        pooler, "go", "run", program(pooler, "pgx.go"), seconds=300, GO111MODULE="off",
        GOPATH=str(GOPATH), GOCACHE=str(pooler.folder / "go-cache"), GOFLAGS="-p=2",
    )  # fmt: skip
    nothing_is_left(pooler)


@LONG
def test_pg_activity(pooler):
    """It looks at a server through the pooler, in a terminal, until it is told to stop."""
    installed("pg_activity")
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    os.set_blocking(master, False)
    process = subprocess.Popen(
        ["pg_activity", f"--host={pooler.host}", f"--port={pooler.port}", "--username=alice",
         "--dbname=bench", "--no-db-size", "--no-tempfiles", "--refresh=0.5"],
        env=environment(pooler, TERM="xterm"), cwd=pooler.folder, stdin=terminal, stdout=terminal,
        stderr=terminal, start_new_session=True, **pooler.account.popen_arguments(),
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()

    def shows(text):
        with contextlib.suppress(BlockingIOError, OSError):
            shown.extend(os.read(master, 65536))
        return text in shown

    try:
        for text in (b"RUNNING QUERIES", b"PostgreSQL 1"):
            wait_until(lambda: shows(text), lambda: shown[-3000:].decode(errors="replace"))
        # Through the pooler it comes again and again.
        queries = total_queries(pooler)
        wait_until(lambda: [shows(b""), total_queries(pooler)][1] > queries + 5, "more queries")
        os.write(master, b"q")
        wait_until(lambda: [shows(b""), process.poll()][1] is not None, "its end")
        assert process.returncode == 0, shown[-3000:].decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)


def total_queries(pooler):
    (row,) = [row for row in pooler.show("stats_totals") if row["database"] == "bench"]
    return row["query_count"]


# ---- Prometheus, of the HTTP port

PROMETHEUS = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: pooler
    static_configs: [{targets: ["127.0.0.1:%(port)d"]}]
  - job_name: database
    metrics_path: /metrics/database
    static_configs: [{targets: ["127.0.0.1:%(port)d"]}]
"""


def prometheus_program(name):
    """Of the system, or unpacked by tools/setup.sh."""
    found = shutil.which(name) or shutil.which(name, path=os.environ.get("PERFKIT_PROMETHEUS", "/"))
    if found is None:
        pytest.skip(f"not installed: {name}")
    return found


@contextlib.contextmanager
def prometheus(scraper, account, folder):
    """A server of Debian's that scrapes; yields a function that asks it for a value."""
    folder.mkdir()
    account.take(folder)
    config = folder / "prometheus.yml"
    config.write_text(PROMETHEUS % {"port": scraper.port})
    port = free_port()
    process = subprocess.Popen(
        [prometheus_program("prometheus"), f"--config.file={config}", "--log.level=error",
         f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
        cwd=folder, stdin=subprocess.DEVNULL, **account.popen_arguments(),
    )  # fmt: skip

    def ask(query):
        where = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with contextlib.suppress(OSError), urllib.request.urlopen(where, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
            return [(row["metric"], float(row["value"][1])) for row in found]
        return []

    try:
        yield ask
    finally:
        process.terminate()
        process.wait()


@LONG
def test_prometheus_scrapes(make_pooler):
    """It takes what it is given, with its own choice of format, and knows what was done."""
    prometheus_program("prometheus")
    pooler = make_pooler()
    scraper = scraped(pooler)
    client = pooler.connect()
    for _ in range(7):
        client.execute("select 1")
    with prometheus(scraper, pooler.account, pooler.folder / "prometheus") as ask:
        wait_until(
            lambda: [v for _, v in ask("perfkit_pooler_queries_total{user='alice'}")] == [7.0],
            "seven queries in Prometheus",
        )
        wait_until(lambda: [v for _, v in ask("up{job='pooler'}")] == [1.0], "a scrape in time")
        # Without perfkit_dsn there is no database to tell of, and that is a failed scrape.
        assert wait_until(lambda: ask("up{job='database'}"), "a scrape")[0][1] == 0.0
        wait = "histogram_quantile(1, perfkit_pooler_query_seconds_bucket{user='alice'})"
        found = wait_until(lambda: ask(wait), "the histogram")
        assert len(found) == 1 and 0 < found[0][1] < 60


@LONG
def test_prometheus_scrapes_the_database(writer):
    """The extension's numbers, by way of the pooler."""
    prometheus_program("prometheus")
    pooler = writer()
    scraper = scraped(pooler)
    with prometheus(scraper, pooler.account, pooler.folder / "prometheus") as ask:
        wait_until(
            lambda: [v for _, v in ask("up{job='database'}")] == [1.0], "a scrape of the database"
        )
        wait_until(lambda: ask("perfkit_log_pending{database='home'}"), "its numbers")


@LONG
def test_promtool(make_pooler):
    """Of the text format; OpenMetrics is none that it knows."""
    promtool = prometheus_program("promtool")
    pooler = make_pooler(stats_period=1)
    scraper = scraped(pooler)
    client = pooler.connect()
    wait_until(  # it is that of the last second
        lambda: client.execute("select pg_sleep(0.01)")
        and scraper.value("query_p95_seconds", database="app", user="alice"),
        "a percentile",
    )
    _, _, text = scraper.ask("/metrics")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
