#!/usr/bin/python3
"""PostgreSQL's own regression suite, directly and through the pooler in session mode.

    run.py POOLER REGRESS-FOLDER RESULT-FOLDER

What a test prints through the pooler must be what it prints directly, whether or not that is what
PostgreSQL expects. A test that differs all the same stands in expected_differences with its cause.
One line a test: `ok` or `not ok`; the differences are in RESULT-FOLDER/differences.
"""

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
os.environ["PERFKIT_POOLER"] = sys.argv[1]
for name in [n for n in os.environ if n.startswith("PG") and n != "PG_CONFIG"]:
    del os.environ[name]

from cluster import Cluster, pg_bindir  # noqa: E402
from machine import reachable_folder, server_account  # noqa: E402
from pooler import Pooler  # noqa: E402
from upstream import copy_regress, runner  # noqa: E402

USER = "postgres"
POOL_SIZE = 40  # the schedule's largest group has twenty tests, a few of which reconnect

# As a private cluster of pg_regress would have it.
SETTINGS = """
max_prepared_transactions = 2
wal_level = replica
"""

# What pg_regress asks for in the startup packet, which depends on its version. Through the pooler
# `options` is not passed on, and RESET gives a shared server's own value: there the cluster says it.
ASKED = ("DateStyle", "TimeZone", "IntervalStyle")


class Run:
    """The suite against one way to the server."""

    def __init__(self, name, base, inputs, account, log):
        self.name = name
        self.folder = base / name
        self.folder.mkdir()
        account.take(self.folder)
        self.inputs = inputs
        self.account = account
        self.log = log
        self.results = self.folder / "out" / "results"

    def suite(self, host, port):
        self.regress(
            host, port, self.inputs, f"--schedule={self.inputs}/parallel_schedule",
            f"--dlpath={self.inputs}", "--max-concurrent-tests=20",
        )  # fmt: skip

    def asked(self, host, port):
        """Lines of configuration that say what pg_regress asks for."""
        inputs = self.folder / "asked"
        (inputs / "sql").mkdir(parents=True)
        (inputs / "expected").mkdir()
        (inputs / "expected" / "asked.out").touch()
        shows = "".join(f"show {name};\n" for name in ASKED)
        (inputs / "sql" / "asked.sql").write_text("\\set ECHO none\n\\pset format csv\n\\t\n" + shows)
        self.regress(host, port, inputs, "asked")
        answer = (self.results / "asked.out").read_text().splitlines()[-len(ASKED):]
        shutil.rmtree(self.folder / "out")
        values = [value.strip('"') for value in answer]
        return "".join(f"{name} = '{value}'\n" for name, value in zip(ASKED, values))

    def regress(self, host, port, inputs, *arguments):
        out = self.folder / "out"
        out.mkdir()
        self.account.take(out)
        with open(self.log, "ab") as log:
            subprocess.run(
                [
                    str(runner("pg_regress")), f"--bindir={pg_bindir()}", f"--inputdir={inputs}",
                    f"--outputdir={out}", "--host", host, "--port", str(port),
                    "--user", USER, "--dbname", "regression", *arguments,
                ],  # fmt: skip
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=out,
                check=False,  # what PostgreSQL expects is not the question here
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PG_COLOR": "never"},
                **self.account.popen_arguments(),
            )

    def cluster(self, settings=""):
        made = Cluster(self.folder, self.account)
        made.create()
        with open(made.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(SETTINGS + settings)
        made.stop()
        made.start()
        return made

    def direct(self):
        """What pg_regress asked for."""
        cluster = self.cluster()
        try:
            asked = self.asked(cluster.host, cluster.port)
            self.suite(cluster.host, cluster.port)
        finally:
            cluster.stop()
        return asked

    def pooled(self, binary, settings):
        cluster = self.cluster(settings)
        folder = self.folder / "pooler"
        folder.mkdir(mode=0o755)
        self.account.take(folder)
        pooler = Pooler(
            binary,
            folder,
            cluster,
            databases={"*": f"host={cluster.host} port={cluster.port}"},
            userlist={USER: ""},
            pool_mode="session",
            default_pool_size=POOL_SIZE,
            ignore_startup_parameters="options",
        )
        for name in ("app", "other", "bench"):
            del pooler.databases[name]
        try:
            pooler.start()
            self.suite(pooler.host, pooler.port)
            pooler.stop()
        finally:
            if pooler.process is not None and pooler.process.poll() is None:
                pooler.process.kill()
            cluster.stop()


def expected_differences():
    """test -> cause"""
    lines = (HERE / "expected_differences").read_text().splitlines()
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            test, _, cause = line.partition(":")
            found[test.strip()] = cause.strip()
    return found


def compare(direct, pooled, out):
    """Prints a line a test; whether all is well."""
    expected = expected_differences()
    well = True
    tests = sorted(p.stem for p in direct.glob("*.out"))
    with open(out, "w", encoding="utf-8") as differences:
        for test in tests:
            a = (direct / f"{test}.out").read_text(errors="replace").splitlines(True)
            path = pooled / f"{test}.out"
            b = path.read_text(errors="replace").splitlines(True) if path.exists() else []
            same = a == b
            if not same:
                differences.writelines(
                    difflib.unified_diff(a, b, f"direct/{test}.out", f"pooled/{test}.out")
                )
            if same or test in expected:
                print(f"ok - {test}" + ("" if same else f" # differs: {expected[test]}"))
            else:
                print(f"not ok - {test}")
                well = False
    if len(tests) < 100:
        print(f"not ok - only {len(tests)} tests ran")
        well = False
    return well


def main():
    binary, source, result = (Path(argument).resolve() for argument in sys.argv[1:])
    account = server_account()
    base = reachable_folder(account)
    log = result / "pg_regress.log"
    log.write_text("")
    try:
        inputs = base / "regress"
        copy_regress(source, inputs, account)
        copy = base / "perfkit-pooler"
        shutil.copy(binary, copy)
        copy.chmod(0o755)
        direct = Run("direct", base, inputs, account, log)
        asked = direct.direct()
        print("# pg_regress asks for", asked.replace("\n", "; "))
        pooled = Run("pooled", base, inputs, account, log)
        pooled.pooled(copy, asked)
        return 0 if compare(direct.results, pooled.results, result / "differences") else 1
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
