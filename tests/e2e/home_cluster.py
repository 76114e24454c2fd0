"""A PostgreSQL that has the extension: where poolers write their numbers. The fixtures home and writer."""

import psycopg
import pytest

from cluster import Cluster

# keeper may write; stranger may not. Over TCP both must log in by SCRAM.
KEEPER, STRANGER = "keeper", "stranger"
SECRETS = {KEEPER: "planted-keeper-secret", STRANGER: "planted-stranger-secret"}

CONFIGURATION = """
shared_preload_libraries = 'perfkit'
perfkit.sample_interval = 0
max_worker_processes = 16
"""

HBA = "".join(f"host all {role} 127.0.0.1/32 scram-sha-256\n" for role in SECRETS)


class HomeCluster(Cluster):
    """Database `home` has the extension, `bare` has not."""

    def create(self):
        super().create()
        self.stop()
        with open(self.folder / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(CONFIGURATION)
        hba = self.folder / "pg_hba.conf"
        hba.write_text(HBA + hba.read_text())
        self.start()
        self.sql("create database home")
        self.sql("create database bare")
        self.sql("create extension perfkit", "home")
        for role, secret in SECRETS.items():
            self.sql(f"create role {role} login password '{secret}'")
        self.sql(f"grant pg_monitor to {KEEPER}")

    def empty(self):
        """Nothing that a pooler has written is left, nor is one that has ended written for."""
        self.terminate(self.backends())
        self.sql(
            "truncate perfkit.performance_log, perfkit.performance_rollup, perfkit.pooler", "home"
        )

    def dsn(self, user=KEEPER, dbname="home", **more):
        """For perfkit_dsn."""
        parts = {
            "host": self.host,
            "port": self.port,
            "user": user,
            "password": SECRETS.get(user),
            "dbname": dbname,
            "sslmode": "disable",
            **more,
        }
        return psycopg.conninfo.make_conninfo(
            **{key: value for key, value in parts.items() if value is not None}
        )


@pytest.fixture(scope="session")
def home_server(base_folder, cluster):
    folder = base_folder / "home"
    folder.mkdir(mode=0o755)
    cluster.account.take(folder)
    if not cluster.sql("select 1 from pg_available_extensions where name = 'perfkit'"):
        pytest.skip("this PostgreSQL has no extension perfkit: PG_CONFIG names one that has")
    server = HomeCluster(folder, cluster.account)
    server.create()
    yield server
    server.stop()


@pytest.fixture
def home(home_server):
    """The same, up, with nothing of earlier tests in it."""
    if home_server.process.poll() is not None:
        home_server.start()
    home_server.sql("create extension if not exists perfkit", "home")
    home_server.empty()
    home_server.sql("drop extension if exists perfkit", "bare")
    return home_server


@pytest.fixture
def writer(make_pooler, home):
    """writer(**settings) -> a pooler that writes each second."""

    def start(dsn=None, **settings):
        settings = {"perfkit_dsn": dsn or home.dsn(), "stats_period": 1, **settings}
        return make_pooler(**settings)

    return start
