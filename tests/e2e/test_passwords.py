"""The md5 and plain methods, on both sides; md5 is what PgBouncer's file means when it says nothing."""

import hashlib

import psycopg
import pytest

import wire


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
