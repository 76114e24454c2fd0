"""The md5 and plain methods, on both sides; md5 is what PgBouncer's file means when it says nothing."""

import hashlib

import psycopg
import pytest

import wire
from waiting import wait_until


def md5_secret(password, user):
    """As PostgreSQL stores it."""
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


@pytest.mark.parametrize("auth_type", ["md5", "plain"])
def test_passwords(make_pooler, auth_type):
    """A plain secret and a stored SCRAM secret; wrong passwords and unknown users sound alike."""
    pooler = make_pooler(auth_type=auth_type, userlist={"bob": wire.scram_secret("bob-secret")})
    for user in ("alice", "bob"):
        with pooler.connect(user=user, password=f"{user}-secret") as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    said = set()
    for user, password in (("alice", "wrong"), ("bob", "wrong"), ("mallory", "wrong")):
        with pytest.raises(psycopg.OperationalError) as error:
            pooler.connect(user=user, password=password)
        said.add(str(error.value).strip().split("FATAL:")[-1].replace(user, "X").strip())
    assert said == {'password authentication failed for user "X"'}


def test_md5_secret_on_both_sides(make_pooler, cluster):
    """A hash in the user list lets its owner in, and logs in to a server that asks for md5."""
    secret = md5_secret("old-secret", "hashed")
    cluster.sql(f"create role hashed login password '{secret}'")
    try:
        pooler = make_pooler(auth_type="md5", userlist={"hashed": secret})
        with pooler.connect(user="hashed", password="old-secret") as conn:
            assert conn.execute("select current_user::text").fetchone() == ("hashed",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            pooler.connect(user="hashed", password="Old-secret")
    finally:
        cluster.sql("drop role hashed")


def works(pooler, **arguments):
    try:
        return pooler.connect(**arguments).execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("replaced", (True, False), ids=("renamed", "written in place"))
def test_auth_file_is_followed(make_pooler, replaced):
    """New users and secrets work without a RELOAD; nothing else of the configuration changes."""
    pooler = make_pooler(auth_type="scram-sha-256", query_timeout=77)
    old = pooler.connect(password="alice-secret")
    pooler.userlist["alice"] = "new-secret"
    pooler.settings["query_timeout"] = 99  # in the file, but nobody has asked for a reload
    kept = pooler.userlist_path
    if replaced:
        pooler.userlist_path = kept.with_suffix(".new")
    pooler.write()
    if replaced:
        pooler.userlist_path.rename(kept)
    wait_until(lambda: works(pooler, password="new-secret"), "the new password to be known")
    assert not works(pooler, password="alice-secret")
    assert old.execute("select 1").fetchone() == (1,)
    with pooler.console(password="ops-secret") as console:
        (row,) = [r for r in console.execute("show config") if r["key"] == "query_timeout"]
    assert row["value"] == "77"


def test_auth_file_with_a_mistake(make_pooler):
    """It is not taken over; the next one that is right is."""
    pooler = make_pooler(auth_type="md5")
    text = pooler.userlist_path.read_text()
    pooler.userlist_path.write_text('"alice" "new-secret"\n"bob\n')
    wait_until(lambda: "not taken over" in pooler.log(), "the mistake to be told")
    assert "new-secret" not in pooler.log()
    assert works(pooler, password="alice-secret")
    pooler.userlist_path.write_text(text.replace("alice-secret", "newer-secret"))
    wait_until(lambda: works(pooler, password="newer-secret"), "the new password to be known")


# The same password as it may be typed: RFC 4013 makes "fish é 9x" of them.
TYPED = ("ﬁsh\u00a0e\u0301 9x", "fish é 9\u00adx", "ﬁsh\u2000é ９x")
# What RFC 4013 forbids is hashed as it is: a control character, a character of a later Unicode.
UNPREPARED = ("é\u0007", "é😀")


@pytest.mark.parametrize("auth_type", ["scram-sha-256", "plain"])
@pytest.mark.parametrize("known", ["plain", "verifier"])
def test_passwords_are_prepared(make_pooler, cluster, auth_type, known):
    """PostgreSQL asks carol for SCRAM, and so does the pooler; each knows her password as it was
    typed there."""
    stored = "select rolpassword from pg_authid where rolname = 'carol'"
    try:
        for server, pooler_file, client in (TYPED, TYPED[::-1]):
            cluster.sql(f"alter role carol password '{server}'")
            if known == "verifier":
                pooler_file = cluster.sql(stored)[0][0]
            pooler = make_pooler(auth_type=auth_type, userlist={"carol": pooler_file})
            # A plain password that is sent in clear is compared as it is.
            if known == "plain" and auth_type == "plain":
                client = pooler_file
            assert works(pooler, user="carol", password=client)
            assert not works(pooler, user="carol", password="fish é 8x")
        for password in UNPREPARED:
            cluster.sql(f"alter role carol password '{password}'")
            pooler = make_pooler(auth_type=auth_type, userlist={"carol": password})
            assert works(pooler, user="carol", password=password)
            assert not works(pooler, user="carol", password=password + "x")
    finally:
        cluster.sql("alter role carol password 'carol-secret'")
