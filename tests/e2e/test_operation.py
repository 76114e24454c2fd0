"""What an operator does with the process: the background, its files, logs, user, service manager."""

import contextlib
import fcntl
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

import wire
from machine import free_port, is_listening
from pooler import ADMIN
from test_config import config_value, run
from waiting import wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def select_one(pooler):
    with pooler.connect() as client:
        assert client.execute("select 1").fetchone() == (1,)


@contextlib.contextmanager
def in_background(pooler, *options):
    """Start it anew with -d; yields what the command said. The service is ended."""
    pidfile = Path(pooler.settings["pidfile"])
    done = run(pooler.binary, pooler.cluster, "-d", *options, pooler.ini)
    try:
        yield done
        if done.returncode == 0:
            os.kill(int(pidfile.read_text()), signal.SIGINT)
            wait_until(lambda: not pidfile.exists(), "the service to end")
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(pidfile.read_text()), signal.SIGKILL)


def files(pooler, **more):
    """Log and pid file in the pooler's folder, and everything else that is given."""
    pooler.settings.update(logfile=pooler.folder / "service.log",
                           pidfile=pooler.folder / "service.pid", **more)  # fmt: skip
    pooler.write()
    return pooler.settings["logfile"], pooler.settings["pidfile"]


# ---- the background


def test_background_is_ready_when_the_command_returns(make_pooler):
    pooler = make_pooler()
    pooler.stop()
    log, pidfile = files(pooler)
    with in_background(pooler) as done:
        assert (done.returncode, done.stdout) == (0, ""), done
        assert pooler.listens() and int(pidfile.read_text()) > 0
        select_one(pooler)
        # Nothing of the terminal is left: no descriptor of the starter's, a session of its own.
        pid = int(pidfile.read_text())
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        assert os.getsid(pid) == pid
        pooler.close_clients()
    assert "is up" in log.read_text()


@pytest.mark.parametrize("broken", ["port", "log", "pidfile"])
def test_background_that_fails_tells_its_starter(make_pooler, broken):
    """The exit code and stderr say so, although it happens in another process."""
    pooler = make_pooler()
    files(pooler)
    if broken != "port":
        pooler.stop()
    if broken == "log":
        files(pooler)
        pooler.settings["logfile"] = pooler.folder / "nowhere" / "log"
        pooler.write()
    holder = None
    if broken == "pidfile":
        holder = open(pooler.settings["pidfile"], "w")
        fcntl.flock(holder, fcntl.LOCK_EX)
        print(os.getpid(), file=holder, flush=True)
        pooler.account.take(pooler.settings["pidfile"])
    done = run(pooler.binary, pooler.cluster, "-d", pooler.ini)
    assert done.returncode == 1, done
    assert {"port": "in use", "log": "nowhere", "pidfile": f"pid {os.getpid()}"}[broken] in done.stderr
    if holder is not None:
        holder.close()


@pytest.mark.parametrize("missing", ["pidfile", "logfile"])
def test_background_needs_its_files(make_pooler, missing):
    """As in PgBouncer: without them nobody would find the process, or what it says."""
    pooler = make_pooler()
    pooler.stop()
    files(pooler)
    pooler.settings[missing] = None
    pooler.write()
    done = run(pooler.binary, pooler.cluster, "-d", pooler.ini)
    assert done.returncode == 1 and missing in done.stderr


# ---- the pid file


def test_stale_pidfile(make_pooler):
    """What a killed process left is taken over, though its number belongs to somebody else now."""
    pooler = make_pooler()
    pooler.stop()
    _, pidfile = files(pooler)
    pidfile.write_text(f"{os.getpid()}\n")
    pooler.account.take(pidfile)
    pooler.start()
    assert int(pidfile.read_text()) == pooler.process.pid
    assert "left behind" in pooler.log()
    pooler.stop()
    assert not pidfile.exists()


def test_second_start(make_pooler):
    """Refused while the first runs, which keeps its file; a reload does not change whose it is."""
    pooler = make_pooler()
    pooler.stop()
    _, pidfile = files(pooler)
    pooler.start()
    second = pooler.folder / "second.ini"
    second.write_text(
        f"[databases]\n[pgbouncer]\nauth_type = trust\npidfile = {pidfile}\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {free_port()}\nunix_socket_dir =\n"
    )
    done = run(pooler.binary, pooler.cluster, second)
    assert done.returncode == 1
    assert "its process runs" in done.stderr and f"pid {pooler.process.pid}" in done.stderr
    pooler.settings["pidfile"] = pooler.folder / "other.pid"
    pooler.write()
    pooler.settings["pidfile"].write_text("untouched")
    pooler.command("reload")
    pooler.stop()
    assert not pidfile.exists()
    assert pooler.settings["pidfile"].read_text() == "untouched"


def test_reboot_option(make_pooler):
    """-R stands in many a start script: it does no harm, and nothing is taken over."""
    pooler = make_pooler(options=["-R"])
    assert "-R" in pooler.log() and "so_reuseport" in pooler.log()
    select_one(pooler)
    done = run(pooler.binary, pooler.cluster, "-R", pooler.ini)
    assert done.returncode == 1 and "in use" in done.stderr
    select_one(pooler)


# ---- logs


@pytest.mark.parametrize("file", ["good", "bad"])
def test_log_rotation(make_pooler, file):
    """HUP opens the log file anew, whether or not it can use the configuration it finds."""
    pooler = make_pooler()
    pooler.stop()
    log, _ = files(pooler)
    pooler.start()
    rotated = log.rename(pooler.folder / "service.log.1")
    if file == "bad":
        pooler.tail = "nonsense = 1\n"
        pooler.write()
    pooler.signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and log.read_text(), "a line in the new file")
    assert "is up" in rotated.read_text() and "is up" not in log.read_text()


def test_quiet(make_pooler):
    """-q: stderr stays empty, the file has it all."""
    pooler = make_pooler()
    pooler.stop()
    log, _ = files(pooler)
    pooler.options = ["-q"]
    pooler.start()
    select_one(pooler)
    wait_until(lambda: "is up" in log.read_text(), "the line in the file")
    assert pooler.log() == ""


def test_verbose_option_outlives_a_reload(make_pooler):
    """-v: more is logged, whatever verbose says in the file; without it verbose decides."""
    pooler = make_pooler(options=["-v"], verbose=0)
    pooler.command("reload")
    select_one(pooler)
    assert re.search(r"DEBUG c\d+ app/alice \S+: has s\d+", pooler.log())


def test_verbose(make_pooler):
    """verbose: who has which server when, from one reload to another."""
    pooler = make_pooler()
    select_one(pooler)
    assert " DEBUG " not in pooler.log()
    pooler.settings["verbose"] = 1
    pooler.write()
    pooler.command("reload")
    select_one(pooler)
    assert re.search(r"DEBUG c\d+ \(nodb\)/\(nouser\) \S+: connected", pooler.log())
    # which it says when the client has its answer
    wait_until(
        lambda: re.search(r"DEBUG c\d+ app/alice \S+: gives back s\d+", pooler.log()),
        "the server is given back",
    )
    pooler.settings["verbose"] = 0
    pooler.write()
    pooler.command("reload")
    before = pooler.log().count(" DEBUG c")
    with pooler.connect() as client:
        client.execute("select 1")
    assert pooler.log().count(" DEBUG c") == before


def test_log_pooler_errors(make_pooler):
    """What a client is told at its end stands in the log, unless nobody wants it there."""
    pooler = make_pooler(log_disconnections=0)
    for wanted in (1, 0):
        pooler.settings["log_pooler_errors"] = wanted
        pooler.write()
        pooler.command("reload")
        name = f"nowhere{wanted}"
        with pytest.raises(psycopg.OperationalError, match=name):
            pooler.connect(name)
        assert (f"no such database: {name}" in pooler.log()) == bool(wanted)


@pytest.fixture
def dev_with_log(base_folder, make_pooler):
    """A folder to stand in for /dev, with a syslog socket that we read."""
    dev = Path(tempfile.mkdtemp(dir=base_folder))
    dev.chmod(0o755)
    for name in ("null", "zero", "urandom", "random"):
        (dev / name).touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(dev / "log"))
        (dev / "log").chmod(0o777)
        log.setblocking(False)
        yield dev, log


def received(log):
    """The lines that stand in the socket now."""
    lines = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines.append(log.recv(65536).decode())
    return lines


def can_unshare():
    command = ["unshare", "--map-root-user", "--user", "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no namespaces for a /dev of our own")
def test_syslog(make_pooler, dev_with_log):
    """Lines under facility and name of the file, as it is now; a full daemon holds nobody up."""
    dev, log = dev_with_log
    mounts = " && ".join(
        [f"mount --bind /dev/{n} {dev}/{n}" for n in ("null", "zero", "urandom", "random")]
        + [f"mount --rbind {dev} /dev", 'exec "$0" "$@"']
    )
    pooler = make_pooler(
        syslog=1, syslog_facility="local3", syslog_ident="front",
        wrapper=["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", mounts],
    )  # fmt: skip
    pid = pooler.process.pid
    # 19 is local3, 6 is info.
    (up,) = [line for line in received(log) if "is up" in line]
    assert up.startswith(f"<{19 * 8 + 6}>front[{pid}]: perfkit-pooler")
    pooler.settings.update(syslog_facility="daemon", syslog_ident="back")
    pooler.write()
    pooler.command("reload")
    received(log)
    select_one(pooler)
    assert any(line.startswith(f"<{3 * 8 + 6}>back[{pid}]: c") for line in received(log))
    # Nobody reads: the socket takes a few lines, and the rest is not waited for.
    for _ in range(300):
        pooler.wire_login().close()
    select_one(pooler)
    pooler.settings["syslog"] = 0
    pooler.write()
    received(log)
    pooler.command("reload")
    received(log)
    select_one(pooler)
    assert received(log) == []


def test_syslog_facility_is_checked(make_pooler):
    pooler = make_pooler()
    pooler.settings["syslog_facility"] = "local9"
    pooler.write()
    with pytest.raises(psycopg.Error, match="local9.*local7"):
        pooler.command("reload")


def test_syslog_without_a_daemon(make_pooler):
    """One warning at start; the pooler serves."""
    if Path("/dev/log").exists():
        pytest.skip("this machine has a log daemon")
    pooler = make_pooler(syslog=1)
    assert "syslog: nobody takes the lines" in pooler.log()
    select_one(pooler)


# ---- who it is


def identity(pid):
    """Real, effective and saved ids of user and group, and the other groups."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return (set(status["Uid"].split()), set(status["Gid"].split()), set(status["Groups"].split()))


@AS_ROOT
@pytest.mark.parametrize("how", ["option", "setting"])
def test_user(make_pooler, how):
    """Started by root it becomes this user for good, with this user's groups and no other."""
    pooler = make_pooler()
    pooler.stop()
    name = pooler.account.name
    entry = pwd.getpwnam(name)
    pooler.popen = {"user": 0, "group": 0, "extra_groups": [0]}
    if how == "option":
        pooler.options = ["-u", name]
        pooler.settings["user"] = "root"  # the command line counts
    else:
        pooler.settings["user"] = name
    pooler.start()
    groups = {str(g) for g in os.getgrouplist(name, entry.pw_gid)}
    assert identity(pooler.process.pid) == ({str(entry.pw_uid)}, {str(entry.pw_gid)}, groups)
    select_one(pooler)


@AS_ROOT
@pytest.mark.parametrize("user", [None, "root", "nobody-of-this-name"])
def test_no_root(make_pooler, user):
    """It does not run as root, whoever asks for it."""
    pooler = make_pooler()
    pooler.stop()
    pooler.settings["user"] = user
    pooler.write()
    done = subprocess.run(
        [pooler.binary, pooler.ini], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    assert ("no such user" if user and "nobody" in user else "root") in done.stderr


def test_foreign_user(make_pooler):
    """Who is not root cannot become anybody else."""
    pooler = make_pooler()
    pooler.stop()
    done = run(pooler.binary, pooler.cluster, "-u", "daemon", pooler.ini)
    assert done.returncode == 1 and "not permitted" in done.stderr


# ---- the configuration file


def test_conffile(make_pooler):
    """The next reload reads the file that this setting names, and so on from there."""
    pooler = make_pooler(default_pool_size=3)
    other = pooler.folder / "other.ini"
    other.write_text(pooler.ini.read_text().replace("default_pool_size = 3", "default_pool_size = 7"))
    pooler.account.take(other)
    pooler.settings["conffile"] = other
    pooler.write()
    pooler.command("reload")
    assert (config_value(pooler, "default_pool_size"), config_value(pooler, "conffile")) == (
        "3", str(other),
    )  # fmt: skip
    pooler.command("reload")
    assert (config_value(pooler, "default_pool_size"), config_value(pooler, "conffile")) == (
        "7", str(other),
    )  # fmt: skip


RESTART = {
    "disable_pqexec": "1",
    "listen_addr": "127.0.0.2",
    "listen_backlog": "77",
    "listen_port": "1",
    "pidfile": "/tmp/other.pid",
    "resolv_conf": "/nowhere",
    "so_reuseport": "1",
    "threads": "7",
    "track_extra_parameters": "search_path",
    "unix_socket_dir": "/nowhere",
    "unix_socket_group": "staff",
    "unix_socket_mode": "0700",
    "user": "daemon",
}


@pytest.mark.parametrize("by", ["signal", "command"])
def test_reload_names_what_needs_a_restart(make_pooler, by):
    """Each of them, by name and as often as it is asked for, in the log and on the console; they
    stay what they are, and what can be applied is applied beside them."""
    pooler = make_pooler(default_pool_size=3)
    port = pooler.port
    console = pooler.console()
    before = {key: config_value(pooler, key) for key in RESTART}
    written = {k: v for k, v in RESTART.items() if k != "listen_port"}
    kept = {key: pooler.settings.get(key) for key in written}
    pooler.settings.update(written, default_pool_size=4)
    pooler.port = RESTART["listen_port"]
    pooler.write()
    pooler.port = port
    pooler.settings.update(kept)
    heard = []
    console.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    for count in (1, 2):
        if by == "signal":
            pooler.signal(signal.SIGHUP)
        else:
            console.execute("reload")
        wait_until(lambda n=count: pooler.log().count("configuration reloaded") == n, "the reload")
        for key in RESTART:
            assert pooler.log().count(f'"{key}" needs a restart') == count
    rows = {row["key"]: row["value"] for row in console.execute("show config")}
    assert {key: rows[key] for key in RESTART} == before
    assert rows["default_pool_size"] == "4"
    said = [sorted(text.removeprefix("needs a restart: ").split(", ")) for text in heard]
    assert said == ([sorted(RESTART)] * 2 if by == "command" else [])
    # a SET, and users who have changed, begin with the same file
    console.execute("set query_timeout = 7")
    rows = {row["key"]: row["value"] for row in console.execute("show config")}
    assert {key: rows[key] for key in RESTART} == before
    assert is_listening(port)
    select_one(pooler)


def test_signal_while_settings_change(make_pooler):
    """A signal that meets a SET under way is not lost."""
    pooler = make_pooler(threads=4)
    console = pooler.wire_login("pgbouncer", ADMIN)
    console.send(b"".join(wire.query(f"set query_timeout = {n}") for n in range(1, 301)))
    pooler.settings["default_pool_size"] = 31
    pooler.write()
    pooler.signal(signal.SIGHUP)
    console.read_until("Z" * 300)
    wait_until(lambda: config_value(pooler, "default_pool_size") == "31", "the reload")


# ---- the service manager


@pytest.fixture
def manager(base_folder):
    """The socket of a service manager; its address and it."""
    path = Path(base_folder) / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        path.chmod(0o777)
        heard.setblocking(False)
        yield str(path), heard
    path.unlink()


def next_word(heard):
    """What the manager is told next, as a dictionary."""
    (said,) = wait_until(lambda: received_one(heard), "a word to the service manager")
    return dict(line.split("=", 1) for line in said.splitlines())


def received_one(heard):
    with contextlib.suppress(BlockingIOError):
        return [heard.recv(4096).decode()]
    return []


def test_notify(make_pooler, manager):
    """Ready when it listens, reloading while it reads its file, stopping when it begins to."""
    address, heard = manager
    pooler = make_pooler(popen={"env": {"NOTIFY_SOCKET": address}})
    assert next_word(heard) == {"READY": "1", "MAINPID": str(pooler.process.pid)}
    for tail in ("", "nonsense = 1\n"):
        pooler.tail = tail
        pooler.write()
        pooler.signal(signal.SIGHUP)
        reloading = next_word(heard)
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
        assert next_word(heard)["READY"] == "1"
    pooler.signal(signal.SIGINT)
    assert next_word(heard) == {"STOPPING": "1"}
    # What it was told is not for those that it might start.
    pooler.wait_exit()


def test_notify_from_the_background(make_pooler, manager):
    """With -d the manager learns which process it is."""
    address, heard = manager
    pooler = make_pooler()
    pooler.stop()
    _, pidfile = files(pooler)
    before = os.environ.get("NOTIFY_SOCKET")
    assert before is None
    command = [str(pooler.binary), "-d", str(pooler.ini)]
    done = subprocess.run(
        command, env={**os.environ, "NOTIFY_SOCKET": address}, capture_output=True, text=True,
        check=False, timeout=20, cwd=pooler.folder, **pooler.account.popen_arguments(),
    )  # fmt: skip
    assert done.returncode == 0, done
    pid = int(pidfile.read_text())
    try:
        assert next_word(heard) == {"READY": "1", "MAINPID": str(pid)}
    finally:
        os.kill(pid, signal.SIGINT)
    wait_until(lambda: not pidfile.exists(), "the service to end")


# Run in place of the pooler: puts the sockets where sd_listen_fds(3) says they are.
HAND_OVER = """
import os, sys
fds, command = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
fds = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(command[0], command)
"""


def test_socket_activation(make_pooler):
    """The manager's sockets are listened on in place of the file's, and left to it at the end."""
    pooler = make_pooler()
    pooler.stop()
    path = pooler.folder / "activated"
    path.mkdir(mode=0o755)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        address = path / f".s.PGSQL.{tcp.getsockname()[1]}"
        unix.bind(str(address))
        address.chmod(0o777)
        unix.listen()
        fds = (tcp.fileno(), unix.fileno())
        pooler.wrapper = [sys.executable, "-c", HAND_OVER, ",".join(map(str, fds))]
        pooler.popen = {"pass_fds": fds}
        pooler.listens = lambda: True
        pooler.start()
        assert "2 sockets of the service manager" in pooler.log()
        del pooler.listens
        assert not pooler.listens(), "the file's port is open too"
        for host in ("127.0.0.1", str(path)):
            with pooler.connect(host=host, port=tcp.getsockname()[1]) as client:
                assert client.execute("select 1").fetchone() == (1,)
        pooler.stop()
        assert address.exists()


def test_socket_activation_for_somebody_else(make_pooler):
    """LISTEN_FDS that were meant for another process are not touched."""
    pooler = make_pooler(popen={"env": {"LISTEN_PID": "1", "LISTEN_FDS": "1"}})
    assert "service manager" not in pooler.log()
    select_one(pooler)


def test_activation_without_sockets(make_pooler):
    """A descriptor that is no listening socket is an error, not a busy loop."""
    pooler = make_pooler()
    pooler.stop()
    with open(os.devnull) as null:
        command = [sys.executable, "-c", HAND_OVER, str(null.fileno()), pooler.binary, pooler.ini]
        done = subprocess.run(
            command, pass_fds=[null.fileno()], capture_output=True, text=True, check=False,
            timeout=20, **pooler.account.popen_arguments(),
        )  # fmt: skip
    assert done.returncode == 1 and "not a listening socket" in done.stderr


# ---- file descriptors


def test_descriptor_limit(make_pooler):
    """The soft limit is raised to the hard one; what is still too little is said, in figures."""
    pooler = make_pooler(
        max_client_conn=5000,
        popen={"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))},
    )
    limits = Path(f"/proc/{pooler.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == ["1024", "1024"]
    assert "only 1024 file descriptors" in pooler.log() and "max_client_conn = 5000" in pooler.log()
    pooler.settings["max_client_conn"] = 100
    pooler.write()
    pooler.command("reload")
    assert pooler.log().count("file descriptors are allowed") == 1
    pooler.settings["max_client_conn"] = 6000
    pooler.write()
    pooler.command("reload")
    wait_until(lambda: pooler.log().count("file descriptors are allowed") == 2, "the warning")
