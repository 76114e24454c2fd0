"""max_statement_length: what is longer is refused, and only that."""

import pytest

import wire
from limits import by_name, limit, reload
from test_pooling import MY_PID, busy, pid_of
from waiting import wait_until

FITS = "select 1" + " " * 92
TOO_LONG = FITS + " "


def expect_too_long(said, kinds="EZ", status=b"I"):
    assert wire.kinds(said) == kinds and said[-1].body == status
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("ERROR", "54000")
    assert "max_statement_length" in fields["M"] and fields["H"]


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_statement_length(make_pooler, where):
    """A hundred bytes are let through, one more is not; the client stays and needed no server."""
    pooler = make_pooler(default_pool_size=1, **limit(where, "max_statement_length", 100))
    client = pooler.wire_login()
    pid = pid_of(pooler.connect())
    assert client.values(FITS) == [["1"]]
    holder = busy(pooler, 1)[0]
    expect_too_long(client.query(TOO_LONG))
    expect_too_long(client.query("select '" + "x" * 1_000_000 + "'"))
    client.send(wire.extended(TOO_LONG))
    expect_too_long(client.read_until("Z"))
    holder.execute("commit")
    assert client.values(MY_PID) == [[str(pid)]]
    assert by_name(pooler, "databases", "app")["max_statement_length"] == (
        100 if where != "user" else 0
    )


@pytest.mark.parametrize("size", [101, 300_000])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_statement_length_in_a_transaction(make_pooler, mode, size):
    """The transaction fails, as after any error, and only it."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login()
    pid = client.values(MY_PID)
    client.query("begin")
    text = "select 1".ljust(size)
    expect_too_long(client.query(text), status=b"E")
    assert wire.error(client.query("select 1"))["C"] == "25P02"
    expect_too_long(client.query(text), status=b"E")
    assert client.query("rollback")[-1].body == b"I"
    assert client.values(MY_PID) == pid


@pytest.mark.parametrize("size", [101, 300_000])
@pytest.mark.parametrize("step", [None, 7000])
def test_statement_length_in_a_pipeline(make_pooler, size, step):
    """What stands in front is answered, what follows up to Sync is skipped, then all goes on."""
    pooler = make_pooler(default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login(unix=True)
    one = wire.parse("select 1") + wire.bind() + wire.execute()
    long = wire.parse("select 1".ljust(size), "s") + wire.bind(statement="s") + wire.execute()
    text = one + long + one + wire.SYNC + wire.extended("select 2") + wire.query("x".ljust(size))
    text += wire.query("select 3")
    if step is None:
        client.send(text)
    else:
        client.send_split(text, step)
    said = client.read_until("ZZZZ")
    assert wire.kinds(said) == "12DCEZ" + "12TDCZ" + "EZ" + "TDCZ"
    assert {fields["C"] for fields in wire.errors(said)} == {"54000"}
    assert wire.rows(said) == [["1"], ["2"], ["3"]]
    client.send(wire.parse("select 4", "s") + wire.bind(statement="s") + wire.execute() + wire.SYNC)
    assert wire.rows(client.read_until("Z")) == [["4"]]
    wait_until(lambda: pooler.pool()["sv_idle"] == 1, "the server to be free")


def test_server_is_free_when_the_rest_comes_late(make_pooler):
    """An overlong statement whose error is out before its end has come: the server goes then."""
    pooler = make_pooler(default_pool_size=1, max_statement_length=100)
    client = pooler.wire_login()
    late = wire.query("x" * 500_000)
    client.send(wire.query("select 1") + late[:1000])
    assert wire.kinds(client.read_until("ZZ")) == "TDCZEZ"
    client.send(late[1000:])
    assert pooler.connect().execute("select 2").fetchone() == (2,)
    assert client.values("select 3") == [["3"]]


def test_reload_of_the_statement_length(make_pooler):
    pooler = make_pooler(pool_mode="session", max_statement_length=100)
    client = pooler.wire_login()
    client.values("select 1")
    expect_too_long(client.query(TOO_LONG))
    reload(pooler, max_statement_length=0)
    assert client.values(TOO_LONG) == [["1"]]
