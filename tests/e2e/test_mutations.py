"""Damaged dialogues: what a client meant to say, with some bytes changed, missing or doubled.

No one damaged byte may stop the pooler, block a pool, or reach another client. The damage is
random but repeatable: the seed is the test's parameter."""

import contextlib
import random

import pytest

import wire
from conftest import unnoticed
from waiting import wait_until

LOGIN = wire.startup({"user": "alice", "database": "app", "application_name": "damaged"})

SPEECHES = [
    wire.query("select 1; select 2") * 3,
    wire.extended("select $1::int, $2::text", 1, "two") * 3,
    wire.parse("select 1", "named") + wire.bind(statement="named") + wire.execute() + wire.SYNC,
    wire.query("begin") + wire.extended("select 1") + wire.query("commit"),
    wire.query("copy (select generate_series(1, 100)) to stdout") + wire.query("select 1"),
    wire.query("begin; create temp table t(a int) on commit drop; copy t from stdin")
    + wire.copy_data(b"1\n2\n") * 3
    + wire.COPY_DONE
    + wire.query("commit"),
    wire.function_call(177, 1, 2) + wire.close("S", "x") + wire.describe("P") + wire.SYNC,
]

ROUNDS = 60


def damage(data, dice):
    """One to three changes to these bytes."""
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data))
        end = min(len(data), at + dice.randrange(1, 20))
        kind = dice.randrange(5)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2 and end - at < len(data):
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        else:
            data[at:at] = dice.randbytes(dice.randrange(1, 12))
    return bytes(data)


def expect_rest(pooler):
    """No client is served or waits any more, no server is held."""

    def at_rest():
        pool = pooler.pool()
        return pool["cl_waiting"] + pool["sv_active"] == 0

    wait_until(at_rest, lambda: f"the pool to be at rest: {pooler.pool()}")


@pytest.mark.parametrize("seed", range(3))
def test_damaged_logins(make_pooler, seed):
    pooler = make_pooler(client_login_timeout=10)
    dice = random.Random(seed)
    with unnoticed(pooler):
        for _ in range(ROUNDS):
            client = wire.Wire(pooler.address)
            with contextlib.suppress(wire.Closed):
                client.send(damage(LOGIN, dice))
                client.send(wire.query("select 1"))
            client.vanish()


@pytest.mark.parametrize("seed", range(3))
def test_damaged_passwords(make_pooler, seed):
    pooler = make_pooler(auth_type="scram-sha-256", client_login_timeout=10)
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        client, scram = wire.Wire(pooler.address), wire.Scram("alice-secret")
        with contextlib.suppress(wire.Closed):
            client.send(LOGIN)
            assert client.read().type == "R"
            if dice.random() < 0.5:
                client.send(damage(wire.sasl_initial(scram.first()), dice))
            else:
                client.send(wire.sasl_initial(scram.first()))
                final = scram.final(client.read().body[4:].decode())
                client.send(damage(wire.sasl_response(final), dice))
            # Half of them wait for no answer; the others hang up their own half and listen.
            if dice.random() < 0.5:
                client.sock.shutdown(1)
                client.read_all()
        client.vanish()
    with pooler.connect(password="alice-secret") as conn:
        assert conn.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("seed", range(4))
def test_damaged_speech(make_pooler, mode, seed):
    pooler = make_pooler(pool_mode=mode, default_pool_size=3)
    dice = random.Random(seed)
    with unnoticed(pooler):
        for _ in range(ROUNDS):
            client = pooler.wire_login()
            pooler.clients.remove(client)
            with contextlib.suppress(wire.Closed):
                client.send(damage(dice.choice(SPEECHES), dice))
                if dice.random() < 0.5:
                    client.sock.shutdown(1)
                    client.read_all()
            client.vanish()
    pooler.close_clients()
    expect_rest(pooler)
