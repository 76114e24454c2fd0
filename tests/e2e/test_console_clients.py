"""The console's other doors: the extended protocol that drivers speak, and the pooler's own user."""

import os
import struct
import subprocess
from decimal import Decimal

import psycopg
import pytest

import wire
from console_columns import COLUMNS, MAY_BE_EMPTY
from pooler import ADMIN, VIEWER
from test_console import console_wire
from test_pooling import busy


def bind_binary(statement="", portal=""):
    """A Bind that wants all columns in binary."""
    return wire.message(
        "B", wire.cstring(portal) + wire.cstring(statement) + struct.pack("!HHHH", 0, 0, 1, 1)
    )


# ---- the extended protocol


@pytest.mark.parametrize("what", COLUMNS)
def test_extended_answers_as_simple(make_pooler, threads, what):
    """The same columns, described before anything has run, and the same rows."""
    pooler = make_pooler(threads=threads)
    client = console_wire(pooler)
    simple = client.query(f"show {what}")
    client.send(wire.extended(f"show {what}"))
    said = client.answer()
    assert wire.kinds(said).startswith("12T") and said[-2:] == [("C", b"SHOW\0"), ("Z", b"I")]
    assert said[2] == simple[0]
    names = wire.column_names(said[2].body)
    assert len(wire.rows(said)) == len(wire.rows(simple)) or what in MAY_BE_EMPTY
    assert all(len(row) == len(names) for row in wire.rows(said))


def test_psycopg_prepares(make_pooler, threads):
    """psycopg 3 with prepared statements, twice over the same ones; orders and errors too."""
    pooler = make_pooler(threads=threads)
    busy(pooler, 2)
    with pooler.console(prepare_threshold=0) as conn:
        for _ in range(3):
            assert conn.execute("show version").fetchone()["version"].startswith("PgBouncer 1.26")
            assert conn.execute("show lists").fetchall()[0] == {"list": "databases", "items": 4}
            assert conn.execute("set verbose = 0").statusmessage == "SET verbose=0"
            assert conn.execute("set extra_float_digits = 3").statusmessage == "SET"
            with pytest.raises(psycopg.errors.SyntaxError, match="invalid command 'frobnicate'"):
                conn.execute("frobnicate")
            with pytest.raises(psycopg.errors.InvalidCatalogName, match="no such database"):
                conn.execute("disable nowhere")
        conn.execute("disable other")
        conn.execute("enable other")


def test_binary_columns(make_pooler, threads):
    """Drivers that want binary numbers get them, of PgBouncer's types; text is the same."""
    pooler = make_pooler(threads=threads)
    busy(pooler, 2)
    client = console_wire(pooler)
    with pooler.connect("pgbouncer", ADMIN) as conn:
        rows = conn.execute("show databases", binary=True).fetchall()
    assert {row[0]: row[2] for row in rows}["app"] == pooler.cluster.port
    with pooler.connect("pgbouncer", ADMIN) as conn:
        for binary in (False, True):
            read = conn.execute("show totals", binary=binary)
            assert {type(row[1]) for row in read} == {Decimal}
            assert {column.type_code for column in read.description} == {25, 1700}
    client.send(wire.parse("show lists") + bind_binary() + wire.describe("P") + wire.execute())
    client.send(wire.SYNC)
    said = client.answer()
    assert wire.kinds(said).startswith("12TD")
    assert said[3].body == struct.pack("!Hi9sii", 2, 9, b"databases", 4, 4)


def test_one_after_the_other(make_pooler, threads):
    """pgJDBC's way: a named statement is described once, its portal read a few rows at a time."""
    client = console_wire(make_pooler(threads=threads))
    client.send(wire.parse("show lists", "s1") + wire.describe("S", "s1") + wire.SYNC)
    said = client.answer()
    assert wire.kinds(said) == "1tTZ" and said[1].body == b"\0\0"
    client.send(wire.bind((), "s1", "p1"))
    for _ in range(3):
        client.send(wire.execute("p1", 5))
    client.send(wire.execute("p1", 5) + wire.SYNC + wire.execute("p1") + wire.SYNC)
    said = client.read_until("ZZ")
    assert wire.kinds(said) == "2" + "DDDDDs" * 2 + "DDDDC" + "EZ" + "EZ"
    assert [wire.fields(m.body)["C"] for m in said if m.type == "E"] == ["55000", "34000"]
    client.send(wire.bind((), "s1") + wire.execute() + wire.close("S", "s1") + wire.SYNC)
    assert wire.kinds(client.answer()) == "2" + "D" * 14 + "C3Z"
    client.send(wire.bind((), "s1") + wire.SYNC)
    assert wire.error(client.answer())["C"] == "26000"


@pytest.mark.parametrize(
    "first, code",
    [
        (wire.parse("show version", "s") + wire.parse("show version", "s"), "42P05"),
        (wire.bind((), "nobody"), "26000"),
        (wire.execute("nobody"), "34000"),
        (wire.describe("S", "nobody"), "26000"),
        (wire.parse("show $1") + wire.bind(("version",)), "08P01"),
        (wire.parse("x" * 5000), "54000"),
        (wire.parse("show stats; show version") + wire.bind() + wire.execute(), "42601"),
        (wire.parse("pause nowhere") + wire.bind() + wire.execute(), "3D000"),
    ],
)
def test_after_an_error_all_is_skipped_up_to_sync(make_pooler, first, code):
    client = console_wire(make_pooler())
    client.send(first + wire.parse("shutdown") + wire.bind() + wire.execute() + wire.SYNC)
    said = client.answer()
    assert wire.error(said)["C"] == code and wire.kinds(said).endswith("EZ")
    assert wire.rows(client.query("show version"))


def test_a_batch_of_all_kinds(make_pooler, threads):
    """What is answered at once and what is asked of other threads, in order, in one write."""
    client = console_wire(make_pooler(threads=threads))
    parts = ["show clients", "set verbose = 0", "show version", "", "reload", "show lists"]
    batch = b"".join(wire.parse(sql) + wire.bind() + wire.execute() for sql in parts)
    client.send(batch + wire.SYNC + wire.query("show state"))
    said = client.read_until("ZZ")
    tags = [m.body for m in said if m.type == "C"]
    assert tags == [b"SHOW\0", b"SET verbose=0\0", b"SHOW\0", b"RELOAD\0", b"SHOW\0", b"SHOW\0"]
    assert wire.kinds(said).count("I") == 1


def test_many_statements(make_pooler):
    """There is an end to what one client may leave with us; the others do not notice."""
    client = console_wire(make_pooler())
    client.send(b"".join(wire.parse("show version", f"s{n}") for n in range(1001)) + wire.SYNC)
    said = client.answer()
    assert wire.kinds(said) == "1" * 1000 + "EZ" and wire.error(said)["C"] == "54000"
    client.send(wire.close("S", "s7") + wire.parse("show lists", "s7") + wire.SYNC)
    assert wire.kinds(client.answer()) == "31Z"


def test_extended_in_single_bytes(make_pooler):
    client = make_pooler().wire_login("pgbouncer", ADMIN, unix=True)
    client.send_split(wire.extended("show version") + wire.extended("show lists"))
    assert wire.kinds(client.read_until("ZZ")).startswith("12TDCZ12TD")


# ---- the user that the pooler runs as


def psql(pooler, name, database, host, command="show version", **more):
    return subprocess.run(
        [pooler.cluster.bindir / "psql", "-XAtw", "-c", command]
        + ["-h", str(host), "-p", str(pooler.port), "-U", name, "-d", database],
        capture_output=True,
        text=True,
        cwd="/",
        **more,
    )


@pytest.mark.parametrize("user", ["pgbouncer", "perfkit"])
@pytest.mark.parametrize("database", ["pgbouncer", "perfkit"])
def test_the_poolers_own_user_is_admin(make_pooler, user, database):
    """Over the unix socket, without a password and without an entry in any file."""
    pooler = make_pooler(auth_type="scram-sha-256")
    same = pooler.account.popen_arguments()
    said = psql(pooler, user, database, pooler.folder, "set verbose = 0", **same)
    assert (said.stdout, said.returncode) == ("SET verbose=0\n", 0), said.stderr
    # By TCP nobody knows who it is; another user of the system, and another name, must log in.
    assert psql(pooler, user, database, pooler.host, **same).returncode != 0
    assert psql(pooler, ADMIN, database, pooler.folder, **same).returncode != 0
    assert psql(pooler, user, "app", pooler.folder, **same).returncode != 0
    if os.geteuid() == 0:
        assert psql(pooler, user, database, pooler.folder).returncode != 0


def test_the_own_user_and_a_database_of_that_name(make_pooler):
    """A site's own database called perfkit is not the console, so its user must log in."""
    pooler = make_pooler(auth_type="scram-sha-256", databases={"perfkit": {"dbname": "app"}})
    same = pooler.account.popen_arguments()
    assert psql(pooler, "perfkit", "perfkit", pooler.folder, **same).returncode != 0
    assert psql(pooler, "perfkit", "pgbouncer", pooler.folder, **same).returncode == 0


def test_viewers_by_the_extended_protocol(make_pooler):
    """The same privileges by another door."""
    client = console_wire(make_pooler(), VIEWER)
    for command in ("reload", "show fds", "set verbose = 1", "kill"):
        client.send(wire.extended(command))
        assert wire.error(client.answer())["M"] == "admin access needed"
    client.send(wire.extended("show pools"))
    assert wire.kinds(client.answer()).startswith("12T")
