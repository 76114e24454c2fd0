"""Who has to prove what: every method of logging in crossed with the ways to connect, by the HBA
file and by auth_type, with the right secret and a wrong one."""

import os
import pwd

import psycopg
import pytest

import wire
from conftest import unnoticed
from papers import client_side
from test_passwords import md5_secret

WAYS = ("socket", "plain", "tls", "tls with certificate")

# method -> which ways lead to its line
METHODS = {
    "trust": WAYS,
    "reject": (),
    "password": WAYS,
    "md5": WAYS,
    "scram-sha-256": WAYS,
    "cert": ("tls with certificate",),
    "peer": (),  # root, or whoever runs the tests, is not alice
}


def way_arguments(pooler, way, paper, pair=None):
    pair = pair or paper.alice
    return {
        "socket": {"host": str(pooler.folder)},
        "plain": {},
        "tls": {"sslmode": "require", "sslcert": "/nowhere"},
        "tls with certificate": {
            "sslmode": "require",
            "sslcert": pair.certificate,
            "sslkey": pair.key,
        },
    }[way]


@pytest.fixture
def hba_pooler(make_pooler, base_folder, cluster, paper):
    """A pooler with these lines as its HBA file."""

    def make(lines, ident="", **settings):
        hba, maps = base_folder / "pooler.hba", base_folder / "pooler.ident"
        for path, text in ((hba, lines), (maps, ident)):
            path.write_text(text)
            cluster.account.take(path)
        return make_pooler(
            auth_type="hba",
            auth_hba_file=hba,
            auth_ident_file=maps,
            **{**client_side(paper, "allow"), **settings},
        )

    return make


def who(conn):
    return conn.execute("select current_user::text").fetchone()[0]


def gets_in(pooler, **arguments):
    try:
        return who(pooler.connect(**arguments)) == arguments.get("user", "alice")
    except psycopg.OperationalError:
        return False


def lines_for(method):
    if method == "peer":
        return "local all all peer\nhost all all all reject\n"
    if method == "cert":
        return "hostssl all all all cert\nhost all all all reject\nlocal all all reject\n"
    return f"local all all {method}\nhost all all 127.0.0.0/8 {method}\n"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("secret", ("plain", "md5", "scram"))
def test_methods(hba_pooler, paper, method, secret):
    """The table: method × way × what the file knows × right, wrong and no password."""
    known = {
        "plain": "alice-secret",
        "md5": md5_secret("alice-secret", "alice"),
        "scram": wire.scram_secret("alice-secret"),
    }[secret]
    pooler = hba_pooler(lines_for(method), userlist={"alice": known})
    asks = method in ("password", "md5", "scram-sha-256")
    fits = not (method == "scram-sha-256" and secret == "md5")
    for way in WAYS:
        arguments = way_arguments(pooler, way, paper)
        for password in ("alice-secret", "wrong", ""):
            wanted = way in METHODS[method]
            if asks:
                wanted = wanted and fits and password == "alice-secret"
            assert gets_in(pooler, password=password, **arguments) == wanted, (way, password)
        unknown = {**arguments, "user": "zoe", "password": "alice-secret"}
        assert not gets_in(pooler, **unknown), way
    assert "alice-secret" not in pooler.log()


@pytest.mark.parametrize("sslmode", ("allow", "prefer", "require", "verify-ca", "verify-full"))
@pytest.mark.parametrize("auth_type", ("trust", "plain", "md5", "scram-sha-256", "cert"))
def test_auth_types_by_sslmode(make_pooler, paper, auth_type, sslmode):
    """auth_type alone, under each client_tls_sslmode."""
    if auth_type == "cert" and not sslmode.startswith("verify"):
        return  # refused at start: tests/unit/test_hba.c
    pooler = make_pooler(auth_type=auth_type, **client_side(paper, sslmode))
    for way in WAYS:
        arguments = way_arguments(pooler, way, paper)
        for password in ("alice-secret", "wrong"):
            wanted = (
                way == "socket"
                or (way == "plain" and sslmode in ("allow", "prefer"))
                or (way == "tls" and not sslmode.startswith("verify"))
                or way == "tls with certificate"
            )
            if auth_type == "cert":
                wanted = way == "tls with certificate"
            elif auth_type != "trust":
                wanted = wanted and password == "alice-secret"
            assert gets_in(pooler, password=password, **arguments) == wanted, (way, password)


def test_whose_certificate(hba_pooler, paper):
    """The name in it must be the user's, and ours must be the authority, even under allow."""
    pooler = hba_pooler("hostssl all all all cert\n")
    alice = way_arguments(pooler, "tls with certificate", paper)
    assert gets_in(pooler, **alice)
    assert not gets_in(pooler, user="bob", **alice)
    stranger = way_arguments(pooler, "tls with certificate", paper, paper.stranger)
    assert not gets_in(pooler, **stranger)
    both = paper.ours.issue("both", "somebody", ("DNS:alice", "DNS:bob"))
    named = way_arguments(pooler, "tls with certificate", paper, both)
    assert gets_in(pooler, **named) and gets_in(pooler, user="bob", **named)
    assert not gets_in(pooler, user="carol", **named)


def test_maps_of_certificates(hba_pooler, paper):
    pooler = hba_pooler("hostssl all all all cert map=m\n", "m alice bob\nother alice alice\n")
    alice = way_arguments(pooler, "tls with certificate", paper)
    assert gets_in(pooler, user="bob", **alice)
    assert not gets_in(pooler, user="alice", **alice)


def test_certificate_beside_the_password(hba_pooler, paper):
    pooler = hba_pooler(
        "hostssl all bob all scram-sha-256 clientcert=verify-ca\n"
        "hostssl all all all scram-sha-256 clientcert=verify-full\n"
    )
    alice = way_arguments(pooler, "tls with certificate", paper)
    bare = way_arguments(pooler, "tls", paper)
    for user, wanted in (("alice", True), ("bob", True), ("carol", False)):
        assert gets_in(pooler, user=user, password=f"{user}-secret", **alice) == wanted
        assert not gets_in(pooler, user=user, password="wrong", **alice)
        assert not gets_in(pooler, user=user, password=f"{user}-secret", **bare)


def test_peer(hba_pooler):
    """The kernel knows who runs these tests."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    pooler = hba_pooler("local all all peer map=m\n", f"m {me} alice\nm nobody-at-all bob\n")
    assert gets_in(pooler, host=str(pooler.folder))
    assert not gets_in(pooler, host=str(pooler.folder), user="bob")
    assert not gets_in(pooler)


def test_first_line_decides(hba_pooler):
    pooler = hba_pooler(
        "host other alice 127.0.0.1/32 reject\n"
        "host all alice 127.0.0.1/32 trust\n"
        "host all all 127.0.0.1/32 md5\n"
    )
    assert gets_in(pooler)
    assert not gets_in(pooler, dbname="other")
    assert not gets_in(pooler, user="bob")
    assert gets_in(pooler, user="bob", password="bob-secret")
    assert not gets_in(pooler, host=str(pooler.folder))


def test_nobody_hears_why(hba_pooler):
    pooler = hba_pooler("host all bob all trust\n")
    for database in ("app", "nowhere"):
        with pytest.raises(psycopg.OperationalError, match="login rejected") as error:
            pooler.connect(database)
        assert "hba" not in str(error.value)
    assert "no rule of auth_hba_file fits" in pooler.log()


def test_reload_brings_new_rules(hba_pooler):
    pooler = hba_pooler("local all ops trust\nhost all alice all reject\n")
    assert not gets_in(pooler)
    pooler.settings["auth_hba_file"].write_text("local all ops trust\nhost all alice all trust\n")
    assert not gets_in(pooler)
    pooler.command("reload")
    with unnoticed(pooler):
        assert gets_in(pooler)
    pooler.settings["auth_hba_file"].write_text("local all ops trust\nhost all +staff all trust\n")
    with pytest.raises(psycopg.Error, match="knows no memberships"):
        pooler.command("reload")
    assert gets_in(pooler)
