"""The certificates that the tests of TLS and of logging in share, and a PostgreSQL that uses them."""

import shutil

import pytest

from certificates import Authority
from waiting import wait_until

HOST_NAMES = ("DNS:localhost", "IP:127.0.0.1")


class Paper:
    """The certificates of these tests."""

    def __init__(self, folder, account):
        self.ours = Authority(folder / "ours", account)
        self.others = Authority(folder / "others", account, "another authority")
        self.server = self.ours.issue("server", "pooler.test", HOST_NAMES)
        self.elsewhere = self.ours.issue("elsewhere", "elsewhere.test", ("DNS:elsewhere.test",))
        self.alice = self.ours.issue("alice", "alice")
        self.stranger = self.others.issue("stranger", "alice")


@pytest.fixture(scope="session")
def paper(base_folder, cluster):
    return Paper(base_folder, cluster.account)


def client_side(paper, mode, pair=None, **more):
    """The pooler's settings towards clients."""
    pair = pair or paper.server
    return {
        "client_tls_sslmode": mode,
        "client_tls_ca_file": paper.ours.certificate,
        "client_tls_cert_file": pair.certificate,
        "client_tls_key_file": pair.key,
        **more,
    }


@pytest.fixture
def tls_cluster(cluster, paper):
    """set(pair, hba): PostgreSQL with this certificate (None: without TLS) and these lines in front
    of its pg_hba.conf, until the end of the test."""
    hba = cluster.folder / "pg_hba.conf"
    before = hba.read_text()

    def configure(pair, lines="", ca=None):
        cluster.sql(f"alter system set ssl = {'off' if pair is None else 'on'}")
        if pair is not None:
            for name, source in (("server.crt", pair.certificate), ("server.key", pair.key)):
                shutil.copy(source, cluster.folder / name)
                (cluster.folder / name).chmod(0o600)
                cluster.account.take(cluster.folder / name)
        cluster.sql(f"alter system set ssl_ca_file = '{ca or ''}'")
        hba.write_text("local all all trust\n" + lines + before)
        cluster.sql("select pg_reload_conf()")
        wait_until(
            lambda: cluster.sql("show ssl") == [("off" if pair is None else "on",)]
            and cluster.sql("select pg_conf_load_time() > now() - interval '1 hour'"),
            "PostgreSQL to take its certificate",
        )
        return cluster

    yield configure
    hba.write_text(before)
    cluster.sql("alter system reset ssl")
    cluster.sql("alter system reset ssl_ca_file")
    cluster.sql("select pg_reload_conf()")
    wait_until(lambda: cluster.sql("show ssl") == [("off",)], "PostgreSQL to end TLS")
