"""psycopg 3 as applications use it: parameters, statements that it prepares by itself, transactions,
COPY, pipelines, server-side cursors, errors, notices, asyncio; six of each at once."""

import asyncio
import datetime
import decimal
import threading
import uuid

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

TABLE = "create table if not exists c_psycopg (id serial primary key, who int, note text, at timestamptz default now())"


def types(conn):
    values = [
        42, 2**40, 1.5, decimal.Decimal("12.340"), "naïve ☃ 'quoted'", b"\0\1\xff", True, None,
        datetime.date(2026, 2, 28), datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc),
        uuid.UUID(int=7), [1, 2, None],
    ]  # fmt: skip
    for binary in (False, True):
        with conn.cursor(binary=binary) as cur:
            for value in values:
                got = cur.execute("select %s", [value]).fetchone()[0]
                assert got == value, (value, got)
    words = ["a", 'b"c', None]
    assert conn.execute("select %s::text[]", [words]).fetchone() == (words,)
    assert conn.execute("select %s::jsonb -> 'a' ->> 0", [Jsonb({"a": ["x"]})]).fetchone() == ("x",)


def work(conn, who):
    # The fifth execution of a text is prepared; the table of such statements overflows.
    for n in range(60):
        row = conn.execute(f"select %s + {n % 20}, %s", [n, who]).fetchone()
        assert row == (n + n % 20, who), row
    with conn.transaction():
        conn.execute("insert into c_psycopg (who, note) values (%s, %s)", [who, "first"])
        try:
            with conn.transaction():
                conn.execute("insert into c_psycopg (id) select id from c_psycopg limit 1")
                raise AssertionError("a duplicate key was taken")
        except psycopg.errors.UniqueViolation:
            pass
        conn.execute("insert into c_psycopg (who, note) values (%s, %s)", [who, "second"])
    with conn.cursor() as cur:
        cur.executemany(
            "insert into c_psycopg (who, note) values (%s, %s) returning id",
            [(who, f"many {n}") for n in range(50)], returning=True,
        )  # fmt: skip
        with cur.copy("copy c_psycopg (who, note) from stdin") as copy:
            for n in range(50):
                copy.write_row((who, f"copied {n}\t\\"))
        with cur.copy("copy (select note from c_psycopg where who = %s) to stdout", [who]) as copy:
            assert len(list(copy.rows())) == 102
    with conn.transaction(), conn.cursor("served", row_factory=dict_row) as cur:
        cur.itersize = 37
        cur.execute("select id from c_psycopg where who = %s", [who])
        assert len({row["id"] for row in cur}) == 102
    with conn.pipeline():
        cursors = [conn.execute("select %s::int", [n]) for n in range(50)]
    assert [cur.fetchone()[0] for cur in cursors] == list(range(50))
    notices = []
    conn.add_notice_handler(lambda note: notices.append(note.message_primary))
    conn.execute("do $$ begin raise notice 'seen'; end $$")
    assert notices == ["seen"]
    try:
        conn.execute("select 1/%s", [0])
        raise AssertionError("no error")
    except psycopg.errors.DivisionByZero:
        pass
    conn.execute("set application_name = 'psycopg client'")
    assert conn.execute("show application_name").fetchone() == ("psycopg client",)


def thread(who, errors):
    try:
        with psycopg.connect(autocommit=True) as conn:
            types(conn)
            work(conn, who)
        # Without autocommit, as most use it: a transaction begins by itself.
        with psycopg.connect() as conn:
            conn.execute("select 1")
            conn.commit()
            conn.execute("delete from c_psycopg where who = %s", [who])
            conn.rollback()
    except Exception as error:
        errors.append(f"{who}: {type(error).__name__}: {error}")


async def coroutine(who):
    async with await psycopg.AsyncConnection.connect(autocommit=True) as conn:
        for n in range(20):
            cur = await conn.execute("select %s::int, pg_sleep(0)", [who * 100 + n])
            assert (await cur.fetchone())[0] == who * 100 + n
        async with conn.transaction():
            await conn.execute("select 1")


async def coroutines():
    await asyncio.gather(*(coroutine(who) for who in range(6)))


def main():
    errors = []
    with psycopg.connect(autocommit=True) as conn:
        conn.execute(TABLE)
    threads = [threading.Thread(target=thread, args=(who, errors)) for who in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == [], errors
    asyncio.run(coroutines())
    with psycopg.connect(autocommit=True) as conn:
        (rows,) = conn.execute("select count(*) from c_psycopg").fetchone()
        assert rows == 6 * 102, rows
        conn.execute("drop table c_psycopg")


main()
