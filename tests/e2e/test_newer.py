"""What only a newer PostgreSQL has: libpq's sslnegotiation=direct, and servers that know direct TLS.

Skipped where it is older; `make check-17` and `make check-18` run this file (suite `newer`)."""

import re
import subprocess

import psycopg
import pytest

from papers import client_side
from waiting import wait_until


def major(cluster):
    """Of psql, and so of its libpq."""
    said = subprocess.run(
        [cluster.bindir / "psql", "--version"], check=True, capture_output=True, text=True
    ).stdout
    return int(re.search(r"\(PostgreSQL\) (\d+)", said).group(1))


@pytest.fixture
def newer(cluster):
    """cluster, of 17 or later."""
    if major(cluster) < 17:
        pytest.skip("needs PostgreSQL 17")
    return cluster


def psql(cluster, pooler, sql, **arguments):
    info = {
        "host": pooler.host, "port": pooler.port, "dbname": "app", "user": "alice",
        "password": "alice-secret", "gssencmode": "disable", **arguments,
    }  # fmt: skip
    return subprocess.run(
        [
            cluster.bindir / "psql", "-X", "-A", "-t", "-c", sql,
            " ".join(f"{key}='{value}'" for key, value in info.items()),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def direct(paper, sslmode, **more):
    return {
        "sslnegotiation": "direct",
        "sslmode": sslmode,
        "sslrootcert": paper.ours.certificate,
        **more,
    }


@pytest.mark.parametrize("sslmode", ("require", "verify-full"))
@pytest.mark.parametrize("binding", ("disable", "require"))
def test_direct_from_clients(make_pooler, newer, paper, sslmode, binding):
    pooler = make_pooler(auth_type="scram-sha-256", **client_side(paper, "require"))
    arguments = direct(paper, sslmode, channel_binding=binding)
    done = psql(newer, pooler, "select 6 * 7", **arguments)
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)
    done = psql(newer, pooler, "select 1", **{**arguments, "password": "wrong"})
    assert done.returncode != 0 and "password authentication failed" in done.stderr


def test_direct_where_there_is_no_tls(make_pooler, newer, paper):
    """It gets no answer in clear."""
    pooler = make_pooler()
    done = psql(newer, pooler, "select 1", **direct(paper, "require"))
    assert done.returncode != 0 and done.stdout == ""


@pytest.mark.parametrize("password", ("carol-secret", "outdated"))
def test_direct_to_servers(make_pooler, newer, tls_cluster, paper, password):
    """With SCRAM and channel binding; server_tls_direct saves a round trip, not a check."""
    tls_cluster(paper.server)
    pooler = make_pooler(
        userlist={"carol": password},
        server_tls_sslmode="verify-full",
        server_tls_ca_file=paper.ours.certificate,
        server_tls_direct=1,
    )
    if password == "outdated":
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            pooler.connect(user="carol")
        return
    sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert pooler.connect(user="carol").execute(sql).fetchone() == (True,)


def test_direct_to_a_server_of_another_name(make_pooler, newer, tls_cluster, paper):
    tls_cluster(paper.elsewhere)
    pooler = make_pooler(
        server_tls_sslmode="verify-full",
        server_tls_ca_file=paper.ours.certificate,
        server_tls_direct=1,
        query_wait_timeout=1,
    )
    with pytest.raises(psycopg.OperationalError):
        pooler.connect()
    wait_until(lambda: "TLS" in pooler.log() or "certificate" in pooler.log(), "the reason")


def test_newest_protocol(make_pooler, cluster):
    """libpq 18 can ask for 3.2, whose cancel keys are longer."""
    if major(cluster) < 18:
        pytest.skip("needs libpq 18")
    pooler = make_pooler(auth_type="scram-sha-256")
    newest = {"min_protocol_version": "3.2", "max_protocol_version": "latest"}
    done = psql(cluster, pooler, "select 6 * 7", **newest)
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)
