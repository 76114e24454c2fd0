"""Rates of connections and queries, per user and per address. The arithmetic is unit-tested; here: who
is asked when, what a client hears, and what goes on untouched."""

import time

import psycopg
import pytest

import wire
from limits import limit, refused, reload
from test_pooling import MY_PID
from waiting import wait_until

# More than a test takes, so that no bucket fills up unnoticed: a query a second, some at once.
BURST = 5


def too_many(said, what, kinds="EZ"):
    """An ERROR that leaves the client where it is."""
    assert wire.kinds(said) == kinds and said[-1].body == b"I", said
    fields = wire.error(said)
    assert (fields["S"], fields["C"]) == ("ERROR", "53400"), fields
    assert what in fields["M"] and "Try again in" in fields["H"]


def ask_until_refused(client, what, send=None):
    """How many queries were let through before the first that was not."""
    for n in range(60):
        if send is None:
            said = client.query("select 1")
        else:
            client.send(send)
            said = client.read_until("Z")
        if "E" in wire.kinds(said):
            too_many(said, what)
            return n
    raise AssertionError(f"sixty queries were let through: {what}")


def let_through(client):
    """Wait until a query is."""
    wait_until(lambda: "E" not in wire.kinds(client.query("select 1")), "a query to be let through")


def rate_row(pooler, kind, name):
    """Its row of SHOW RATES; None: the sums of its kind."""
    (row,) = [r for r in pooler.show("rates") if (r["kind"], r["name"]) == (kind, name)]
    return row


@pytest.mark.parametrize("where", ["global", "database", "user"])
def test_query_rate_of_a_user(make_pooler, where):
    """A burst at once, then one after the other; others are not concerned, nor is the console."""
    given = limit(where, "max_user_query_rate", 1)
    pooler = make_pooler(default_pool_size=2, rate_burst=BURST, **given)
    client, bob = pooler.wire_login(), pooler.wire_login(user="bob")
    begun = time.monotonic()
    n = ask_until_refused(client, "max_user_query_rate")
    assert BURST <= n <= BURST + 1 + time.monotonic() - begun
    assert bob.values("select 2") == [["2"]]
    row = rate_row(pooler, "user", "alice")
    assert (row["clients"], row["queries_refused"], row["connections_refused"]) == (1, 1, 0)
    assert 0 < row["queries_used_us"] <= BURST * 1_000_000 and row["last_refused"]
    let_through(client)
    assert "too many queries of this user" in pooler.log()


def test_query_rate_counts_all_connections(make_pooler, threads):
    """Of one user, on all threads; and what it is told to wait is enough."""
    pooler = make_pooler(threads=threads, max_user_query_rate=1, rate_burst=BURST)
    clients = [pooler.wire_login(unix=True) for _ in range(BURST + 1)]
    begun = time.monotonic()
    answers = [wire.kinds(client.query("select 1")) for client in clients]
    passed = sum("E" not in kinds for kinds in answers)
    assert BURST <= passed <= BURST + 1 + time.monotonic() - begun
    let_through(clients[-1])


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_query_rate_in_every_mode(make_pooler, mode):
    """Also where the client keeps its server: simple queries and batches, pipelined too."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, max_user_query_rate=1, rate_burst=2)
    client = pooler.wire_login(unix=True)
    pid = client.values(MY_PID)
    ask_until_refused(client, "max_user_query_rate")
    batch = wire.close("S", "s") + wire.parse("select 2", "s") + wire.bind(statement="s") + wire.execute() + wire.SYNC
    ask_until_refused(client, "max_user_query_rate", batch)
    # A large one is dropped whole, however it comes in pieces.
    large = wire.query("select '" + "x" * 300_000 + "'")
    client.send_split(large, 70_000)
    assert wire.kinds(client.read_until("Z")) in ("EZ", "TDCZ")
    let_through(client)
    assert [[str(pid) for pid in pooler.server_pids()]] == pid


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_batch_is_one_query(make_pooler, mode):
    """However many messages it has, and although its client waits for answers in the middle of it."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, max_user_query_rate=1, rate_burst=2)
    client = pooler.wire_login()
    ask_until_refused(client, "max_user_query_rate")
    batch = wire.bind(statement="s") + wire.execute() + wire.SYNC

    def begins():
        client.send(wire.parse("select 5", "s") + wire.describe("S", "s") + wire.FLUSH)
        if client.read().type == "1":
            return True
        client.send(wire.SYNC)
        client.read_until("Z")
        return False

    wait_until(begins, "a batch to be let through")
    client.read_until("tT")
    client.send(batch + wire.query("select 6"))
    said = client.read_until("ZZ")
    assert wire.kinds(said) in ("2DCZEZ", "2DCZTDCZ") and wire.rows(said)[0] == ["5"]


def test_pinned_client_is_held_to_its_rate(make_pooler):
    """It keeps its server, and its rate."""
    pooler = make_pooler(default_pool_size=2, max_user_query_rate=2, rate_burst=3)
    client = pooler.wire_login()
    assert wire.kinds(client.query("listen bell")) == "CZ"
    ask_until_refused(client, "max_user_query_rate")
    let_through(client)
    assert pooler.show("pins"), "the pin is gone"


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_transactions_are_not_broken(make_pooler, mode):
    """What is asked inside is let through and owed: the next request outside is refused."""
    pooler = make_pooler(pool_mode=mode, default_pool_size=1, max_user_query_rate=40, rate_burst=0.5)
    client = pooler.wire_login()
    client.query("begin")
    for n in range(60):
        assert client.values(f"select {n}") == [[str(n)]]
    assert wire.kinds(client.query("commit")) == "CZ"
    said = client.query("select 1")
    row = rate_row(pooler, "user", "alice")
    # On a machine so slow that it took a second longer nothing is owed any more.
    if "E" in wire.kinds(said):
        too_many(said, "max_user_query_rate")
        assert row["queries_refused"] == 1
    let_through(client)


def test_leaving_does_not_help(make_pooler):
    """What a client owes is owed by its user: the next connection pays."""
    pooler = make_pooler(default_pool_size=1, max_user_query_rate=10, rate_burst=1)
    client = pooler.wire_login()
    client.send(b"".join(wire.query(f"select {n}") for n in range(400)))
    client.read_until("Z" * 400)
    client.close()
    # The next may be served by another loop, before the first one's has seen that it left.
    wait_until(lambda: rate_row(pooler, "user", "alice")["clients"] == 0, "the client to be gone")
    another = pooler.wire_login()
    # 400 at 10 a second are 40 s, unless the machine took nearly as long for them.
    too_many(another.query("select 1"), "max_user_query_rate")


def test_query_rate_of_an_address(make_pooler):
    """All users of one address together; a unix socket has none."""
    pooler = make_pooler(max_address_query_rate=1, rate_burst=BURST)
    alice, bob = pooler.wire_login(), pooler.wire_login(user="bob")
    local = pooler.wire_login(unix=True)
    ask_until_refused(alice, "max_address_query_rate")
    ask_until_refused(bob, "max_address_query_rate")
    for _ in range(3 * BURST):
        assert local.values("select 1") == [["1"]]
    row = rate_row(pooler, "address", "127.0.0.1")
    assert (row["clients"], row["queries_refused"]) == (2, 2)
    assert rate_row(pooler, "address", None)["queries_refused"] == 2


@pytest.mark.parametrize("where", ["global", "database", "user"])
@pytest.mark.parametrize("kind", ["user", "address"])
def test_connection_rate(make_pooler, where, kind):
    """One too many is refused with 53300; a moment later there is room again."""
    name = f"max_{kind}_connection_rate"
    pooler = make_pooler(rate_burst=3, **limit(where, name, 1))
    begun = time.monotonic()
    for n in range(60):
        said = pooler.wire().login("alice", "app")
        if said[-1].type == "E":
            break
    assert 3 <= n <= 4 + time.monotonic() - begun
    refused(said, name)
    row = rate_row(pooler, kind, "alice" if kind == "user" else "127.0.0.1")
    assert row["connections_refused"] == 1
    pooler.console()
    wait_until(lambda: pooler.wire().login("alice", "app")[-1].type == "Z", "a login")


def test_guessing_is_slow(make_pooler):
    """The address is asked before the password is; the user's rate is its own business."""
    pooler = make_pooler(
        auth_type="scram-sha-256",
        max_address_connection_rate=1,
        max_user_connection_rate=1,
        rate_burst=3,
    )
    for _ in range(60):
        with pytest.raises(psycopg.OperationalError) as failed:
            pooler.connect(password="wrong")
        if "max_address_connection_rate" in str(failed.value):
            break
        assert "password authentication failed" in str(failed.value)
    else:
        raise AssertionError("sixty guesses in a row")
    # Nobody has used up anything of alice's.
    with pooler.connect(host=str(pooler.folder), password="alice-secret") as alice:
        assert alice.execute("select 1").fetchone() == (1,)
    with pooler.console(password="ops-secret") as console:
        (row,) = [r for r in console.execute("show rates").fetchall() if r["name"] == "alice"]
    assert row["connections_refused"] == 0


def test_rates_by_reload(make_pooler):
    """They come, change and go for clients that are there; what was done before is forgiven."""
    pooler = make_pooler(default_pool_size=1)
    client = pooler.wire_login()
    for n in range(50):
        client.values(f"select {n}")
    reload(pooler, max_user_query_rate=1, rate_burst=BURST)
    assert ask_until_refused(client, "max_user_query_rate") >= BURST
    reload(pooler, max_user_query_rate=0)
    for n in range(50):
        assert client.values(f"select {n}") == [[str(n)]]
    assert [r["name"] for r in pooler.show("rates") if r["clients"] and r["name"]] == ["alice"]
    client.close()
    wait_until(lambda: rate_row(pooler, "user", "alice")["clients"] == 0, "the client to be gone")
