"""Who gets in, how, and what those hear who do not."""

import struct
import subprocess
import threading

import psycopg
import pytest

import wire
from conftest import unnoticed

WRONG = 'password authentication failed for user "{}"'


@pytest.fixture
def scram_pooler(make_pooler):
    """Clients must use SCRAM: alice's password is known in plain, bob's as a secret only."""
    return make_pooler(auth_type="scram-sha-256", userlist={"bob": wire.scram_secret("bob-secret")})


def who(conn):
    return conn.execute("select current_user::text, current_database()::text").fetchone()


# ---- those who get in


def test_trust(make_pooler):
    assert who(make_pooler().connect("app", "alice")) == ("alice", "app")


def test_trust_on_unix_socket(make_pooler):
    pooler = make_pooler()
    assert who(pooler.connect("other", "bob", host=str(pooler.folder))) == ("bob", "other")


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_scram(scram_pooler, user):
    """Against a plain password and against a stored secret; libpq checks our signature."""
    assert who(scram_pooler.connect("app", user, password=f"{user}-secret")) == (user, "app")


def test_scram_to_the_server(scram_pooler):
    """PostgreSQL itself wants carol's password: the pooler proves it knows it."""
    assert who(scram_pooler.connect("app", "carol", password="carol-secret")) == ("carol", "app")


def test_psql(scram_pooler, cluster):
    done = subprocess.run(
        [
            cluster.bindir / "psql", "-X", "-A", "-t", "-c", "select 6 * 7",
            f"host={scram_pooler.host} port={scram_pooler.port} user=alice dbname=app"
            " password=alice-secret",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)


def test_password_in_database_line(make_pooler):
    """user= and password= of a [databases] line are used at the server, whoever the client is."""
    line = {"dbname": "app", "user": "carol", "password": "carol-secret"}
    pooler = make_pooler(databases={"fixed": line})
    assert who(pooler.connect("fixed", "alice")) == ("carol", "app")


def test_star_database(make_pooler):
    """`*` serves every database that has no line of its own, under its own name."""
    pooler = make_pooler(databases={"*": {"dbname": None}})
    assert who(pooler.connect("postgres", "alice")) == ("alice", "postgres")


def test_greeting(make_pooler):
    """A client gets the server's parameters and a cancel key before ReadyForQuery."""
    client = make_pooler().wire()
    said = client.login("alice", "app", application_name="hello")
    assert wire.kinds(said).endswith("KZ") and wire.kinds(said).startswith("R")
    assert said[-1].body == b"I"
    for name in ("server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone",
                 "standard_conforming_strings", "integer_datetimes"):  # fmt: skip
        assert name in client.parameters
    assert client.parameters["application_name"] == "hello"
    assert client.key[0] > 0 and len(client.key[1]) >= 4


def test_many_at_once(make_pooler, threads):
    """Fifty clients log in at the same moment over two servers."""
    pooler = make_pooler(threads=threads, default_pool_size=2, max_client_conn=60)
    gate = threading.Barrier(50)
    answers = []

    def one(number):
        client = pooler.wire()
        gate.wait()
        client.login("alice", "app")
        answers.append((number, client.values(f"select {number}")))

    running = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(50)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert sorted(answers) == [(n, [[str(n)]]) for n in range(50)]


# ---- those who do not


def refusal(client, *args, **more):
    """What a refused client heard: all messages, and the error's fields."""
    said = client.login(*args, **more)
    assert said[-1].type == "E", said
    with pytest.raises(wire.Closed):
        client.read()
    fields = wire.fields(said[-1].body)
    assert fields["S"] == "FATAL" and len(fields["C"]) == 5
    return said, fields


def test_wrong_password(scram_pooler):
    with unnoticed_scram(scram_pooler):
        with pytest.raises(psycopg.OperationalError, match=WRONG.format("alice")):
            scram_pooler.connect(password="wrong")
        _, fields = refusal(scram_pooler.wire(), "alice", "app", "wrong")
        assert (fields["C"], fields["M"]) == ("28P01", WRONG.format("alice"))


def unnoticed_scram(pooler):
    """unnoticed(), for a pooler that wants passwords."""
    plain = pooler.connect
    pooler.connect = lambda *a, **kw: plain(*a, **{"password": "alice-secret", **kw})
    return unnoticed(pooler)


@pytest.mark.parametrize("known", ["alice", "bob"])
def test_unknown_user_looks_like_wrong_password(scram_pooler, known):
    """The dialogue must not tell which users exist: same messages, same lengths, same error."""
    wrong, wrong_fields = refusal(scram_pooler.wire(), known, "app", "guess")
    unknown, unknown_fields = refusal(scram_pooler.wire(), "zoe"[: len(known)], "app", "guess")
    assert wire.kinds(wrong) == wire.kinds(unknown) == "RRE"
    assert [len(m.body) for m in wrong[:2]] == [len(m.body) for m in unknown[:2]]
    assert unknown_fields["M"] == WRONG.format("zoe")
    assert {**wrong_fields, "M": ""} == {**unknown_fields, "M": ""}


def test_unknown_user_keeps_its_salt(scram_pooler):
    """A real user's salt stays the same; one that changes would give a made-up one away."""

    def salt():
        said, _ = refusal(scram_pooler.wire(), "zoe", "app", "guess")
        challenge = said[1].body[4:].decode()
        return challenge.split(",", 1)[1]

    assert salt() == salt()


def test_empty_password(scram_pooler):
    _, fields = refusal(scram_pooler.wire(), "alice", "app", "")
    assert fields["C"] == "28P01"


def test_unknown_user_under_trust(make_pooler):
    """Trust asks for no password, but the user must be known."""
    pooler = make_pooler()
    with unnoticed(pooler):
        _, fields = refusal(pooler.wire(), "zoe", "app")
        assert fields["C"] in ("28P01", "28000", "08P01")


def test_anybody(make_pooler):
    """Under `any` the file says who everybody is at the server; where it does not, nobody gets in."""
    line = {"dbname": "app", "user": "carol", "password": "carol-secret"}
    pooler = make_pooler(auth_type="any", databases={"fixed": line})
    assert 'nobody can use "app", which has none' in pooler.log()
    assert who(pooler.connect("fixed", "zoe")) == ("carol", "app")
    _, fields = refusal(pooler.wire(), "alice", "app")
    assert (fields["C"], fields["M"]) == ("28000", "bouncer config error")
    assert who(pooler.connect("fixed", "alice")) == ("carol", "app")


def test_unknown_database(make_pooler):
    pooler = make_pooler()
    with unnoticed(pooler):
        _, fields = refusal(pooler.wire(), "alice", "nowhere")
        assert fields["M"] == "no such database: nowhere"
        assert fields["C"] in ("3D000", "08P01")


def test_database_that_the_server_lacks(make_pooler):
    """The pooler knows the name, the server does not: its error reaches the client."""
    pooler = make_pooler(databases={"ghost": {}})
    with unnoticed(pooler):
        with pytest.raises(psycopg.OperationalError, match='database "ghost" does not exist'):
            pooler.connect("ghost").execute("select 1")


def test_server_refuses_our_password(make_pooler):
    """carol's password in the user list is not the one PostgreSQL has."""
    pooler = make_pooler(userlist={"carol": "outdated"})
    with unnoticed(pooler):
        with pytest.raises(
            psycopg.OperationalError, match='password authentication failed for user "carol"'
        ):
            pooler.connect("app", "carol").execute("select 1")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\0",
        wire.cstring("SCRAM-SHA-256"),
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", -1),
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", 2**31 - 1) + b"n,,",
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", -2) + b"n,,n=,r=abc",
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", 4) + b"n,,n",
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", 11) + b"y,,n=,r=\x01\xff\x02",
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", 18) + b"p=tls-unique,,n=,r=",
        wire.cstring("SCRAM-SHA-256-PLUS") + struct.pack("!i", 11) + b"n,,n=,r=abc",
        wire.cstring("PLAIN") + struct.pack("!i", 3) + b"abc",
        b"SCRAM-SHA-256" * 200,
        wire.cstring("SCRAM-SHA-256") + struct.pack("!i", 9008) + b"n,,n=,r=" + b"x" * 9000,
    ],
    ids=lambda body: body[:28].hex()[-24:] + f"-{len(body)}",
)
def test_spoiled_first_sasl_message(scram_pooler, first):
    with unnoticed_scram(scram_pooler):
        client = scram_pooler.wire()
        client.send(wire.startup({"user": "alice", "database": "app"}))
        assert client.read().type == "R"
        client.send(wire.message("p", first))
        refused_or_challenged(client)


def refused_or_challenged(client):
    """A long but legal nonce may still be challenged; anything else is a FATAL and the end."""
    said = client.read()
    if said.type == "R":
        client.send(wire.sasl_response("c=biws,r=nonsense,p=AAAA"))
        said = client.read()
    assert said.type == "E"
    assert wire.fields(said.body)["C"] in ("28P01", "28000", "08P01")
    with pytest.raises(wire.Closed):
        client.read()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda final: "",
        lambda final: "c=biws",
        lambda final: final.replace("c=biws", "c=eSws"),
        lambda final: final.replace("r=", "r=x", 1),
        lambda final: final.split(",p=")[0],
        lambda final: final.split(",p=")[0] + ",p=",
        lambda final: final.split(",p=")[0] + ",p=!!!!",
        lambda final: final.split(",p=")[0] + ",p=AAAA",
        lambda final: final + "A" * 4000,
        lambda final: "\0" * 64,
        lambda final: "x=" * 500,
    ],
)
def test_spoiled_final_sasl_message(scram_pooler, spoil):
    with unnoticed_scram(scram_pooler):
        client, scram = scram_pooler.wire(), wire.Scram("alice-secret")
        client.send(wire.startup({"user": "alice", "database": "app"}))
        assert client.read().type == "R"
        client.send(wire.sasl_initial(scram.first()))
        challenge = client.read()
        client.send(wire.sasl_response(spoil(scram.final(challenge.body[4:].decode()))))
        said = client.read()
        assert said.type == "E" and wire.fields(said.body)["C"] in ("28P01", "28000", "08P01")
        with pytest.raises(wire.Closed):
            client.read()


@pytest.mark.parametrize("patient", [True, False], ids=["after", "before"])
def test_query_instead_of_the_password(scram_pooler, patient):
    """Whoever skips authentication is shown the door, before or after being asked for it."""
    with unnoticed_scram(scram_pooler):
        client = scram_pooler.wire()
        client.send(wire.startup({"user": "alice", "database": "app"}))
        said = [client.read()] if patient else []
        client.send(wire.query("select 1"))
        said += client.read_all()
        assert wire.kinds(said) == "RE"
        assert wire.error(said)["C"] in ("28000", "08P01")
