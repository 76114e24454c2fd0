"""What these tests need from the machine: an unprivileged user, a folder for it, free ports."""

import os
import pwd
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

# Below the range the kernel hands out to outgoing connections, so that none of them takes a port
# between our finding it and the server's binding it.
LOWEST_PORT, HIGHEST_PORT = 10240, 32000

# A unix socket's path has 107 bytes; ours need about 40 beyond the folder.
LONGEST_FOLDER = 60


class Account(NamedTuple):
    """The user the servers run as; None means the one running the tests."""

    name: Optional[str]

    def popen_arguments(self):
        """What to add to subprocess.Popen or run()."""
        if self.name is None:
            return {}
        entry = pwd.getpwnam(self.name)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def take(self, path):
        """Give a file or folder to this user."""
        if self.name is not None:
            shutil.chown(path, self.name)


def server_account():
    """PostgreSQL and the pooler refuse to run as root: then take the user made for such things."""
    if os.geteuid() != 0:
        return Account(None)
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return Account(name)
        except KeyError:
            continue
    raise RuntimeError("running as root, and there is neither a user postgres nor nobody")


def reachable_folder(account):
    """A new temporary folder that the account owns and can reach, with a short path."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > LONGEST_FOLDER - 16 or not _all_may_enter(parent):
        parent = Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix="pke2e-", dir=parent))
    folder.chmod(0o755)
    account.take(folder)
    return folder


def _all_may_enter(folder):
    if os.geteuid() != 0:
        return True
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def free_port():
    """A loopback port nobody listens on. Another may still take it: callers try again."""
    while True:
        port = random.SystemRandom().randint(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def is_listening(port):
    """Whether somebody listens on this TCP port, found out without connecting to it."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        if local.endswith(wanted) and state == "0A":
            return True
    return False


def is_listening_on_unix(path):
    """The same of a unix socket: its file is there a moment before anybody listens on it."""
    accepts = "00010000"
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[-1] == str(path) and fields[3] == accepts:
            return True
    return False
