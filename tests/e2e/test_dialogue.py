"""A client behind the pooler must not see a difference: whole dialogues, compared byte for byte.

Each script of scripts.py is held with PostgreSQL directly, then through the pooler in each pool
mode: as it is, with the client's bytes arriving one by one, and with the server's doing so.
"""

import random

import pytest

import wire
from conftest import pooler_factory
from scripts import COPY_TABLE, LONG_SCRIPTS, SCRIPTS, SESSION_SCRIPTS
from trickle import Trickle

BOTH = {"session": {**SCRIPTS, **SESSION_SCRIPTS}, "transaction": SCRIPTS}
SHORT_CASES = [(mode, name) for mode, scripts in BOTH.items() for name in scripts]


@pytest.fixture(scope="module")
def table(cluster):
    """The table of the COPY scripts."""
    cluster.make_table(COPY_TABLE, "a int, b text")


@pytest.fixture(scope="module")
def poolers(binary, cluster, table, request, base_folder):
    """poolers[mode], with a database `slow` whose server's answers come byte by byte."""
    trickle_folder = base_folder / "trickle"
    trickle_folder.mkdir()
    trickle = Trickle(trickle_folder, cluster)
    slow = {"host": trickle_folder, "port": trickle.PORT, "dbname": "app"}
    with pooler_factory(binary, cluster, request.node) as start:
        yield {
            mode: start(pool_mode=mode, default_pool_size=2, databases={"slow": slow})
            for mode in ("session", "transaction")
        }
    trickle.close()


def hold(client, script, send):
    """The answers to a script, as readable messages."""
    heard = []
    for data, final in script:
        send(data)
        for kind, body in client.read_until(final):
            heard.append((kind, sorted(wire.fields(body).items()) if kind in "EN" else body))
    return heard


def direct(cluster, script):
    client = wire.Wire((cluster.host, cluster.port))
    client.login("alice", "app")
    try:
        return hold(client, script, client.send)
    finally:
        client.close()


def still_well(pooler, database="app"):
    with pooler.connect(database) as conn:
        assert conn.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("mode, name", SHORT_CASES)
def test_same_answers(poolers, cluster, mode, name):
    script = BOTH[mode][name]
    client = poolers[mode].wire_login()
    assert hold(client, script, client.send) == direct(cluster, script)
    client.close()
    still_well(poolers[mode])


@pytest.mark.parametrize("mode, name", SHORT_CASES)
def test_same_answers_to_single_bytes(poolers, cluster, mode, name):
    script = BOTH[mode][name]
    client = poolers[mode].wire_login(unix=True)
    assert hold(client, script, client.send_split) == direct(cluster, script)
    client.close()
    still_well(poolers[mode])


@pytest.mark.parametrize("mode, name", SHORT_CASES)
def test_same_answers_in_single_bytes(poolers, cluster, mode, name):
    script = BOTH[mode][name]
    client = poolers[mode].wire_login("slow")
    assert hold(client, script, client.send) == direct(cluster, script)
    client.close()
    still_well(poolers[mode], "slow")


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", LONG_SCRIPTS)
def test_same_long_answers(poolers, cluster, mode, name):
    """Also while the pooler cannot keep everything in one buffer."""
    script = LONG_SCRIPTS[name]
    client = poolers[mode].wire_login()
    assert hold(client, script, client.send) == direct(cluster, script)
    client.close()
    still_well(poolers[mode])


NAMES = ("a", "b")
FEW_TEXTS = ("select 1", "select 2", "selec 3")  # so that they are known, by another name, or wrong


def some_batch(chance):
    """Bytes that prepare, use and close names, fail or not, and end with ReadyForQuery; its Zs."""
    data = b""
    for _ in range(chance.randrange(1, 4)):
        name = chance.choice(NAMES)
        data += chance.choice(
            (
                lambda: wire.parse(chance.choice(FEW_TEXTS), name),
                lambda: wire.bind((), name) + wire.execute(),
                lambda: wire.describe("S", name),
                lambda: wire.close("S", name),
            )
        )()
    if chance.random() < 0.15:
        return data + wire.SYNC + wire.query(f"deallocate {chance.choice(NAMES)}"), "ZZ"
    return data + wire.SYNC, "Z"


@pytest.mark.parametrize("seed", range(6))
def test_same_answers_about_names(poolers, cluster, seed):
    """Names given, used and taken behind batches whose failure nobody has seen yet."""
    chance = random.Random(seed)
    script = []
    for _ in range(60):
        batches = [some_batch(chance) for _ in range(chance.randrange(1, 6))]
        script.append((b"".join(b[0] for b in batches), "".join(b[1] for b in batches)))
    client = poolers["transaction"].wire_login()
    answers = hold(client, script, client.send)
    assert answers == direct(cluster, script)
    client.close()
    still_well(poolers["transaction"])
