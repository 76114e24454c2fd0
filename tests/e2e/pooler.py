"""One running pooler: its configuration file, its process, its log, its clients.

`Pooler(...)` writes an ini file from keyword arguments, `start()` runs the binary named by
PERFKIT_POOLER (default: the checkout's pooler/perfkit-pooler) and waits until it listens, `stop()`
ends it and holds it to its promises: exit code 0 within the deadline, no sanitizer report.
"""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from cluster import ROLES
from machine import free_port, is_listening, is_listening_on_unix
from waiting import DEADLINE, wait_until
from wire import Wire

CHECKOUT = Path(__file__).resolve().parents[2]

SANITIZER_REPORT = re.compile(
    r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer|runtime error:"
    r"|[Aa]ssertion .*failed)"
)

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:exitcode=99"
    ":detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=99:second_deadlock_stack=1"
    f":suppressions={Path(__file__).parent.parent / 'tsan.supp'}",
    "LSAN_OPTIONS": "exitcode=99",
}

# Users that exist at the pooler only.
ADMIN, VIEWER = "ops", "viewer"

PORT_ATTEMPTS = 5


def pooler_binary():
    """The pooler under test."""
    return Path(os.environ.get("PERFKIT_POOLER", CHECKOUT / "pooler" / "perfkit-pooler"))


def is_rival():
    """Whether the tests run against PgBouncer itself, to see what it does: it knows no threads."""
    return pooler_binary().name == "pgbouncer"


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


class Pooler:
    """A pooler in `folder` in front of `cluster`.

    settings: keys of the main section, None leaves one out; databases: name -> what its line says
    beside the cluster's host, port and the name itself (a dictionary), or the whole line (text);
    users: name -> line; userlist: name -> password or secret; tail: text at the end of the file;
    shared_port: where another one listens already (so_reuseport).
    options: of the command line; wrapper: a command in front of it; popen: more for Popen, what is
    in its env coming on top.
    Change any of them and write() before a reload."""

    def __init__(
        self,
        binary,
        folder,
        cluster,
        *,
        databases=None,
        users=None,
        userlist=None,
        tail="",
        options=(),
        wrapper=(),
        popen=None,
        shared_port=None,
        **settings,
    ):
        self.binary = binary
        self.folder = folder
        self.cluster = cluster
        self.account = cluster.account
        self.ini = folder / "pooler.ini"
        self.userlist_path = folder / "userlist.txt"
        self.log_path = folder / "log"
        self.host = "127.0.0.1"
        self.shared_port = shared_port
        self.port = None
        self.process = None
        self.clients = []
        self.last_log = ""
        self.databases = {"app": {}, "other": {}, "bench": {}, **(databases or {})}
        self.users = users or {}
        self.userlist = {**ROLES, ADMIN: "ops-secret", VIEWER: "viewer-secret", **(userlist or {})}
        self.tail = tail
        self.options = options
        self.wrapper = wrapper
        self.popen = popen or {}
        self.settings = {
            "listen_addr": self.host,
            "unix_socket_dir": str(folder),
            "auth_type": "trust",
            "auth_file": str(self.userlist_path),
            "admin_users": ADMIN,
            "stats_users": VIEWER,
            "pool_mode": "transaction",
            "server_login_retry": 1,
            "threads": 2,
            **settings,
        }
        if is_rival():
            del self.settings["threads"]

    # ---- configuration

    def database_line(self, name):
        """The [databases] line of this name."""
        given = self.databases[name]
        if isinstance(given, str):
            return given
        parts = {"host": self.cluster.host, "port": self.cluster.port, "dbname": name, **given}
        return " ".join(f"{key}={value}" for key, value in parts.items() if value is not None)

    def write(self):
        """Write the ini file and the user list as they stand in this object now."""
        lines = ["[databases]"]
        lines += [f"{name} = {self.database_line(name)}" for name in self.databases]
        if self.users:
            lines += ["[users]"] + [f"{name} = {line}" for name, line in self.users.items()]
        lines += ["[pgbouncer]", f"listen_port = {self.port}"]
        lines += [f"{key} = {value}" for key, value in self.settings.items() if value is not None]
        self._write_file(self.ini, "\n".join(lines) + "\n" + self.tail)
        entries = (f"{quoted(user)} {quoted(secret)}" for user, secret in self.userlist.items())
        users = "\n".join(entries) + "\n"
        # The pooler follows this file: a new one is a reload of its own, half a second later.
        if not self.userlist_path.exists() or self.userlist_path.read_text() != users:
            self._write_file(self.userlist_path, users)

    def _write_file(self, path, text):
        """In one step, for who reads it meanwhile."""
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        self.account.take(new)
        new.replace(path)

    # ---- life

    def start(self):
        for _ in range(PORT_ATTEMPTS):
            self.port = self.shared_port or free_port()
            self.write()
            self._spawn()
            wait_until(lambda: self.is_up() or self._ended(), "the pooler to be up")
            if not self._ended():
                return self
            if "in use" not in self.log():
                break
        raise AssertionError(
            f"the pooler did not start (exit code {self.process.returncode}):\n{self.log()}"
        )

    def _spawn(self):
        more = {"cwd": self.folder, **self.account.popen_arguments(), **self.popen}
        more["env"] = {**os.environ, **SANITIZER_OPTIONS, **more.get("env", {})}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, str(self.binary), *self.options, str(self.ini)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **more,
            )

    def listens(self):
        """Whether it can be connected to."""
        return is_listening(self.port) and is_listening_on_unix(self.socket_path)

    def is_up(self):
        """Whether it has done all that it does at its start; it listens a moment before."""
        quiet = is_rival() or "-q" in self.options
        return self.listens() and (quiet or " is up: " in self.log())

    def _ended(self):
        return self.process.poll() is not None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, what="the pooler to end"):
        """Its exit code."""
        wait_until(self._ended, what)
        return self.process.returncode

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def stop(self):
        """End it, if the test has not done so, and check how it ended."""
        self.close_clients()
        try:
            if not self._ended():
                self.signal(signal.SIGINT)
            code = self.wait_exit("the pooler to end after SIGINT")
        finally:
            if not self._ended():
                self.process.kill()
                self.process.wait()
        log = self.log()
        report = SANITIZER_REPORT.search(log)
        assert report is None, f"a report in the log:\n{log[max(0, report.start() - 200):][:6000]}"
        assert code == 0, f"exit code {code}:\n{log[-4000:]}"

    def log(self):
        """What it has written so far; still known when the folder is gone."""
        with contextlib.suppress(FileNotFoundError):
            self.last_log = self.log_path.read_text(errors="replace")
        return self.last_log

    def states(self):
        """What its threads do, by the kernel's letters."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return {task.read_text().rpartition(")")[2].split()[0] for task in tasks}

    def peak_memory_kb(self):
        """The most resident memory the process has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))

    def is_sanitized(self):
        """Whether this is a sanitizer's build, whose memory says nothing."""
        return (
            b"libasan" in (maps := Path(f"/proc/{self.process.pid}/maps").read_bytes())
            or b"libtsan" in maps
        )

    # ---- clients

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def socket_path(self):
        return Path(self.settings["unix_socket_dir"]) / f".s.PGSQL.{self.port}"

    def connect(self, dbname="app", user="alice", **more):
        """A psycopg connection in autocommit, closed with the pooler."""
        arguments = {
            "host": self.host,
            "port": self.port,
            "dbname": dbname,
            "user": user,
            "autocommit": True,
            "prepare_threshold": None,
            "sslmode": "disable",
            "gssencmode": "disable",
            "connect_timeout": int(DEADLINE),
        }
        conn = psycopg.connect(**{**arguments, **more})
        self.clients.append(conn)
        return conn

    def wire(self, unix=False):
        """A raw connection that has said nothing yet."""
        client = Wire(self.socket_path if unix else self.address)
        self.clients.append(client)
        return client

    def wire_login(self, database="app", user="alice", unix=False, **more):
        """A raw connection, logged in."""
        client = self.wire(unix)
        said = client.login(user, database, **more)
        assert said[-1].type == "Z", said
        return client

    # ---- the console

    def console(self, **more):
        """Through the unix socket, where no client_tls_sslmode applies."""
        more = {"host": str(self.folder), "row_factory": dict_row, **more}
        return self.connect("pgbouncer", ADMIN, **more)

    def show(self, what):
        """The rows of SHOW as dictionaries."""
        with self.console() as conn:
            return conn.execute(f"show {what}").fetchall()

    def command(self, command):
        with self.console() as conn:
            conn.execute(command)

    def pool(self, database="app", user="alice"):
        """The row of SHOW POOLS for this pool; zeros when there is no such pool yet."""
        found = [r for r in self.show("pools") if (r["database"], r["user"]) == (database, user)]
        assert len(found) <= 1, found
        if found:
            return {k: int(v) if str(v).isdigit() else v for k, v in found[0].items()}
        return dict.fromkeys(
            ("cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_login"), 0
        )

    def wait_waiting(self, count, database="app", user="alice"):
        """Wait until exactly this many clients stand in the queue."""
        wait_until(
            lambda: self.pool(database, user)["cl_waiting"] == count,
            lambda: f"{count} waiting clients in {self.pool(database, user)}",
        )

    def server_pids(self, database="app", user="alice"):
        """The backend pids behind the pooler, as PostgreSQL sees them."""
        return self.cluster.backends(f"datname = '{database}' and usename = '{user}'")
