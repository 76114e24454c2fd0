"""The configuration file, the command line, and RELOAD."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import psycopg
import pytest

import wire
from conftest import unnoticed
from pooler import CHECKOUT, SANITIZER_OPTIONS, Pooler
from test_pooling import busy, pid_of
from waiting import DEADLINE, wait_until

AUTH_QUERY = (
    "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END"
    " FROM pg_authid WHERE rolname=$1 AND rolcanlogin"
)

# Every key of PgBouncer 1.26's main section with its default.
PGBOUNCER_KEYS = (
    """
admin_users =
application_name_add_host = 0
auth_dbname =
auth_hba_file =
auth_ident_file =
auth_query = AUTH_QUERY
auth_user =
autodb_idle_timeout = 3600
cancel_wait_timeout = 10
client_idle_timeout = 0
client_login_timeout = 60
client_tls13_ciphers =
client_tls_ca_file =
client_tls_cert_file =
client_tls_ciphers = default
client_tls_dheparams = auto
client_tls_ecdhcurve = auto
client_tls_key_file =
client_tls_protocols = secure
client_tls_sslmode = disable
default_pool_size = 20
disable_pqexec = 0
dns_max_ttl = 15
dns_nxdomain_ttl = 15
dns_zone_check_period = 0
idle_transaction_timeout = 0
ignore_startup_parameters =
job_name = pgbouncer
listen_backlog = 128
log_connections = 1
log_disconnections = 1
log_pooler_errors = 1
log_stats = 1
logfile =
max_client_conn = 100
max_db_client_connections = 0
max_db_connections = 0
max_packet_size = 2147483647
max_prepared_statements = 200
max_user_client_connections = 0
max_user_connections = 0
min_pool_size = 0
peer_id = 0
pidfile =
pkt_buf = 4096
pool_mode = session
query_timeout = 0
query_wait_timeout = 120
reserve_pool_size = 0
reserve_pool_timeout = 5
resolv_conf =
sbuf_loopcnt = 5
scram_iterations = 4096
server_check_delay = 30
server_check_query = <empty>
server_connect_timeout = 15
server_fast_close = 0
server_idle_timeout = 600
server_lifetime = 3600
server_login_retry = 15
server_reset_query = DISCARD ALL
server_reset_query_always = 0
server_round_robin = 0
server_tls13_ciphers =
server_tls_ca_file =
server_tls_cert_file =
server_tls_ciphers = default
server_tls_key_file =
server_tls_protocols = secure
server_tls_sslmode = prefer
so_reuseport = 0
stats_period = 60
stats_users =
suspend_timeout = 10
syslog = 0
syslog_facility = daemon
syslog_ident = pgbouncer
tcp_defer_accept = 1
tcp_keepalive = 1
tcp_keepcnt = 0
tcp_keepidle = 0
tcp_keepintvl = 0
tcp_socket_buffer = 0
tcp_user_timeout = 0
track_extra_parameters = IntervalStyle
transaction_timeout = 0
unix_socket_group =
unix_socket_mode = 0777
verbose = 0
""".strip()
    .replace("AUTH_QUERY", AUTH_QUERY)
    .splitlines()
)

KEYS = [line.split(" = ")[0].removesuffix(" =") for line in PGBOUNCER_KEYS]


def run(binary, cluster, *arguments):
    """Run the pooler with these arguments to its end, as the server account."""
    return subprocess.run(
        [str(binary), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=DEADLINE, env=SANITIZER_OPTIONS,
        cwd=cluster.folder.parent, **cluster.account.popen_arguments(),
    )  # fmt: skip


@pytest.fixture
def refused(binary, cluster, base_folder):
    """refused(text) -> stderr of a start with this file, which must fail with exit code 1."""
    ini = base_folder / "refused.ini"

    def start(text):
        ini.write_text(text)
        done = run(binary, cluster, ini)
        assert done.returncode == 1, done
        assert done.stderr.strip(), "no word about the reason"
        return done.stderr.replace(str(ini), "INI")

    return start


# ---- the command line


def test_version(binary, cluster):
    done = run(binary, cluster, "-V")
    assert done.returncode == 0 and "perfkit-pooler" in done.stdout


def test_help(binary, cluster):
    done = run(binary, cluster, "-h")
    assert done.returncode == 0 and "usage" in done.stdout.lower()
    for option in ("-d", "-q", "-v", "-u", "-V", "-h"):
        assert option in done.stdout


@pytest.mark.parametrize(
    "arguments", [["-Z", "x.ini"], [], ["a.ini", "b.ini"]], ids=["option", "none", "two"]
)
def test_wrong_arguments(binary, cluster, arguments):
    done = run(binary, cluster, *arguments)
    assert done.returncode == 1 and "-h" in done.stderr + done.stdout


def test_missing_file(binary, cluster, base_folder):
    done = run(binary, cluster, base_folder / "nowhere.ini")
    assert done.returncode == 1
    assert "nowhere.ini" in done.stderr and "No such file" in done.stderr


# ---- bad files: name the file, the line, the key, what is allowed, and what may have been meant


def test_unknown_key(refused):
    said = refused(
        "[databases]\napp = host=/tmp\n\n[pgbouncer]\nlisten_port = 6432\npool_mod = session\n"
    )
    assert "INI:6" in said and "pool_mod" in said and "pool_mode" in said


def test_unknown_database_key(refused):
    said = refused("[databases]\napp = host=/tmp pool_siz=3\n[pgbouncer]\n")
    assert "INI:2" in said and "pool_siz" in said and "pool_size" in said


def test_unknown_user_key(refused):
    said = refused("[databases]\n[users]\nalice = pool_modes=session\n[pgbouncer]\n")
    assert "INI:3" in said and "pool_modes" in said and "pool_mode" in said


def test_unknown_section(refused):
    said = refused("[databases]\n\n[pgbounce]\nlisten_port = 6432\n")
    assert "INI:3" in said and "pgbounce" in said


BAD_VALUES = {
    "pool_mode = sometimes": ["session", "transaction", "statement"],
    "auth_type = magic": ["trust", "scram-sha-256"],
    "default_pool_size = many": ["default_pool_size", "many"],
    "default_pool_size = -1": ["default_pool_size", "-1"],
    "default_pool_size = 99999999999999999999": ["default_pool_size"],
    "default_pool_size = 5x": ["default_pool_size", "5x"],
    "listen_port = 70000": ["listen_port", "65535"],
    "query_timeout = soon": ["query_timeout", "soon"],
    "query_timeout = -3": ["query_timeout", "-3"],
    "threads = -1": ["threads"],
    "threads = 1000000": ["threads"],
    "server_round_robin = perhaps": ["server_round_robin", "perhaps"],
    "client_tls_sslmode = sometimes": ["disable", "prefer", "require"],
    "unix_socket_mode = rwx": ["unix_socket_mode"],
}


@pytest.mark.parametrize("line", BAD_VALUES)
def test_bad_value(refused, line):
    said = refused(f"[databases]\n[pgbouncer]\n; a comment\n{line}\n")
    assert "INI:4" in said and line.split(" =")[0] in said
    for word in BAD_VALUES[line]:
        assert word in said


@pytest.mark.parametrize(
    "line",
    [
        "just words",
        "= value",
        "[unclosed",
        "app = host='unclosed",
        "app = host",
        "app = port=abc",
        "app = pool_mode=no",
    ],
)
def test_bad_line(refused, line):
    assert "INI:2" in refused(f"[databases]\n{line}\n[pgbouncer]\n")


def test_reserved_database(refused):
    """`pgbouncer` is the console's name and nobody else's."""
    said = refused("[databases]\npgbouncer = host=/tmp\n[pgbouncer]\nlisten_port = 6432\n")
    assert "INI:2" in said and "pgbouncer" in said


def test_binary_file(refused):
    refused(bytes(range(256)).decode("latin-1") * 20)


def test_include_that_is_missing(refused):
    said = refused("[databases]\n[pgbouncer]\n%include nowhere.ini\n")
    assert "INI:3" in said and "nowhere.ini" in said


# ---- good files


def test_every_pgbouncer_key(make_pooler):
    """A site's file is taken as it is; all keys are shown with PgBouncer's defaults."""
    own = ("admin_users", "stats_users", "pool_mode", "query_wait_timeout")
    tail = "\n".join(line for line, key in zip(PGBOUNCER_KEYS, KEYS) if key not in own)
    pooler = make_pooler(query_wait_timeout=5, tail=tail + "\n")
    assert pooler.connect().execute("select 1").fetchone() == (1,)
    shown = {row["key"]: row for row in pooler.show("config")}
    assert [key for key in KEYS if key not in shown] == []
    wanted = {key: line.partition(" =")[2].strip() for line, key in zip(PGBOUNCER_KEYS, KEYS)}
    differing = {
        key: (shown[key]["default"], wanted[key])
        for key in KEYS
        if key not in ("job_name", "syslog_ident") and (shown[key]["default"] or "") != wanted[key]
    }
    assert differing == {}


def test_dialect(make_pooler, cluster, base_folder):
    """Comments, quoting, spaces, included files, host lists: PgBouncer's way of writing."""
    included = base_folder / "more.ini"
    included.write_text("default_pool_size=3\n# a comment\n; another\n")
    pooler = make_pooler(
        databases={"quoted": f"host = '{cluster.host}'   port={cluster.port} dbname='app'"},
        tail=f"%include {included}\n\n  ; indented comment\nmax_client_conn   =   50  \n",
    )
    assert pooler.connect("quoted").execute("select current_database()::text").fetchone() == (
        "app",
    )
    shown = {row["key"]: row["value"] for row in pooler.show("config")}
    assert (shown["default_pool_size"], shown["max_client_conn"]) == ("3", "50")


def test_pages_are_in_step():
    """docs/pooler.md, the manual pages and the tables of from-pgbouncer.md are what the program's own
    tables say; so each key and command of PgBouncer's stands there with what becomes of it here."""
    tool = CHECKOUT / "tools" / "pooler_docs.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (CHECKOUT / "docs" / "from-pgbouncer.md").read_text()
    assert [key for key in KEYS if f"| `{key}` |" not in page] == []


def test_sample_file(make_pooler, binary, cluster, base_folder):
    """The sample in docs/ and what --sample-config prints are configurations that can be used."""
    sample = CHECKOUT / "docs" / "perfkit-pooler.ini.sample"
    pooler = make_pooler()
    printed = run(binary, cluster, "--sample-config")
    for text in (sample.read_text(), printed.stdout):
        # Where it listens is not changed by a reload, and its files are not ours.
        text = re.sub(r"^(logfile|pidfile|auth_file|auth_type) =.*$", "", text, flags=re.M)
        pooler.ini.write_text(text + f"auth_type = trust\nlogfile = {pooler.folder / 'sample.log'}\n")
        before = pooler.log().count("configuration reloaded")
        pooler.signal(signal.SIGHUP)
        wait_until(lambda: pooler.log().count("configuration reloaded") > before or "failed" in pooler.log(),
                   "the reload")  # fmt: skip
        assert "reload failed" not in pooler.log(), pooler.log()
        assert "no effect" not in pooler.log(), pooler.log()


def test_section_of_our_own_name(binary, cluster, make_pooler, monkeypatch):
    """[perfkit-pooler] means what [pgbouncer] means."""
    plain = Pooler.write

    def write(self):
        plain(self)
        self.ini.write_text(self.ini.read_text().replace("[pgbouncer]", "[perfkit-pooler]"))

    monkeypatch.setattr(Pooler, "write", write)
    assert make_pooler().connect().execute("select 1").fetchone() == (1,)


def test_pidfile(make_pooler, base_folder, cluster):
    """Written at start, with our pid, and gone after the end; a second pooler is refused."""
    pidfile = cluster.folder.parent / "pooler.pid"
    pooler = make_pooler(pidfile=pidfile)
    wait_until(pidfile.exists, "the pid file")
    assert int(pidfile.read_text()) == pooler.process.pid
    pooler.stop()
    assert not pidfile.exists()


def test_port_in_use(make_pooler, binary, cluster, base_folder):
    """One clear line, exit code 1."""
    pooler = make_pooler()
    ini = base_folder / "second.ini"
    ini.write_text(
        "[databases]\n[pgbouncer]\nauth_type = trust\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {pooler.port}\nunix_socket_dir =\n"
    )
    done = run(binary, cluster, ini)
    assert done.returncode == 1
    assert str(pooler.port) in done.stderr and "in use" in done.stderr


def test_daemon(binary, cluster, make_pooler):
    """-d: the command returns when the service is there; log file and pid file are kept."""
    pooler = make_pooler()
    pooler.stop()
    log, pidfile = cluster.folder.parent / "daemon.log", cluster.folder.parent / "daemon.pid"
    pooler.settings.update(logfile=log, pidfile=pidfile)
    pooler.write()
    done = run(binary, cluster, "-d", pooler.ini)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: pidfile.exists() and pidfile.read_text().strip(), "the pid file")
    pid = int(pidfile.read_text())
    try:
        wait_until(pooler.listens, "the daemon to listen")
        assert pooler.connect().execute("select 1").fetchone() == (1,)
        pooler.close_clients()
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not pidfile.exists(), "the daemon to end")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert log.read_text()


# ---- RELOAD


def by_command(pooler):
    pooler.command("reload")


def by_signal(pooler):
    pooler.signal(signal.SIGHUP)


@pytest.mark.parametrize("reload", [by_command, by_signal])
def test_reload_pool_size(make_pooler, threads, reload):
    """A bigger pool serves who waits; a smaller one shrinks when its servers come back."""
    pooler = make_pooler(default_pool_size=1, threads=threads)
    clients = busy(pooler, 1)
    waiters = [pooler.wire_login() for _ in range(2)]
    for waiter in waiters:
        waiter.send(wire.query("begin"))
    pooler.wait_waiting(2)
    pooler.settings["default_pool_size"] = 3
    pooler.write()
    reload(pooler)
    for waiter in waiters:
        waiter.read_until("Z")
    assert len(pooler.server_pids()) == 3
    pooler.settings["default_pool_size"] = 1
    pooler.write()
    reload(pooler)
    wait_until(
        lambda: {r["key"]: r["value"] for r in pooler.show("config")}["default_pool_size"] == "1",
        "the new size",
    )
    for waiter in waiters:
        waiter.query("commit")
    clients[0].execute("commit")
    wait_until(lambda: len(pooler.server_pids()) == 1, "the pool to shrink")
    assert {pid_of(client) for client in clients * 3} == pooler.server_pids()


def config_value(pooler, key):
    return {row["key"]: row["value"] for row in pooler.show("config")}[key]


BROKEN = {
    "unknown key": "pool_mod = session\n",
    "bad value": "pool_mode = sometimes\n",
    "no sense": "[[[\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_reload_of_a_bad_file(make_pooler, name):
    """RELOAD says what is wrong and where; all stays as it was, also what was right in it."""
    pooler = make_pooler(default_pool_size=2)
    with unnoticed(pooler):
        pooler.settings["default_pool_size"] = 9
        pooler.tail = BROKEN[name]
        pooler.write()
        line = pooler.ini.read_text().count("\n")
        with pytest.raises(psycopg.Error) as failed:
            pooler.command("reload")
        assert f"{pooler.ini}:{line}" in str(failed.value)
        assert config_value(pooler, "default_pool_size") == "2"
        pooler.signal(signal.SIGHUP)
        wait_until(lambda: pooler.log().count(f"{pooler.ini}:{line}") >= 2, "the error in the log")
        assert config_value(pooler, "default_pool_size") == "2"
        pooler.tail = ""
        pooler.write()
        pooler.command("reload")
        assert config_value(pooler, "default_pool_size") == "9"


def test_reload_without_a_file(make_pooler):
    pooler = make_pooler()
    with unnoticed(pooler):
        pooler.ini.unlink()
        with pytest.raises(psycopg.Error, match="No such file"):
            pooler.command("reload")


def test_reload_users(make_pooler):
    """A user that was added gets in, a changed password counts, a removed user stays out."""
    pooler = make_pooler(auth_type="scram-sha-256")
    console = pooler.console(password="ops-secret")
    stays = pooler.connect(password="alice-secret")
    pooler.userlist.update({"alice": "changed", "dora": "dora-secret"})
    del pooler.userlist["bob"]
    pooler.write()
    console.execute("reload")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pooler.connect(password="alice-secret")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pooler.connect(user="bob", password="bob-secret")
    assert pooler.connect(password="changed").execute("select 1").fetchone() == (1,)
    assert pooler.wire().login("dora", "app", "dora-secret")[1:2]
    assert stays.execute("select 1").fetchone() == (1,)


def test_reload_databases(make_pooler):
    """A database that was added is there, one that was removed is unknown, one that was changed
    leads elsewhere, but for a transaction that is under way."""
    pooler = make_pooler(databases={"moving": {"dbname": "app"}, "leaving": {"dbname": "app"}})
    name = "select current_database()::text"
    client, in_transaction = pooler.connect("moving"), pooler.connect("moving")
    assert client.execute(name).fetchone() == ("app",)
    in_transaction.execute("begin")
    pooler.databases.update({"moving": {"dbname": "other"}, "coming": {"dbname": "bench"}})
    del pooler.databases["leaving"]
    pooler.write()
    pooler.command("reload")
    assert pooler.connect("coming").execute(name).fetchone() == ("bench",)
    wait_until(lambda: client.execute(name).fetchone() == ("other",), "the changed database")
    with pytest.raises(psycopg.OperationalError, match="no such database: leaving"):
        pooler.connect("leaving")
    assert in_transaction.execute(name).fetchone() == ("app",)
    in_transaction.execute("commit")
    assert in_transaction.execute(name).fetchone() == ("other",)


def test_reload_under_load(make_pooler, threads):
    """Twenty reloads while clients work: nobody notices."""
    pooler = make_pooler(default_pool_size=2, threads=threads)
    clients = [pooler.wire_login() for _ in range(20)]
    with pooler.console() as console:
        for turn in range(20):
            for number, client in enumerate(clients):
                client.send(wire.query(f"select {number}"))
            pooler.settings["default_pool_size"] = 2 + turn % 3
            pooler.write()
            console.execute("reload")
            for number, client in enumerate(clients):
                assert wire.rows(client.read_until("Z")) == [[str(number)]]
