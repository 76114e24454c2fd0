#!/usr/bin/python3
"""PostgreSQL's own regression and isolation suites in databases that have the extension.

    run.py SOURCES RESULT-FOLDER [TEST...]    SOURCES as tools/pgsource.sh makes it

Three clusters, one after the other:

    off      perfkit is loaded and created, and looks at nothing: the yardstick
    on       everything is captured, at every level, with plans, live plans and parameters
    chaos    as on, and each statement has 30 ms: nobody asks what the tests print

Judged are: what the tests print (on beside off), how much was captured, the books at rest, that the
server has survived, and the server's log against the rows (errorlog.py). One line a judgement, `ok` or
`not ok`; what differs is in RESULT-FOLDER/differences. Named tests (of the regression suite) replace
both schedules, for a look at some.
"""

import difflib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "pgsuite")]
for name in [n for n in os.environ if n.startswith("PG") and n != "PG_CONFIG"]:
    del os.environ[name]

import errorlog  # noqa: E402
from cluster import Cluster, pg_bindir  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from upstream import copy_isolation, copy_regress, runner  # noqa: E402
from waiting import wait_until  # noqa: E402

USER = "postgres"
CHAOS_TIMEOUT = "30ms"
FEWEST_RECORDS = 10_000
REST_SECONDS = 120
SUITE_SECONDS = 3600  # a suite that takes longer hangs
FEWEST_TESTS = 100  # of each suite

# Runs before the extension is there: any transaction open beside its VACUUM, as of the worker that stores rows,
# leaves pages that are not all visible, and create_index then prints other plans.
SET_UP = "test_setup"

# suite -> its database, its program, its schedule
SUITES = {
    "regress": ("regression", "pg_regress", "parallel_schedule"),
    "isolation": ("isolation_regression", "pg_isolation_regress", "isolation_schedule"),
}

COMMON = """
shared_preload_libraries = 'perfkit'
compute_query_id = regress
max_worker_processes = 16
max_prepared_transactions = 2
wal_level = replica
autovacuum = on
max_wal_size = 4GB
log_destination = 'jsonlog'
logging_collector = on
log_filename = 'server.log'
log_rotation_age = 0
log_rotation_size = 0
perfkit.flush_interval = '200ms'
perfkit.ring_size = '128MB'
perfkit.max_databases = 4
"""

# The yardstick.
OFF = """
perfkit.track = none
perfkit.slow_query_threshold = -1
perfkit.log_errors = off
"""

# Everything there is to do for a statement.
ON = """
perfkit.track = all
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.capture_plan = actual
perfkit.live_plan_min_cost = 0
perfkit.log_new_plans = all
perfkit.track_cpu = on
perfkit.persist_running_after = '300ms'
perfkit.wait_sample_interval = '20ms'
"""

BOOKS = """
SELECT name, value FROM perfkit.status
WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'
"""


def patient_specs(inputs, schedule):
    """Those of the schedule that end when statements fail: others wait for ever for what one was to say."""
    lines = (inputs / schedule).read_text().splitlines()
    names = [name for line in lines if line.startswith("test:") for name in line.split()[1:]]
    return [n for n in names if " notices " not in (inputs / "specs" / f"{n}.spec").read_text()]


def without_set_up(inputs, schedule):
    """The name of a schedule beside that one, for a database that is set up."""
    lines = (inputs / schedule).read_text().splitlines(True)
    rest = f"{schedule}_after_set_up"
    (inputs / rest).write_text("".join(line for line in lines if line.split() != ["test:", SET_UP]))
    return rest


class Run:
    """Both suites against one cluster."""

    def __init__(self, name, settings, base, account, result):
        self.name = name
        self.settings = settings
        self.base = base
        self.account = account
        self.log = result / f"{name}.log"
        self.folder = base / name
        self.folder.mkdir()
        account.take(self.folder)
        self.cluster = None

    def start(self):
        self.cluster = Cluster(self.folder, self.account)
        self.cluster.create()
        with open(self.cluster.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(COMMON + self.settings)
        self.cluster.stop()
        self.cluster.start()

    def logs(self):
        """The files of the server's log."""
        return sorted((self.cluster.folder / "log").glob("*.json"))

    def results(self, suite):
        return self.folder / suite / "results"

    def suite(self, suite, tests=(), existing=False):
        """Runs it; what PostgreSQL expects is not the question here."""
        database, program, schedule = SUITES[suite]
        inputs = self.base / suite
        out = self.folder / suite
        out.mkdir()
        self.account.take(out)
        command = [
            runner(program), f"--bindir={pg_bindir()}", f"--inputdir={inputs}", f"--outputdir={out}",
            f"--host={self.cluster.host}", f"--port={self.cluster.port}", f"--user={USER}",
            f"--dbname={database}", "--max-concurrent-tests=20",
        ]  # fmt: skip
        command += [f"--dlpath={inputs}"] if suite == "regress" else []
        if existing and suite == "isolation" and not tests:
            tests = patient_specs(inputs, schedule)
        if suite == "regress" and not existing:
            self.run([*command, SET_UP], out)
            self.cluster.sql("create extension perfkit", database)
            existing = True
            if tests:
                tests = [name for name in tests if name != SET_UP] or [SET_UP]
            schedule = without_set_up(inputs, schedule)
        command += ["--use-existing"] if existing else ["--load-extension=perfkit"]
        self.run([*command, *(tests or [f"--schedule={inputs}/{schedule}"])], out)

    def run(self, command, folder):
        """Waits for its end and leaves what it says in the log."""
        with open(self.log, "ab") as log:
            subprocess.run(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                check=False,
                timeout=SUITE_SECONDS,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PG_COLOR": "never"},
                **self.account.popen_arguments(),
            )

    def make_databases(self):
        """In place of what pg_regress makes: it could not, with so little time for each statement."""
        for database, _, _ in SUITES.values():
            self.cluster.sql(f"create database {database} template template0")
            self.cluster.sql("create extension perfkit", database)
            self.cluster.sql(f"alter database {database} set statement_timeout = '{CHAOS_TIMEOUT}'")

    def books(self, database):
        with self.cluster.connect(database, options="-c perfkit.track=none -c statement_timeout=0") as c:
            return dict(c.execute(BOOKS).fetchall())

    def rest(self, database):
        """The books when nothing is pending any more."""
        wait_until(
            lambda: self.books(database)["pending"] == 0,
            lambda: f"{database}: {self.books(database)}",
            REST_SECONDS,
        )
        return self.books(database)


def judged(good, what):
    print(f"{'ok' if good else 'not ok'} - {what}", flush=True)
    return good


def expected_by_postgresql(inputs, test, text):
    """Whether PostgreSQL takes this output for right: it knows several for some tests."""
    accepted = [inputs / "expected" / f"{test}{suffix}.out" for suffix in ("", *(f"_{n}" for n in range(10)))]
    return any(path.exists() and path.read_bytes() == text for path in accepted)


def compare(off, on, suite, inputs, whole, differences):
    """A judgement for each test."""
    tests = sorted(path.stem for path in off.results(suite).glob("*.out"))
    expected = 0
    for test in tests:
        a = (off.results(suite) / f"{test}.out").read_bytes()
        path = on.results(suite) / f"{test}.out"
        b = path.read_bytes() if path.exists() else b""
        right = expected_by_postgresql(inputs, test, b)
        expected += right
        if a != b and not right:
            lines = [text.decode(errors="replace").splitlines(True) for text in (a, b)]
            differences.writelines(difflib.unified_diff(*lines, f"off/{test}.out", f"on/{test}.out"))
        judged(a == b or right, f"{suite} {test}")
    print(f"# {suite}: of {len(tests)} tests {expected} print what PostgreSQL expects, with everything captured")
    if whole:
        judged(len(tests) >= FEWEST_TESTS, f"{suite}: {len(tests)} tests ran")


def judge_books(run, database):
    books = run.rest(database)
    dropped = {name: value for name, value in books.items() if name.startswith("dropped") and value}
    difference = books["captured"] - books["stored"] - sum(dropped.values()) - books["pending"]
    what = f"{run.name} {database}: captured {books['captured']}, stored {books['stored']}"
    what += "".join(f", {name} {value}" for name, value in dropped.items())
    judged(difference == 0, f"{what}: the books balance")
    return books["captured"]


def judge_survival(run):
    """No process was lost, no start was unclean."""
    signs = ("was terminated by signal", "PANIC", "terminating connection because of crash")
    found = []
    for path in run.logs():
        for text in path.read_text(errors="replace").splitlines():
            message = json.loads(text)
            if any(sign in message.get("message", "") for sign in signs) or message["error_severity"] == "PANIC":
                found.append(message["message"])
    judged(not found, f"{run.name}: the server has survived{': ' + found[0] if found else ''}")


def judge_errors(run, differences):
    for database, _, _ in SUITES.values():
        dsn = f"host={run.folder} port={run.cluster.port} user={USER} dbname={database}"
        verdict = errorlog.judge(errorlog.lines_of(run.logs(), database), errorlog.rows_of(dsn))
        errorlog.report(verdict, f"{run.name} {database}", differences)


def run_off(run, tests):
    run.start()
    try:
        for suite in SUITES:
            run.suite(suite, tests)
    finally:
        run.cluster.stop()


def run_on(run, tests, existing, differences):
    """With everything captured; what was captured is judged before the server stops."""
    run.start()
    try:
        if existing:
            run.make_databases()
        for suite in SUITES:
            run.suite(suite, tests, existing)
        captured = 0
        for database, _, _ in SUITES.values():
            captured += judge_books(run, database)
        if not tests:
            judged(captured >= FEWEST_RECORDS, f"{run.name}: {captured} statements were captured")
        judge_errors(run, differences)
        judge_survival(run)
    finally:
        run.cluster.stop()


def main():
    sources, result = (Path(argument).resolve() for argument in sys.argv[1:3])
    tests = sys.argv[3:]
    if tests:
        del SUITES["isolation"]
    account = server_account()
    base = reachable_folder(account)
    try:
        copy_regress(sources / "regress", base / "regress", account)
        copy_isolation(sources / "isolation", base / "isolation", account)
        off, on, chaos = (
            Run(name, settings, base, account, result)
            for name, settings in (("off", OFF), ("on", ON), ("chaos", ON))
        )
        with open(result / "differences", "w", encoding="utf-8", errors="replace") as differences:
            run_off(off, tests)
            run_on(on, tests, False, differences)
            for suite in SUITES:
                compare(off, on, suite, base / suite, not tests, differences)
            run_on(chaos, tests, True, differences)
    finally:
        for run in base.glob("*/pg/log/*.json"):
            shutil.copy(run, result / f"{run.parents[2].name}-{run.name}")
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
