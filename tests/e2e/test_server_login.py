"""Logging in to PostgreSQL: every method that its pg_hba.conf may ask for, crossed with
server_tls_sslmode, with the right secret and a wrong one. The other side's table is test_hba.py."""

import psycopg
import pytest

from test_passwords import md5_secret
from waiting import wait_until

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# role -> (line of pg_hba.conf, whether a secret is asked for)
ROLES = {
    "by_trust": ("host all by_trust 127.0.0.1/32 trust", False),
    "by_password": ("host all by_password 127.0.0.1/32 password", True),
    "by_md5": ("host all by_md5 127.0.0.1/32 md5", True),
    "by_scram": ("host all by_scram 127.0.0.1/32 scram-sha-256", True),
    "by_cert": ("hostssl all by_cert 127.0.0.1/32 cert", False),
    "by_both": ("hostssl all by_both 127.0.0.1/32 scram-sha-256 clientcert=verify-full", True),
    "in_clear": ("hostnossl all in_clear 127.0.0.1/32 scram-sha-256", True),
    "rejected": ("host all rejected 127.0.0.1/32 reject", False),
}


def secret(role):
    return f"{role}-secret"


def stored(role):
    return md5_secret(secret(role), role) if role == "by_md5" else secret(role)


@pytest.fixture
def many_ways(tls_cluster, paper):
    """PostgreSQL with TLS, a role for each method, and none of the general lines of trust."""
    lines = [line for line, _ in ROLES.values()]
    refuse = [f"host all {role} all reject" for role in ROLES]
    cluster = tls_cluster(paper.server, "\n".join(lines + refuse) + "\n", paper.ours.certificate)
    for role in ROLES:
        cluster.sql(f"create role {role} login password '{stored(role)}'")
    yield cluster
    wait_until(lambda: not cluster.backends(f"usename in {tuple(ROLES)}"), "their servers to end")
    for role in ROLES:
        cluster.sql(f"drop role {role}")


def works(role, mode, shown):
    """Whether PostgreSQL lets the right secret in, and whether it asks for one."""
    encrypted = mode != "disable"
    if role in ("by_cert", "by_both"):
        return encrypted and shown == role
    if role == "in_clear":
        return mode in ("disable", "allow", "prefer")
    return role != "rejected"


@pytest.mark.parametrize("right", (True, False), ids=("right", "wrong"))
@pytest.mark.parametrize("mode", MODES)
def test_methods_by_sslmode(make_pooler, many_ways, paper, mode, right):
    """The client needs nothing: what is tried is the secret of auth_file. A refusal says what
    PostgreSQL said, and never the secret."""
    for shown in ("by_cert", "by_both"):
        pair = paper.ours.issue(shown, shown)
        pooler = make_pooler(
            server_tls_sslmode=mode,
            server_tls_ca_file=paper.ours.certificate,
            server_tls_cert_file=pair.certificate,
            server_tls_key_file=pair.key,
            userlist={role: secret(role) if right else "planted-wrong" for role in ROLES},
        )
        for role, (_, asks) in ROLES.items():
            arguments = {"user": role}
            if works(role, mode, shown) and (right or not asks):
                conn = pooler.connect(**arguments)
                assert conn.execute("select current_user::text").fetchone() == (role,)
                continue
            with pytest.raises(psycopg.OperationalError) as error:
                pooler.connect(**arguments)
            told = str(error.value)
            assert role in told and "secret" not in told and "planted-wrong" not in told
        assert "planted-wrong" not in pooler.log()
        pooler.close_clients()
        pooler.stop()
