#!/usr/bin/python3
"""What schedules of materialized views cost the database's worker, and how soon a due one runs.

    schedules.py [--seconds N] [--schedules N]

PG_CONFIG names a PostgreSQL in which perfkit is installed. A private cluster has as many materialized
views with a schedule. Told is the share of a CPU that the worker takes, from /proc: without schedules,
with all of them idle (@yearly), all of them due each minute and unchanged, all of them on change
without any. Then the delay from the moment a view is due to the snapshot of its refresh: the view is
SELECT clock_timestamp(), due each second, beside all the others on change, beside all the others that are
due in the same second every ten seconds and unchanged, and alone.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster import Cluster  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from waiting import wait_until  # noqa: E402

DATABASE = "bench"
CONFIGURATION = """
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
max_locks_per_transaction = 1024
perfkit.slow_query_threshold = -1
perfkit.log_errors = off
"""
WORKER = "select pid from pg_stat_activity where backend_type = 'perfkit worker'"
SETTLED = "select count(*) = 0 from perfkit.matviews where schedule is not null and last_success is null"


class Bench:
    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options

    def sql(self, statement):
        return self.cluster.sql(statement, DATABASE)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.sql(WORKER)[0][0]}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu(self, name):
        """One line: the worker's share of a CPU, looked at from outside."""
        before, start = self.cpu_seconds(), time.monotonic()
        time.sleep(self.options.seconds)
        share = (self.cpu_seconds() - before) / (time.monotonic() - start)
        print(f"{name:60} {100 * share:8.2f} % of a CPU", flush=True)

    def delays(self, name):
        """One line: from due to the snapshot, of a view that is due each second."""
        # what it holds now was not made by a run that began now
        beaten = "select count(*) from perfkit.refresh_log where view = 'public.beat' and status = 'success'"
        runs = self.sql(beaten)[0][0]
        wait_until(lambda: self.sql(beaten)[0][0] > runs, "a run of beat")
        seen = set()
        start = time.monotonic()
        while time.monotonic() - start < self.options.seconds:
            seen.add(self.sql("select extract(epoch from at - date_trunc('second', at)) * 1000 from beat")[0][0])
            time.sleep(0.2)
        ms = sorted(float(delay) for delay in seen)
        print(
            f"{name:60} {statistics.median(ms):8.1f} ms, longest {ms[-1]:.1f} ms, {len(ms)} runs",
            flush=True,
        )

    def schedule(self, arguments):
        self.sql(
            "select count(perfkit.schedule_refresh(format('v%s', i), "
            f"{arguments})) from generate_series(1, {self.options.schedules}) i"
        )

    def run(self):
        n = self.options.schedules
        self.cpu("no schedule")
        self.sql("create table base as select 1 as n")
        for first in range(1, n + 1, 100):
            self.sql(
                "do $$ begin for i in "
                f"{first}..{min(first + 99, n)} loop execute format('create materialized view v%s as select n from "
                "base', i); execute format('create unique index on v%s (n)', i); end loop; end $$"
            )
        self.schedule("'@yearly'")
        self.cpu(f"{n} schedules, idle")
        self.schedule("'every 1 minute', skip_unchanged => true")
        wait_until(lambda: self.sql(SETTLED)[0][0], "all views to be refreshed once", 600)
        self.cpu(f"{n} schedules, due each minute, unchanged")
        self.schedule("'on change'")
        wait_until(lambda: self.sql(SETTLED)[0][0], "all views to be refreshed once", 600)
        self.cpu(f"{n} schedules, on change, without any")
        self.sql("create materialized view beat as select clock_timestamp() as at")
        self.sql("select perfkit.schedule_refresh('beat', 'every 1 second', method => 'plain')")
        self.delays(f"from due to its snapshot, beside {n} on change")
        self.schedule("'every 10 seconds', skip_unchanged => true")
        wait_until(lambda: self.sql(SETTLED)[0][0], "all views to be refreshed once", 600)
        self.delays(f"from due to its snapshot, beside {n} due at once, unchanged")
        self.sql("select count(perfkit.unschedule_refresh(format('v%s', i))) from generate_series(1, " f"{n}) i")
        self.delays("from due to its snapshot, alone")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60, help="of each measurement")
    parser.add_argument("--schedules", type=int, default=1000)
    options = parser.parse_args()

    account = server_account()
    folder = reachable_folder(account)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["rm", "-rf", str(folder)], check=False)
        cluster = Cluster(folder, account)
        cluster.create()
        cleanup.callback(cluster.stop)
        cluster.stop()
        with open(cluster.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(CONFIGURATION)
        cluster.start()
        cluster.sql("create extension perfkit", DATABASE)
        wait_until(lambda: cluster.sql(WORKER, DATABASE), "perfkit's worker")
        Bench(cluster, options).run()


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
