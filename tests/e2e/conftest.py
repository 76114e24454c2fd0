"""The fixtures: one PostgreSQL cluster per test process, one pooler per test.

Run: pytest tests/e2e -n 2. Environment: PERFKIT_POOLER names another pooler (a sanitizer build, or
pgbouncer to see how it fares), PG_CONFIG another PostgreSQL, PERFKIT_TEST_PATIENCE stretches
deadlines, PERFKIT_TEST_LOGS keeps the logs of failed tests. As root, the servers run as postgres (or
nobody).
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))

# Nothing of the caller's environment may lead libpq elsewhere.
for name in [n for n in os.environ if n.startswith("PG") and n != "PG_CONFIG"]:
    del os.environ[name]

from cluster import Cluster  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from pooler import Pooler, pooler_binary  # noqa: E402
from waiting import PATIENCE, wait_until  # noqa: E402

pytest_plugins = ("papers", "home_cluster")

# No test takes this long, in seconds, unless something hangs.
TEST_SECONDS = int(90 * PATIENCE)

# PostgreSQL needs a moment to notice that a client of its has gone.
SETTLE_SECONDS = 5 * PATIENCE


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of its poolers' logs, and keeps them whole where
    PERFKIT_TEST_LOGS names a folder."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for pooler in getattr(item, "poolers", ()):
            log = pooler.log()
            report.sections.append((f"log of {pooler.folder.name}", log[-8000:]))
            if folder := os.environ.get("PERFKIT_TEST_LOGS"):
                Path(folder).mkdir(parents=True, exist_ok=True)
                name = re.sub(r"\W+", "-", f"{item.name} {pooler.folder.name}")
                (Path(folder) / f"{name}.log").write_text(log)


@pytest.fixture(autouse=True)
def hang_guard():
    """End a test that hangs, with the stack of where it hung."""

    def on_alarm(_number, _frame):
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def base_folder():
    """A folder for all files of this test process, with a copy of the pooler in it.

    The copy is there because the unprivileged user may not be able to reach the checkout."""
    account = server_account()
    folder = reachable_folder(account)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def binary(base_folder):
    source = shutil.which(pooler_binary())
    assert source, f"{pooler_binary()} is not there or not executable: build the pooler first"
    copy = base_folder / "pooler-under-test"
    shutil.copy(source, copy)
    copy.chmod(0o755)
    return copy


@pytest.fixture(scope="session")
def cluster(base_folder):
    """The PostgreSQL cluster; a test that stops it starts it again."""
    server = Cluster(base_folder, server_account())
    server.create()
    yield server
    server.stop()


_numbers = itertools.count(1)


@contextlib.contextmanager
def pooler_factory(binary, cluster, owner):
    """Yields a function that starts poolers; ends them, and sees that they left nothing behind."""
    started = []

    def start(**settings):
        folder = cluster.folder.parent / f"p{next(_numbers)}"
        folder.mkdir(mode=0o755)
        cluster.account.take(folder)
        pooler = Pooler(binary, folder, cluster, **settings)
        started.append(pooler)
        owner.poolers = started
        return pooler.start()

    try:
        yield start
    finally:
        with contextlib.ExitStack() as all_of_them:
            for pooler in started:
                if pooler.process is not None:
                    all_of_them.callback(pooler.stop)
        _expect_no_backends(cluster)


def _expect_no_backends(cluster):
    """No server connection outlives its pooler; one that does must not disturb the next test."""
    try:
        wait_until(lambda: not cluster.backends(), "all server connections to end", SETTLE_SECONDS)
    except AssertionError as left_over:
        activity = cluster.sql(
            "select pid, state, query from pg_stat_activity where usename <> 'postgres'"
        )
        cluster.terminate(cluster.backends())
        raise AssertionError(f"{left_over}: {activity}") from None


@pytest.fixture
def make_pooler(binary, cluster, request):
    """make_pooler(**settings) -> a running Pooler, stopped and checked after the test."""
    with pooler_factory(binary, cluster, request.node) as start:
        yield start


@pytest.fixture(params=[1, 4], ids=["1thread", "4threads"])
def threads(request):
    """For tests whose subject crosses threads."""
    return request.param


@contextlib.contextmanager
def unnoticed(pooler):
    """Whatever happens inside, a client that was there before and one that comes after are well."""
    before = pooler.connect()
    assert before.execute("select 1").fetchone() == (1,)
    yield before
    assert pooler.process.poll() is None, "the pooler died"
    assert before.execute("select 2").fetchone() == (2,)
    with pooler.connect() as after:
        assert after.execute("select 3").fetchone() == (3,)
