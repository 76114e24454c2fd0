"""PostgreSQL's own suites, from its sources, made ready to be run by an unprivileged account."""

import os
import shutil
import subprocess
from pathlib import Path


def pg_config(what):
    program = os.environ.get("PG_CONFIG", "pg_config")
    return Path(subprocess.check_output([program, what], text=True).strip())


def runner(name):
    """The program pg_regress or pg_isolation_regress, which the server packages have."""
    folder = {"pg_regress": "regress", "pg_isolation_regress": "isolation"}[name]
    return pg_config("--pgxs").parent.parent / "test" / folder / name


def build_library(inputs, folder):
    """regress.so and the two modules that the suite loads from beside it."""
    subprocess.run(
        [
            os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-w",
            f"-I{pg_config('--includedir-server')}", str(inputs / "regress.c"),
            "-o", str(folder / "regress.so"),
        ],  # fmt: skip
        check=True,
    )
    for module in ("autoinc.so", "refint.so"):
        shutil.copy(pg_config("--pkglibdir") / module, folder)


def copy_regress(source, folder, account):
    """The inputs of the regression suite in `folder`, with what they load."""
    shutil.copytree(source, folder)
    build_library(folder, folder)
    (folder / "testtablespace").mkdir(exist_ok=True)
    give(folder, account)


def copy_isolation(source, folder, account):
    """The inputs of the isolation suite."""
    shutil.copytree(source, folder)
    give(folder, account)


def give(folder, account):
    for path in (folder, *folder.rglob("*")):
        account.take(path)
