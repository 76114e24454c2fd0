"""auth_query: users that no file knows are looked up in PostgreSQL, and log in to it as themselves."""

import signal
import threading

import psycopg
import pytest

import wire
from conftest import unnoticed
from waiting import wait_until

WRONG = 'password authentication failed for user "{}"'


@pytest.fixture
def roles(cluster):
    """dora and emil log in to PostgreSQL by SCRAM; the looker-up may see their secrets."""
    cluster.sql(
        "create role dora login password 'dora-secret';"
        "create role emil login password 'emil-secret' valid until 'yesterday';"
        "create role finder login superuser password 'finder-secret'"
    )
    hba = cluster.folder / "pg_hba.conf"
    before = hba.read_text()
    lines = "local all all trust\nhost all dora,emil,finder 127.0.0.1/32 scram-sha-256\n"
    hba.write_text(lines + before)
    cluster.sql("select pg_reload_conf()")
    yield cluster
    hba.write_text(before)
    cluster.sql("drop role if exists dora, emil, finder")
    cluster.sql("select pg_reload_conf()")


@pytest.fixture
def asking_pooler(make_pooler, roles):
    """A pooler that knows nobody but finder by a file."""

    def make(**settings):
        userlist = {"finder": "finder-secret", **settings.pop("userlist", {})}
        pooler = {
            "auth_type": "scram-sha-256",
            "auth_user": "finder",
            "auth_dbname": "other",
            "auth_query_cache_time": 0,
            "userlist": userlist,
        }
        return make_pooler(**{**pooler, **settings})

    return make


def who(conn):
    return conn.execute("select current_user::text, current_database()::text").fetchone()


def questions(cluster):
    """How often finder's query has run, as counted by the function that it calls."""
    return cluster.sql("select last_value, is_called from asked", "other")[0]


@pytest.mark.parametrize("auth_type", ("scram-sha-256", "md5", "plain"))
def test_password(asking_pooler, auth_type):
    """The verifier lets dora in, and her proof opens PostgreSQL for her as well."""
    pooler = asking_pooler(auth_type=auth_type)
    for user, password in (("dora", "wrong"), ("dora", ""), ("emil", "emil-secret"), ("zoe", "x")):
        with pytest.raises(psycopg.OperationalError, match="password|no password"):
            pooler.connect(user=user, password=password)
    for _ in range(2):
        assert who(pooler.connect(user="dora", password="dora-secret")) == ("dora", "app")


def test_unknown_takes_the_same_steps(asking_pooler):
    pooler = asking_pooler()
    said = {}
    for user in ("dora", "zoe", "emil"):
        client = pooler.wire()
        said[user] = client.login(user, "app", "guess")
        assert wire.error(said[user])["M"] == WRONG.format(user)
        assert [m.type for m in said[user]] == ["R", "R", "E"]
        assert len(said[user][1].body) == len(said["dora"][1].body)


def test_trust_knows_whom_postgresql_knows(asking_pooler, cluster):
    pooler = asking_pooler(auth_type="trust")
    with pytest.raises(psycopg.OperationalError, match='"trust" authentication failed'):
        pooler.connect(user="zoe")
    assert who(pooler.connect(user="bob")) == ("bob", "app")  # in auth_file, not asked


def test_a_new_password(asking_pooler, cluster):
    """No restart, no reload: PostgreSQL's word counts at the next login, on both sides."""
    pooler = asking_pooler(server_lifetime=0)
    assert who(pooler.connect(user="dora", password="dora-secret"))
    cluster.sql("alter role dora password 'another-secret'")
    with pytest.raises(psycopg.OperationalError, match=WRONG.format("dora")):
        pooler.connect(user="dora", password="dora-secret")
    assert who(pooler.connect(user="dora", password="another-secret")) == ("dora", "app")


def test_answers_are_kept_for_a_while(asking_pooler, cluster):
    """With auth_query_cache_time many logins ask once, of those who are not there too; a password
    that does not fit makes the next one ask again."""
    cluster.sql("create sequence asked; alter sequence asked owner to finder", "other")
    query = (
        "select rolname, rolpassword from pg_authid, nextval('asked') n where rolname = $1 and n > 0"
    )
    pooler = asking_pooler(auth_query=query, auth_query_cache_time=60, threads=1)
    try:
        for _ in range(5):
            assert who(pooler.connect(user="dora", password="dora-secret"))
        assert questions(cluster) == (1, True)
        with pytest.raises(psycopg.OperationalError, match=WRONG.format("dora")):
            pooler.connect(user="dora", password="wrong")
        assert questions(cluster) == (1, True)
        cluster.sql("alter role dora password 'another-secret'")
        assert who(pooler.connect(user="dora", password="another-secret"))
        assert questions(cluster) == (2, True)
    finally:
        pooler.close_clients()
        cluster.sql("drop sequence asked", "other")


@pytest.mark.parametrize(
    "query, said",
    [
        ("select $1::text", "two columns"),
        ("select nonsense", "nonsense"),
        ("select 'bob', rolpassword from pg_authid where rolname = $1", "another user"),
        ("select $1::text, null from generate_series(1, 2)", "more than one row"),
        ("select $1::text, repeat('x', 5000)", "too long"),
        ("select $1::text, 1/0", "division by zero"),
    ],
)
def test_queries_that_will_not_do(asking_pooler, query, said):
    pooler = asking_pooler(auth_query=query)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="could not be looked up"):
            pooler.connect(user="dora", password="dora-secret")
    assert said in pooler.log()


def test_nobody_to_ask(asking_pooler, cluster):
    """PostgreSQL does not let finder in: every client is told at once, and it is asked once."""
    pooler = asking_pooler(userlist={"finder": "outdated"}, threads=1)
    for _ in range(5):
        with pytest.raises(psycopg.OperationalError, match="could not be looked up"):
            pooler.connect(user="dora", password="dora-secret")
    assert pooler.log().count('password authentication failed for user "finder"') < 5


def test_connection_that_died_idle(asking_pooler, cluster):
    """The line of a loop is cut while nobody asks: the next one does not notice."""
    pooler = asking_pooler(threads=1)
    assert who(pooler.connect(user="dora", password="dora-secret"))
    for _ in range(3):
        lines = cluster.backends("usename = 'finder'")
        assert len(lines) == 1
        cluster.terminate(lines)
        assert who(pooler.connect(user="dora", password="dora-secret"))


@pytest.mark.parametrize("asks_first", (True, False))
def test_connection_that_dies_under_a_question(asking_pooler, cluster, asks_first):
    """Its end and the next question reach the loop in one turn, in either order: where the question
    is sent first, what it hears is not an answer to it but the FATAL from before."""
    pooler = asking_pooler(threads=1)
    assert who(pooler.connect(user="dora", password="dora-secret"))
    client = pooler.wire()
    client.send(wire.SSL_REQUEST)
    assert client.read_byte() == b"N"  # so it is accepted
    pooler.process.send_signal(signal.SIGSTOP)
    try:
        if asks_first:
            client.send(wire.startup({"user": "dora", "database": "app"}))
        cluster.terminate(cluster.backends("usename = 'finder'"))
        if not asks_first:
            client.send(wire.startup({"user": "dora", "database": "app"}))
    finally:
        pooler.process.send_signal(signal.SIGCONT)
    assert client.read().type == "R", pooler.log()
    assert "auth_query in" not in pooler.log()


def test_per_database(asking_pooler, cluster):
    """A database may name its own way to ask."""
    pooler = asking_pooler(
        auth_user=None,
        databases={
            "app": {"auth_user": "finder"},
            "other": {"auth_user": "finder", "auth_query": "'select $1::text, null::text'"},
        },
        auth_dbname=None,
    )
    assert who(pooler.connect("app", "dora", password="dora-secret")) == ("dora", "app")
    for name in ("other", "bench"):
        with pytest.raises(psycopg.OperationalError, match=WRONG.format("dora")):
            pooler.connect(name, "dora", password="dora-secret")


def test_console_asks_nobody(asking_pooler):
    """Who may do what on the console stands in files alone."""
    pooler = asking_pooler(admin_users="dora, ops")
    with pytest.raises(psycopg.OperationalError, match=WRONG.format("dora")):
        pooler.connect("pgbouncer", "dora", password="dora-secret")


def test_clients_cannot_change_what_is_asked(asking_pooler, cluster):
    """finder is a client too, with a search_path of his own (CVE-2025-12819): the query is asked
    over a connection that no client ever has."""
    cluster.sql(
        "create schema trap; create view trap.pg_authid as select 'dora'::name as rolname,"
        " 'known'::text as rolpassword, true as rolcanlogin, null::timestamptz as rolvaliduntil",
        "other",
    )
    pooler = asking_pooler(threads=1)
    try:
        finder = pooler.connect("other", "finder", password="finder-secret")
        finder.execute("set search_path = trap, pg_catalog")
        assert finder.execute("select rolpassword from pg_authid").fetchone() == ("known",)
        with pytest.raises(psycopg.OperationalError, match=WRONG.format("dora")):
            pooler.connect(user="dora", password="known")
        assert who(pooler.connect(user="dora", password="dora-secret"))
    finally:
        pooler.close_clients()
        cluster.sql("drop schema trap cascade", "other")


def test_a_storm_asks_together(asking_pooler, cluster):
    pooler = asking_pooler(max_client_conn=200)
    failures = []

    def one():
        try:
            assert who(pooler.connect(user="dora", password="dora-secret"))
        except Exception as failure:  # noqa: BLE001 (reported below)
            failures.append(failure)

    threads = [threading.Thread(target=one, daemon=True) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(cluster.backends("usename = 'finder'")) <= 2


def test_client_leaves_while_it_is_looked_up(asking_pooler, cluster):
    query = "select $1::text, null::text from pg_sleep(1)"
    pooler = asking_pooler(auth_query=query, auth_type="scram-sha-256")
    client = pooler.wire()
    client.send(wire.startup({"user": "dora", "database": "app"}))
    wait_until(lambda: cluster.backends("query ~ 'pg_sleep'"), "the question")
    client.close()
    wait_until(lambda: not cluster.backends("state = 'active'"), "its answer")
    with unnoticed_known(pooler):
        pass


def unnoticed_known(pooler):
    plain = pooler.connect
    pooler.connect = lambda *a, **kw: plain(*a, **{"password": "alice-secret", **kw})
    return unnoticed(pooler)


def test_verifiers_in_the_file(make_pooler, roles):
    """The same pass-through with a verifier copied into auth_file: no password is known anywhere."""
    (secret,) = roles.sql("select rolpassword from pg_authid where rolname = 'dora'")[0]
    pooler = make_pooler(auth_type="scram-sha-256", userlist={"dora": secret})
    assert who(pooler.connect(user="dora", password="dora-secret")) == ("dora", "app")
    other = wire.scram_secret("dora-secret")
    pooler = make_pooler(auth_type="scram-sha-256", userlist={"dora": other})
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        who(pooler.connect(user="dora", password="dora-secret"))


def show(pooler, what):
    with pooler.console(password="ops-secret") as console:
        return console.execute(f"show {what}").fetchall()


def lines(pooler, state=None):
    """The connections of auth_query, as SHOW SERVERS has them."""
    shown = [r for r in show(pooler, "servers") if r["user"] == "finder"]
    return [r for r in shown if state is None or r["state"] == state]


def listed(pooler, name):
    return {r["list"]: int(r["items"]) for r in show(pooler, "lists")}[name]


def test_its_connection_is_shown(asking_pooler, cluster):
    """As a server of auth_user's, though it is in no pool and counts against no limit."""
    query = (
        "select rolname, rolpassword from pg_authid, pg_sleep(case $1 when 'emil' then 60 else 0 end)"
        " where rolname = $1"
    )
    pooler = asking_pooler(auth_query=query, threads=1, max_user_connections=1)
    assert not lines(pooler)
    assert who(pooler.connect(user="dora", password="dora-secret"))
    (line,) = lines(pooler)
    assert (line["database"], line["state"], line["link"]) == ("other", "idle", "")
    assert {int(line["remote_pid"])} == cluster.backends("usename = 'finder'")
    (pool,) = show(pooler, "pools")
    assert pool["user"] == "dora"
    assert listed(pooler, "free_servers") + listed(pooler, "used_servers") == 2
    running = "usename = 'finder' and state = 'active'"
    asking = pooler.wire()
    asking.send(wire.startup({"user": "emil", "database": "app"}))
    for _ in range(2):  # once more over a new connection, and no more
        wait_until(lambda: cluster.backends(running), "the question to be asked")
        assert lines(pooler, "active")
        cluster.terminate(cluster.backends(running))
    assert "could not be looked up" in wire.error(asking.read_until("E"))["M"]
    assert not lines(pooler)


def test_made_up_databases(asking_pooler):
    """What is kept for names that strangers come with has an end, and those who belong here come
    in."""
    pooler = asking_pooler(auth_dbname=None, databases={"*": {"dbname": None}}, threads=1)
    for i in range(110):
        with pytest.raises(psycopg.OperationalError):
            pooler.connect(f"nowhere{i}", "dora", password="dora-secret")
    assert who(pooler.connect(user="dora", password="dora-secret")) == ("dora", "app")
    assert len(lines(pooler)) == 1
