#!/usr/bin/python3
"""What a crowd of idle clients and idle pools costs: the client that works, and those who are served while
an administrator looks at all of them.

    crowd.py POOLER [--clients N] [--pools N] [--rounds N] [--seconds N]

Two poolers of one thread each, on the same private cluster: one alone with its load, the other with the
crowd connected; they take turns. CPU per transaction is measured as in beside.py. Then the console of the
crowded one runs SHOW CLIENTS and SHOW SOCKETS over and over while another client of the same loop asks for
something small: how long that takes at most is how long the loop was blocked, at most. These are figures to
read, not tests; on a busy machine the longest times are the machine's.
"""

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from beside import DATABASE, USER, Bench, Contender  # noqa: E402
from cluster import Cluster  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from waiting import wait_until  # noqa: E402
from wire import Wire, query  # noqa: E402

# A pool's first client makes it log in once; that server is soon given back.
MORE = """
admin_users = {user}
threads = 1
server_idle_timeout = 1
max_db_connections = 40
[databases]
{databases}
"""


def settings(cluster, pools):
    lines = (
        f"crowd{n} = host=127.0.0.1 port={cluster.port} dbname={DATABASE}" for n in range(pools)
    )
    return MORE.format(user=USER, databases="\n".join(lines))


def log_in(contender, database, keep):
    client = Wire(("127.0.0.1", contender.port))
    keep.callback(client.sock.close)
    client.login(USER, database)
    return client


def gather(contender, options, keep):
    """The crowd: each pool has its clients, and no server any more."""
    for n in range(options.clients):
        log_in(contender, f"crowd{n % options.pools}", keep)
    console = log_in(contender, "pgbouncer", keep)

    def servers():
        counts = {row[0]: row[1] for row in console.values("show lists")}
        return int(counts["free_servers"]) + int(counts["used_servers"])

    wait_until(lambda: servers() == 0, "the pools of the crowd to be empty", 120)
    return console


class Asker(threading.Thread):
    """Asks for the version over and over; the times it took, in milliseconds."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.ended = False
        self.times = []

    def run(self):
        while not self.ended:
            before = time.perf_counter()
            self.client.query("show version")
            self.times.append((time.perf_counter() - before) * 1000)

    def stop(self):
        self.ended = True
        self.join()
        return sorted(self.times)


def drain(client):
    """Reads an answer without looking at it: Python takes longer to read it than the pooler to write it."""
    tail = b""
    while not tail.endswith(b"Z\x00\x00\x00\x05I"):
        tail = (tail + client.sock.recv(1 << 20))[-6:]


def looked_at(contender, options, keep, console, what):
    """Times of somebody who asks meanwhile."""
    asker = Asker(log_in(contender, "pgbouncer", keep))
    asker.start()
    until = time.monotonic() + options.seconds
    count = 0
    while time.monotonic() < until:
        if what is None:
            time.sleep(0.1)
            continue
        console.send(query(f"show {what}"))
        drain(console)
        count += 1
    return asker.stop(), count


def run(cluster, binary, options, keep):
    bench = Bench(cluster, options)
    alone, crowded = (
        Contender(name, [str(binary)], cluster, settings(cluster, options.pools))
        for name in ("alone", "crowded")
    )
    keep.callback(alone.stop)
    keep.callback(crowded.stop)
    console = gather(crowded, options, keep)
    print(f"{options.clients} idle clients, {options.pools} idle pools")
    for name, arguments in (
        ("select 1, simple, 1 client", bench.script("select-1", "-c", "1")),
        ("select 1, simple, 10 clients", bench.script("select-1", "-c", "10")),
    ):
        found = {alone.name: [], crowded.name: []}
        for number in range(options.rounds):
            for one in (alone, crowded) if number % 2 == 0 else (crowded, alone):
                found[one.name].append(bench.cpu_per_transaction(one, arguments))
        ratio = statistics.median(c / a for a, c in zip(found[alone.name], found[crowded.name]))
        print(
            f"CPU: {name:40} alone {statistics.median(found[alone.name]):7.2f} us,"
            f" with the crowd {statistics.median(found[crowded.name]):7.2f} us, ratio {ratio:.3f}"
        )
    for what in (None, "clients", "sockets", "servers", "pools", "databases", "stats"):
        times, count = looked_at(crowded, options, keep, console, what)
        print(
            f"{count:4} x {'SHOW ' + what.upper() if what else 'nothing':13} meanwhile a small question takes"
            f" median {times[len(times) // 2]:6.2f} ms, p99 {times[len(times) * 99 // 100]:6.2f} ms,"
            f" at most {times[-1]:6.2f} ms"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pooler")
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    options = parser.parse_args()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    account = server_account()
    folder = reachable_folder(account)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["rm", "-rf", str(folder)], check=False)
        cluster = Cluster(folder, account)
        cluster.create()
        cleanup.callback(cluster.stop)
        binary = folder / "perfkit-pooler"
        binary.write_bytes(Path(options.pooler).read_bytes())
        binary.chmod(0o755)
        with contextlib.ExitStack() as keep:
            run(cluster, binary, options, keep)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
