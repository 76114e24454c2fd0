#!/usr/bin/python3
"""The pooler beside PgBouncer: what a transaction costs each of them, and what an idle client does.

    beside.py POOLER PGBOUNCER-COMMAND [--rounds N] [--seconds N] [--clients N]

Both run one thread, on the same private cluster, with the same settings, and take turns: a slow
minute of the machine hits both. CPU is what the kernel accounted to the pooler's own threads
(/proc/PID/task/*/schedstat, user and system, in nanoseconds), divided by the transactions that
pgbench counted; what the clients and PostgreSQL use does not enter. Ratios are ours to theirs:
below 1 is less for us. These are figures to read, not tests.
"""

import argparse
import contextlib
import os
import re
import resource
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster import Cluster  # noqa: E402
from machine import free_port, is_listening, reachable_folder, server_account  # noqa: E402
from waiting import wait_until  # noqa: E402
from wire import Wire  # noqa: E402

USER, DATABASE = "postgres", "bench"
POOL_SIZE = 10
SCALE = 10
RESULT_BYTES = 2_000_000
ROW_BYTES = 100

INI = """
[databases]
{database} = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/userlist.txt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 20000
max_prepared_statements = 200
log_connections = 0
log_disconnections = 0
{more}
"""

SCRIPTS = {
    "select-1": "select 1;\n",
    "rows": f"select repeat('x', {ROW_BYTES - 11}) from generate_series(1, {RESULT_BYTES // ROW_BYTES});\n",
    "value": f"select repeat('x', {RESULT_BYTES});\n",
}


class Contender:
    """One of the two poolers, running."""

    def __init__(self, name, command, cluster, more="", secret=""):
        self.name = name
        self.port = free_port()
        folder = cluster.folder.parent / name
        folder.mkdir(exist_ok=True)
        (folder / "userlist.txt").write_text(f'"{USER}" "{secret}"\n')
        ini = folder / "pooler.ini"
        ini.write_text(
            INI.format(
                database=DATABASE,
                server_port=cluster.port,
                port=self.port,
                folder=folder,
                pool_size=POOL_SIZE,
                more=more,
            )
        )
        for path in (folder, ini, folder / "userlist.txt"):
            cluster.account.take(path)
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, str(ini)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                **cluster.account.popen_arguments(),
            )
        wait_until(
            lambda: is_listening(self.port) or self.process.poll() is not None, f"{name} to listen"
        )
        if self.process.poll() is not None:
            raise SystemExit(f"{name} did not start:\n{self.log.read_text()}")

    def cpu_seconds(self):
        """User and system time of all its threads since its start."""
        total = 0
        for stat in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
        return total / 1e9

    def resident_kb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    environment = None  # of pgbench; None: ours

    @staticmethod
    def load(cluster):
        """pgbench's tables."""
        subprocess.run(
            [
                str(cluster.bindir / "pgbench"), "-i", "-q", "-s", str(SCALE),
                "-h", "127.0.0.1", "-p", str(cluster.port), "-U", USER, DATABASE,
            ],  # fmt: skip
            check=True,
            capture_output=True,
        )

    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options
        self.folder = cluster.folder.parent
        for name, text in SCRIPTS.items():
            (self.folder / f"{name}.sql").write_text(text)

    def pgbench(self, port, *arguments, cwd=None):
        """Runs it against a port; the transactions it counted."""
        done = subprocess.run(
            [
                str(self.cluster.bindir / "pgbench"),
                "-n", "-h", "127.0.0.1", "-p", str(port), "-U", USER,
                *arguments, DATABASE,
            ],  # fmt: skip
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd or self.folder,
            env=self.environment,
        )
        found = re.search(r"transactions actually processed: (\d+)", done.stdout)
        if done.returncode != 0 or found is None:
            raise SystemExit(f"pgbench failed: {done.stdout[-500:]} {done.stderr[-1000:]}")
        return int(found.group(1))

    def script(self, name, *arguments):
        return ("-f", str(self.folder / f"{name}.sql"), *arguments)

    def cpu_per_transaction(self, contender, arguments):
        """Microseconds of the pooler's CPU."""
        before = contender.cpu_seconds()
        transactions = self.pgbench(
            contender.port, "-T", str(self.options.seconds), *arguments
        )
        return (contender.cpu_seconds() - before) / transactions * 1e6

    def compare_cpu(self, contenders, name, arguments):
        """One line of the table: medians of the rounds, and the median of the rounds' ratios."""
        found = {c.name: [] for c in contenders}
        for number in range(self.options.rounds):
            for contender in contenders if number % 2 == 0 else reversed(contenders):
                found[contender.name].append(self.cpu_per_transaction(contender, arguments))
        ours, theirs = (found[c.name] for c in contenders)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        self.line(name, statistics.median(ours), statistics.median(theirs), ratio, "us")

    def line(self, name, ours, theirs, ratio, unit):
        print(f"{name:42} {ours:10.2f} {theirs:10.2f} {unit:>4} {ratio:7.2f}", flush=True)

    def idle_client(self, contender):
        """Bytes of resident memory that one more idle client takes; each has run a query."""
        with contextlib.ExitStack() as open_clients:

            def connect(count):
                for _ in range(count):
                    client = Wire(("127.0.0.1", contender.port))
                    open_clients.callback(client.sock.close)
                    client.login(
                        USER, DATABASE, application_name="idle", client_encoding="UTF8"
                    )
                    client.query("select 1")

            connect(100)
            before = contender.resident_kb()
            connect(self.options.clients)
            return (contender.resident_kb() - before) * 1024 / self.options.clients

    def p99(self, contender):
        """Milliseconds, of 1,000 clients on the pool's servers."""
        folder = self.folder / "log"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        self.pgbench(
            contender.port, "-S", "-c", "1000", "-j", "4", "-l", "-T", str(self.options.seconds),
            cwd=folder,
        )  # fmt: skip
        times = sorted(
            int(line.split()[2]) for file in folder.iterdir() for line in file.open()
        )
        return times[len(times) * 99 // 100] / 1000

    def run(self, contenders):
        wanted = self.options.only
        print(f"{'':42} {'ours':>10} {'PgBouncer':>10} {'':4} {'ratio':>7}")
        for name, arguments in (
            ("select 1, simple, 10 clients", self.script("select-1", "-c", "10")),
            ("pgbench -S -M prepared, 10 clients", ("-S", "-M", "prepared", "-c", "10", "-j", "10")),
            ("2 MB in rows of 100 bytes, 2 clients", self.script("rows", "-c", "2")),
            ("2 MB in one value, 2 clients", self.script("value", "-c", "2")),
        ):
            if not wanted or wanted in name:
                self.compare_cpu(contenders, "CPU: " + name, arguments)
        for name, unit, measure in (
            ("resident memory of an idle client", "B", self.idle_client),
            ("p99, pgbench -S, 1000 clients, 10 servers", "ms", self.p99),
        ):
            if wanted and wanted not in name:
                continue
            found = {c.name: [] for c in contenders}
            rounds = 1 if unit == "B" else self.options.rounds
            for number in range(rounds):
                for contender in contenders if number % 2 == 0 else reversed(contenders):
                    found[contender.name].append(measure(contender))
            ours, theirs = (statistics.median(found[c.name]) for c in contenders)
            self.line(name, ours, theirs, ours / theirs, unit)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pooler")
    parser.add_argument("pgbouncer", help="the command, as tools/rival.sh prints it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--clients", type=int, default=2000, help="idle ones")
    parser.add_argument("--only", default="", help="measures whose name contains this")
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
        Bench.load(cluster)
        binary = folder / "perfkit-pooler"
        binary.write_bytes(Path(options.pooler).read_bytes())
        binary.chmod(0o755)
        contenders = []
        for name, command, more in (
            ("ours", [str(binary)], "threads = 1"),
            ("pgbouncer", shlex.split(options.pgbouncer), ""),
        ):
            contenders.append(Contender(name, command, cluster, more))
            cleanup.callback(contenders[-1].stop)
        Bench(cluster, options).run(contenders)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
