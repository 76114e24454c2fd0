"""The front door under load: certificates and passwords change while people come and go, silent
strangers keep nobody out, and no secret is ever told to anybody."""

import contextlib
import resource
import threading

import psycopg
import pytest

import wire
from papers import HOST_NAMES, client_side
from test_passwords import md5_secret
from waiting import wait_until

SECRETS = {
    "alice": "planted-plain-secret",
    "bob": "planted-behind-a-verifier",
    "carol": "planted-behind-md5",
    "ops": "planted-console-secret",
}
WRONG = "planted-wrong-guess"
FORCED = "planted-forced-secret"

STARTUP = wire.startup({"user": "alice", "database": "app"})

SHOWS = (
    "active_sockets", "clients", "config", "databases", "dns_hosts", "dns_zones", "fds", "lists",
    "mem", "peers", "pins", "pools", "servers", "sockets", "state", "stats", "stats_averages",
    "stats_totals", "totals", "users", "version",
)  # fmt: skip


class Visitors:
    """Threads that log in, ask and leave, until they are told to stop."""

    def __init__(self, visit, count=3):
        self.visit = visit
        self.failures = []
        self.visits = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._come, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _come(self):
        while not self.over.is_set() and not self.failures:
            try:
                self.visit()
                self.visits += 1
            except Exception as failure:  # noqa: BLE001 (told by stop)
                self.failures.append(failure)

    def wait_more(self, count=6):
        """So many visits that begin and end after now, or a failure."""
        before = self.visits + len(self.threads)
        wait_until(lambda: self.failures or self.visits >= before + count, "more visits")

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures and self.visits > 0


def test_certificates_change_under_load(make_pooler, tls_cluster, paper):
    """On both sides: three RELOADs with other certificates, and not one query fails."""
    cluster = tls_cluster(paper.server)
    pairs = [paper.ours.issue(f"rotated{n}", "pooler.test", HOST_NAMES) for n in range(3)]
    both = {"server_tls_sslmode": "verify-full", "server_tls_ca_file": paper.ours.certificate}
    pooler = make_pooler(**both, **client_side(paper, "require"))
    trust = {"sslmode": "verify-full", "sslrootcert": paper.ours.certificate}
    stays = pooler.connect(**trust)

    def visit():
        with psycopg.connect(
            host=pooler.host, port=pooler.port, user="alice", dbname="app", **trust
        ) as conn:
            assert conn.execute("select repeat('x', 100000)").fetchone() == ("x" * 100000,)

    visitors = Visitors(visit)
    for n, pair in enumerate(pairs):
        visitors.wait_more()
        tls_cluster(pair)
        pooler.settings.update(client_side(paper, "require", pair))
        pooler.settings["server_tls_ciphers"] = ("default", "normal", "fast")[n]
        pooler.write()
        pooler.command("reload")
        visitors.wait_more()
        assert stays.execute("select 1").fetchone() == (1,)
    visitors.stop()
    assert cluster.sql("show ssl") == [("on",)]


def test_passwords_change_under_load(make_pooler, cluster):
    """In PostgreSQL and in auth_file: those who have the old one while it is valid, and the new one
    from then on, come in every time."""
    cluster.sql("create role dora login password 'first'")
    verifier = "select rolpassword from pg_authid where rolname = 'dora'"
    hba = cluster.folder / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("host all dora 127.0.0.1/32 scram-sha-256\n" + before)
    cluster.sql("select pg_reload_conf()")
    current = ["first"]
    door = threading.Lock()
    try:
        pooler = make_pooler(
            auth_type="scram-sha-256",
            server_lifetime=0,
            userlist={"dora": cluster.sql(verifier)[0][0]},
        )

        def visit():
            with door, pooler_visit(pooler, current[0]) as conn:
                assert conn.execute("select current_user::text").fetchone() == ("dora",)

        visitors = Visitors(visit)
        for password in ("second", "third"):
            visitors.wait_more()
            with door:
                cluster.sql(f"alter role dora password '{password}'")
                pooler.userlist["dora"] = cluster.sql(verifier)[0][0]
                pooler.write()
                wait_until(lambda new=password: lets_in(pooler, new), "auth_file to be followed")
                current[0] = password
            visitors.wait_more()
        visitors.stop()
    finally:
        pooler.close_clients()
        hba.write_text(before)
        cluster.sql("select pg_reload_conf()")
        wait_until(lambda: not cluster.backends("usename = 'dora'"), "dora's servers to end")
        cluster.sql("drop role dora")


def test_passwords_change_quickly(make_pooler, cluster):
    """Several times a second, the file as long as before: no change is missed."""
    pooler = make_pooler(auth_type="plain", userlist={"alice": "secret-0"})
    for n in range(1, 8):
        pooler.userlist["alice"] = f"secret-{n}"
        pooler.write()

        def followed(password=pooler.userlist["alice"]):
            with contextlib.suppress(psycopg.OperationalError):
                with pooler.connect(password=password):
                    return True

        wait_until(followed, "auth_file to be followed")


def pooler_visit(pooler, password):
    return psycopg.connect(
        host=pooler.host,
        port=pooler.port,
        user="dora",
        dbname="app",
        password=password,
        autocommit=True,
    )


def lets_in(pooler, password):
    with contextlib.suppress(psycopg.OperationalError):
        with pooler_visit(pooler, password) as conn:
            return conn.execute("select 1").fetchone() == (1,)
    return False


def test_wrong_password_at_the_server_is_told_once(make_pooler, cluster):
    """All who wait hear what PostgreSQL said, and it is not asked again for each of them."""
    pooler = make_pooler(userlist={"carol": "outdated"}, threads=2)
    refused = 'password authentication failed for user "carol"'
    before = cluster.log_path.read_text(errors="replace").count(refused)
    heard = []

    def one():
        with pytest.raises(psycopg.OperationalError) as error:
            pooler.connect(user="carol")
        heard.append(refused in str(error.value))

    crowd = [threading.Thread(target=one, daemon=True) for _ in range(30)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert heard == [True] * 30
    assert cluster.log_path.read_text(errors="replace").count(refused) - before < 15


@pytest.fixture
def crowd_size():
    """2,000, or what the limits of this machine let two processes have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else 100_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(allowed, 10_000)), hard))
    yield min(2000, allowed // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "said, places",
    ((b"", 50), (wire.SSL_REQUEST, 50), (b"\x16\x03\x01\x02", 50), (STARTUP, 3000)),
    ids=("nothing", "SSLRequest", "half a handshake", "startup packet"),
)
def test_silent_crowd(make_pooler, paper, crowd_size, said, places):
    """Thousands of connections that begin and say nothing more take nobody's time; and no place of
    max_client_conn before they have said who they are."""
    pooler = make_pooler(
        auth_type="scram-sha-256",
        max_client_conn=places,
        listen_backlog=4096,
        threads=1,
        **client_side(paper, "prefer"),
    )
    crowd = [pooler.wire() for _ in range(crowd_size)]
    for stranger in crowd:
        stranger.send(said)
    # libpq's callers select(), which knows descriptors up to 1023 only.
    client = pooler.wire_login(password="alice-secret")
    assert client.values("select 1") == [["1"]]


def everything_shown(pooler):
    """Every row of every SHOW that there is."""
    with pooler.console(password=SECRETS["ops"]) as console:
        for name in SHOWS:
            with contextlib.suppress(psycopg.Error):
                yield from map(str, console.execute(f"show {name}").fetchall())


@pytest.mark.parametrize("auth_type", ("plain", "md5", "scram-sha-256"))
def test_no_secret_is_told(make_pooler, paper, auth_type):
    """At full verbosity, with right and wrong passwords, in a broken file, in every SHOW."""
    pooler = make_pooler(
        auth_type=auth_type,
        verbose=100,
        userlist={
            **SECRETS,
            "bob": wire.scram_secret(SECRETS["bob"]),
            "carol": md5_secret(SECRETS["carol"], "carol"),
        },
        databases={"forced": {"dbname": "app", "user": "alice", "password": FORCED}},
        **client_side(paper, "prefer"),
    )
    heard = []
    for user, secret in (*SECRETS.items(), ("zoe", WRONG)):
        for password in (secret, WRONG):
            for database in ("app", "forced", "pgbouncer", "nowhere"):
                for sslmode in ("disable", "require"):
                    arguments = {"user": user, "password": password, "sslmode": sslmode}
                    try:
                        with pooler.connect(database, **arguments) as conn:
                            conn.execute("show version" if database == "pgbouncer" else "select 1")
                    except psycopg.Error as error:
                        heard.append(str(error))
    heard += everything_shown(pooler)
    assert len(heard) > 100
    pooler.userlist_path.write_text(f'"alice" "{SECRETS["alice"]}\n')
    wait_until(lambda: "not taken over" in pooler.log(), "the broken file to be noticed")
    pooler.close_clients()
    told = pooler.log() + "\n".join(heard)
    for secret in (*SECRETS.values(), WRONG, FORCED, md5_secret(SECRETS["carol"], "carol")):
        assert secret not in told
    assert "SCRAM-SHA-256$" not in told
