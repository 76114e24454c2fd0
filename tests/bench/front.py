#!/usr/bin/python3
"""The front door beside PgBouncer's: what a login costs, a transaction under TLS, an idle TLS client.

    front.py POOLER PGBOUNCER-COMMAND [--rounds N] [--seconds N] [--clients N]

As beside.py measures: one thread each, the same settings, by turns, the pooler's own CPU alone. A
login is a connection of `pgbench -C`: connect, log in, `select 1`, leave. Logins per second are
those of four clients on the same machine, who pay for SCRAM and TLS as well: they are what they
are, the pooler's CPU is what it can be held to. SCRAM is asked of clients only, with a verifier in
auth_file; the certificate has a P-256 key; every TLS login is a full handshake, as libpq's are.
"""

import argparse
import contextlib
import os
import resource
import shlex
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from beside import DATABASE, USER, Bench, Contender  # noqa: E402

from certificates import Authority  # noqa: E402
from cluster import Cluster  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from wire import SSL_REQUEST, Wire, scram_secret  # noqa: E402

PASSWORD = "bench-secret"
CLIENTS = "4"


class FrontBench(Bench):
    """Both poolers anew for each way to log in, in folders of that name: no name twice."""

    def __init__(self, cluster, options, commands, pair):
        super().__init__(cluster, options)
        self.commands = commands
        self.pair = pair

    def way(self, name):
        """The settings of a way to log in, and what its clients have in their environment."""
        settings = [f"auth_type = {'scram-sha-256' if 'SCRAM' in name else 'trust'}"]
        if "TLS" in name:
            settings += [
                "client_tls_sslmode = require",
                f"client_tls_cert_file = {self.pair.certificate}",
                f"client_tls_key_file = {self.pair.key}",
            ]
        client = {"PGPASSWORD": PASSWORD, "PGSSLMODE": "require" if "TLS" in name else "disable"}
        return "\n".join(settings), {**os.environ, **client}

    @contextlib.contextmanager
    def contenders(self, name):
        settings, self.environment = self.way(name)
        secret = scram_secret(PASSWORD)
        with contextlib.ExitStack() as cleanup:
            both = []
            for who, command, more in self.commands:
                folder = f"{who}-{name.replace(' ', '-')}"
                both.append(Contender(folder, command, self.cluster, f"{settings}\n{more}", secret))
                cleanup.callback(both[-1].stop)
            yield both

    def logins(self, contender):
        """(microseconds of the pooler's CPU for each, logins a second)"""
        cpu, clock = contender.cpu_seconds(), time.monotonic()
        count = self.pgbench(
            contender.port, "-C", "-T", str(self.options.seconds), "-c", CLIENTS, *self.script("select-1")
        )
        clock = time.monotonic() - clock
        return (contender.cpu_seconds() - cpu) / count * 1e6, count / clock

    def compare_logins(self, name):
        with self.contenders(name) as both:
            found = {c.name: [] for c in both}
            for number in range(self.options.rounds):
                for contender in both if number % 2 == 0 else reversed(both):
                    found[contender.name].append(self.logins(contender))
        ours, theirs = found.values()
        for at, what, unit in ((0, "CPU of a login", "us"), (1, "logins a second", "")):
            ratio = statistics.median(a[at] / b[at] for a, b in zip(ours, theirs))
            medians = (statistics.median(x[at] for x in side) for side in (ours, theirs))
            self.line(f"{what}, {name}", *medians, ratio, unit)

    def idle_tls_client(self, contender):
        """Bytes of resident memory that one more takes; each has run a query."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with contextlib.ExitStack() as open_clients:

            def connect(count):
                for _ in range(count):
                    client = Wire(("127.0.0.1", contender.port))
                    client.send(SSL_REQUEST)
                    assert client.sock.recv(1) == b"S"
                    sock = context.wrap_socket(client.sock)
                    open_clients.callback(sock.close)
                    client = Wire.over(sock)
                    client.login(USER, DATABASE, application_name="idle", client_encoding="UTF8")
                    client.query("select 1")

            connect(100)
            before = contender.resident_kb()
            connect(self.options.clients)
            return (contender.resident_kb() - before) * 1024 / self.options.clients

    def run(self):
        print(f"{'':42} {'ours':>10} {'PgBouncer':>10} {'':4} {'ratio':>7}")
        for name in ("trust", "SCRAM", "TLS", "TLS and SCRAM"):
            self.compare_logins(name)
        with self.contenders("TLS at work") as both:
            for name, arguments in (
                ("select 1, TLS, 10 clients", self.script("select-1", "-c", "10")),
                ("pgbench -S -M prepared, TLS, 10 clients", ("-S", "-M", "prepared", "-c", "10", "-j", "10")),
                ("2 MB in rows of 100 bytes, TLS, 2 clients", self.script("rows", "-c", "2")),
            ):  # fmt: skip
                self.compare_cpu(both, "CPU: " + name, arguments)
        with self.contenders("TLS idle") as both:
            ours, theirs = map(self.idle_tls_client, both)
            self.line("resident memory of an idle TLS client", ours, theirs, ours / theirs, "B")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pooler")
    parser.add_argument("pgbouncer", help="the command, as tools/rival.sh prints it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--clients", type=int, default=1000, help="idle ones")
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
        pair = Authority(folder / "authority", account).issue("server", "pooler.test")
        commands = (
            ("ours", [str(binary)], "threads = 1"),
            ("pgbouncer", shlex.split(options.pgbouncer), ""),
        )
        FrontBench(cluster, options, commands, pair).run()


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
