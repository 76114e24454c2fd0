#!/usr/bin/python3
"""What the extension adds to a statement, in instructions: counted, so that a busy machine tells the same.

    instructions.py [--only TEXT] [--statements N] [--sql STATEMENT] [--keep FOLDER]

PG_CONFIG names a PostgreSQL in which perfkit is installed. Each case is the same statement run N
times and again 5 N times by `postgres --single` under callgrind; the difference of the two runs, by
statement, is its cost: what start and exit take is in both, or not counted (proc_exit), nor is what
happens once a second (pgstat_report_stat). Addresses are not randomized, so that two counts of one
build differ by some ten instructions only.

What callgrind does not see is the kernel: reads of the clock and getrusage count as the call alone.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster import Cluster  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from waiting import wait_until  # noqa: E402

DATABASE = "bench"
WITHOUT = "app"  # has the same tables, and not the extension
KEY_LOOKUP = "SELECT abalance FROM pgbench_accounts WHERE aid = 1"
TIMES_MORE = 5  # statements of the second run to those of the first

# Nothing is slow, however long the machine lets it wait.
QUIET = {"compute_query_id": "off", "perfkit.slow_query_threshold": "1h"}

# No row is turned away: what is counted is a row on its way to the worker.
EVERY_ROW = {
    "perfkit.slow_query_threshold": "0",
    "perfkit.record_rate": "0",
    "perfkit.ring_size": "16MB",
    "perfkit.max_databases": "1",
}

# name, library, settings and, if it is another one, the database
CASES = (
    ("no library", "", {}),
    ("auto_explain, log_min_duration = 1h", "auto_explain", {"auto_explain.log_min_duration": "1h"}),
    ("pg_stat_statements, compute_query_id = auto", "pg_stat_statements", {"compute_query_id": "auto"}),
    ("perfkit", "perfkit", {}),
    ("track_statements = off", "perfkit", {"perfkit.track_statements": "off"}),
    ("in a database without the extension", "perfkit", {}, WITHOUT),
    ("compute_query_id = auto", "perfkit", {"compute_query_id": "auto"}),
    ("track = none", "perfkit", {"perfkit.track": "none"}),
    ("track = all", "perfkit", {"perfkit.track": "all"}),
    ("sample_rate = 0.000001", "perfkit", {"perfkit.sample_rate": "0.000001"}),
    ("excluded_users = nobody", "perfkit", {"perfkit.excluded_users": "nobody"}),
    ("log_new_plans = all", "perfkit", {"perfkit.log_new_plans": "all", "compute_query_id": "on"}),
    ("track_cpu = on", "perfkit", {"perfkit.track_cpu": "on"}),
    ("capture_plan = actual", "perfkit", {"perfkit.capture_plan": "actual"}),
    ("capture_plan = timing", "perfkit", {"perfkit.capture_plan": "timing"}),
    ("every statement a row, capture_plan = off", "perfkit", {**EVERY_ROW, "perfkit.capture_plan": "off"}),
    ("every statement a row, capture_plan = estimate", "perfkit", EVERY_ROW),
)  # fmt: skip


class Counter:
    """Runs statements under callgrind in a cluster that is stopped."""

    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options
        self.folder = cluster.folder.parent

    def instructions(self, library, settings, database, count):
        """All instructions of a server that runs the statement so often, its exit left out."""
        profile = self.folder / "profile"
        settings = {**QUIET, **settings, "shared_preload_libraries": library}
        done = subprocess.run(
            [
                "setarch", "-R",
                "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--dump-instr=yes",
                "--toggle-collect=proc_exit", "--toggle-collect=pgstat_report_stat", "--collect-atstart=yes",
                str(self.cluster.bindir / "postgres"), "--single", "-D", str(self.cluster.folder),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
                database,
            ],  # fmt: skip
            input=f"{self.options.sql}\n" * count,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            **self.cluster.account.popen_arguments(),
        )
        complaint = re.search(r"(ERROR|FATAL|PANIC):.*", done.stderr)
        if done.returncode != 0 or complaint:
            raise SystemExit(f"postgres --single failed: {complaint or done.stderr[-2000:]}")
        collected = re.search(r"Collected : (\d+)", done.stderr)
        return int(collected.group(1)), profile

    def per_statement(self, library, settings, database=DATABASE):
        few, _ = self.instructions(library, settings, database, self.options.statements)
        many, profile = self.instructions(
            library, settings, database, self.options.statements * TIMES_MORE
        )
        return (many - few) / (self.options.statements * (TIMES_MORE - 1)), profile

    def run(self):
        version = subprocess.run(
            [str(self.cluster.bindir / "postgres"), "--version"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        print(f"{version}: {self.options.sql}")
        print(f"{'':50} {'instructions':>12} {'more':>8}", flush=True)
        base = None
        for number, (name, *case) in enumerate(CASES):
            if base is not None and self.options.only not in name:
                continue
            cost, profile = self.per_statement(*case)
            base = cost if base is None else base
            print(f"{name:50} {cost:12.0f} {cost - base:+8.0f}", flush=True)
            if self.options.keep:
                (Path(self.options.keep) / f"profile.{number}").write_bytes(profile.read_bytes())


def fill(cluster):
    """The extension and pgbench's tables; the server is stopped then, and knows of both."""
    cluster.stop()
    with open(cluster.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write("shared_preload_libraries = 'perfkit'\nmax_worker_processes = 16\n")
    cluster.start()
    for database in (DATABASE, WITHOUT):
        subprocess.run(
            [
                str(cluster.bindir / "pgbench"), "-i", "-q", "-s", "1",
                "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", database,
            ],  # fmt: skip
            check=True,
            capture_output=True,
        )
    cluster.sql("create extension perfkit", DATABASE)
    stored = "select value > 0 from perfkit.status where name = 'stored'"
    cluster.sql("set perfkit.slow_query_threshold = 0; select 1", DATABASE)
    wait_until(lambda: cluster.sql(stored, DATABASE)[0][0], "perfkit to store a row")
    cluster.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--statements", type=int, default=500, help="of the shorter run")
    parser.add_argument("--sql", default=KEY_LOOKUP)
    parser.add_argument("--keep", help="a folder for the callgrind profiles of the longer runs")
    options = parser.parse_args()

    account = server_account()
    folder = reachable_folder(account)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["rm", "-rf", str(folder)], check=False)
        cluster = Cluster(folder, account)
        cluster.create()
        cleanup.callback(cluster.stop)
        fill(cluster)
        Counter(cluster, options).run()


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
