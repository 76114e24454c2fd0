#!/usr/bin/python3
"""How many captured statements a second reach the table, and what happens to a server that makes more.

    stored.py [--seconds N] [--clients N] [--rate TRANSACTIONS]

PG_CONFIG names a PostgreSQL in which perfkit is installed. pgbench's TPC-B (seven statements a
transaction) runs against a private cluster with fsync on: with capture off, with every statement
captured (threshold 0, estimate plans, record_rate 0) at a fixed rate, and the same as fast as it
goes. The longest latency says whether a full ring held anybody up.
"""

import argparse
import contextlib
import os
import re
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
SCALE = 10
CONFIGURATION = """
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
fsync = on
synchronous_commit = on
full_page_writes = on
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
"""


class Bench:
    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options

    def pgbench(self, *arguments, capture=True):
        """Transactions a second and the longest latency in ms."""
        folder = self.cluster.folder.parent / "log"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        options = f"-c perfkit.slow_query_threshold={0 if capture else -1}"
        done = subprocess.run(
            [
                str(self.cluster.bindir / "pgbench"), "-n", "-l", "-c", str(self.options.clients), "-j", "2",
                "-T", str(self.options.seconds), "-h", "127.0.0.1", "-p", str(self.cluster.port),
                "-U", "postgres", *arguments, DATABASE,
            ],  # fmt: skip
            check=True,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PGOPTIONS": options},
        )
        tps = float(re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE).group(1))
        longest = max(int(line.split()[2]) for file in folder.iterdir() for line in file.open())
        return tps, longest / 1000

    def counters(self):
        rows = self.cluster.sql("select name, value from perfkit.status", DATABASE)
        return dict(rows)

    def captured(self, name, *arguments):
        """One line: of what was captured, how much was stored and dropped."""
        before, start = self.counters(), time.monotonic()
        tps, longest = self.pgbench(*arguments)
        wait_until(lambda: self.counters()["pending"] == 0, "the ring to be empty", 120)
        seconds = time.monotonic() - start
        after = self.counters()
        more = {key: after[key] - before[key] for key in after}
        dropped = sum(value for key, value in more.items() if key.startswith("dropped_"))
        print(
            f"{name:34} {tps:8.0f} {longest:10.0f} {more['captured'] / seconds:10.0f} "
            f"{more['stored'] / seconds:10.0f} {dropped / seconds:10.0f}",
            flush=True,
        )

    def run(self):
        title = ("", "tps", "longest ms", "captured/s", "stored/s", "dropped/s")
        print("{:34} {:>8} {:>10} {:>10} {:>10} {:>10}".format(*title))
        tps, longest = self.pgbench(capture=False)
        print(f"{'capture off':34} {tps:8.0f} {longest:10.0f}", flush=True)
        self.captured(f"every statement, {self.options.rate} tps", "-R", str(self.options.rate))
        self.captured("every statement, as fast as it goes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20, help="of each run")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=int, default=200, help="transactions a second of the second run")
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
        subprocess.run(
            [
                str(cluster.bindir / "pgbench"), "-i", "-q", "-s", str(SCALE),
                "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", DATABASE,
            ],  # fmt: skip
            check=True,
            capture_output=True,
        )
        cluster.sql("create extension perfkit", DATABASE)
        counters = "select value > 0 from perfkit.status where name = 'stored'"
        wait_until(lambda: cluster.sql(counters, DATABASE)[0][0], "perfkit to store a row")
        Bench(cluster, options).run()


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
