"""A private PostgreSQL cluster: made, started, stopped and asked about its backends.

Durability is off (the data never matters), everything else is PostgreSQL's default. It listens on
a loopback port (of 127.0.0.1, 127.0.0.2 and, where there is IPv6, ::1) and on a unix socket.
`carol` must log in by SCRAM, everybody else is trusted.
"""

import os
import signal
import subprocess
from pathlib import Path

import psycopg

from machine import free_port
from waiting import wait_until

DATABASES = ("app", "other", "bench")

# name -> password; the pooler's userlist starts from these.
ROLES = {"alice": "alice-secret", "bob": "bob-secret", "carol": "carol-secret"}

CONFIGURATION = """
listen_addresses = '127.0.0.1,127.0.0.2,::1'
max_connections = 100
superuser_reserved_connections = 10
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 32MB
log_line_prefix = '%m [%p] %u@%d '
restart_after_crash = on
wal_level = logical
"""

HBA = """
local all all trust
host all carol 127.0.0.1/32 scram-sha-256
host all hashed 127.0.0.1/32 md5
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
host all all ::1/128 trust
"""

PORT_ATTEMPTS = 5


def pg_bindir():
    """The folder of PostgreSQL's programs; PG_CONFIG chooses among several versions."""
    pg_config = os.environ.get("PG_CONFIG", "pg_config")
    out = subprocess.run([pg_config, "--bindir"], check=True, capture_output=True, text=True)
    return Path(out.stdout.strip())


class Cluster:
    """One cluster in `folder`, run as `account`."""

    def __init__(self, folder, account):
        self.folder = folder / "pg"
        self.account = account
        self.bindir = pg_bindir()
        self.host = "127.0.0.1"
        self.port = None
        self.process = None
        self.log_path = folder / "pg.log"

    def create(self):
        """initdb, first start, roles and databases."""
        self._run(
            [
                self.bindir / "initdb",
                "--pgdata", self.folder,
                "--username", "postgres",
                "--auth", "trust",
                "--encoding", "UTF8",
                "--locale", "C",
                "--no-sync",
            ]  # fmt: skip
        )
        with open(self.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(CONFIGURATION + f"unix_socket_directories = '{self.folder.parent}'\n")
        (self.folder / "pg_hba.conf").write_text(HBA)
        self.log_path.touch()
        self.account.take(self.log_path)
        self.start()
        for role, password in ROLES.items():
            self.sql(f"create role {role} login password '{password}'")
        for database in DATABASES:
            self.sql(f"create database {database}")
            self.sql("grant all on schema public to public", database)

    def _run(self, arguments, **extra):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        return subprocess.run(
            [str(a) for a in arguments],
            check=True,
            env=environment,
            cwd=self.folder.parent,
            stdout=subprocess.DEVNULL,
            **self.account.popen_arguments(),
            **extra,
        )

    # ---- life

    def start(self):
        """Start it and wait until it accepts; the port stays the same once it is chosen."""
        for attempt in range(PORT_ATTEMPTS):
            port = self.port or free_port()
            if self._start_on(port):
                self.port = port
                return
            if self.port is not None and attempt == 0:
                continue
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log_path.read_text()[-4000:]}")

    def _start_on(self, port):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(self.bindir / "postgres"), "-D", str(self.folder), "-p", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder.parent,
                **self.account.popen_arguments(),
            )
        return (
            wait_until(
                lambda: self._accepts(port) or (self.process.poll() is not None and "ended"),
                "PostgreSQL to accept connections",
            )
            is True
        )

    def _accepts(self, port):
        try:
            self.connect(port=port).close()
            return True
        except psycopg.OperationalError:
            return False

    def crash(self, pid):
        """kill -9 of a backend; returns when PostgreSQL has restarted itself.

        It takes new connections until it notices, and ends them then. What has reaped the process
        lets nobody in any more: the two are one step of its main process. ProcessLookupError: the
        backend has ended already; nothing happens where it is just ending."""
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "PostgreSQL to notice the crash")
        self.wait_ready()

    def wait_ready(self):
        """After a crash of a backend: wait until recovery is over."""
        wait_until(lambda: self._accepts(self.port), "PostgreSQL to come back")

    def stop(self):
        """A fast shutdown: backends are terminated, the data is kept."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)

    # ---- questions

    def connect(self, dbname="postgres", user="postgres", port=None, **more):
        """A connection that does not go through the pooler."""
        return psycopg.connect(
            host=str(self.folder.parent),
            port=port or self.port,
            user=user,
            dbname=dbname,
            autocommit=True,
            application_name="observer",
            **more,
        )

    def sql(self, sql, dbname="postgres"):
        """Run it as superuser, not through the pooler; the rows, or None when there are none."""
        with self.connect(dbname) as conn:
            cursor = conn.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def make_table(self, name, columns, owner="alice"):
        """A new, empty table in the database app, in place of one left by an earlier test."""
        self.sql(f"drop table if exists {name}", "app")
        self.sql(f"create table {name}({columns}); alter table {name} owner to {owner}", "app")

    def backends(self, condition="true"):
        """pids of the client backends other than the observers."""
        rows = self.sql(
            "select pid from pg_stat_activity where backend_type = 'client backend'"
            " and application_name is distinct from 'observer' and pid <> pg_backend_pid()"
            f" and ({condition})"
        )
        return {pid for (pid,) in rows}

    def terminate(self, pids):
        """pg_terminate_backend for each, and wait until they are gone."""
        pids = set(pids)
        listed = ",".join(map(str, pids))
        self.sql(f"select pg_terminate_backend(pid) from unnest('{{{listed}}}'::int[]) pid")
        wait_until(lambda: not pids & self.backends(), "terminated backends to be gone")
