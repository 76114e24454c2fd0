"""asyncpg with its defaults: a pool, its cache of prepared statements, types that it looks up by
itself, transactions, cursors, COPY, notifications."""

import asyncio

import asyncpg


async def work(pool, who):
    for n in range(60):
        assert await pool.fetchval(f"select $1::int + {n % 20}", who) == who + n % 20
    async with pool.acquire() as conn:
        async with conn.transaction(isolation="repeatable_read"):
            await conn.execute("insert into c_asyncpg (who, mood) values ($1, $2)", who, "glad")
            try:
                async with conn.transaction():
                    await conn.execute("insert into c_asyncpg (id) select id from c_asyncpg limit 1")
                    raise AssertionError("a duplicate key was taken")
            except asyncpg.UniqueViolationError:
                pass
            rows = [r async for r in conn.cursor("select generate_series(1, 500) as n", prefetch=50)]
            assert len(rows) == 500
        await conn.executemany("insert into c_asyncpg (who, tags) values ($1, $2)",
                               [(who, ["a", f"{n}"]) for n in range(20)])  # fmt: skip
        await conn.copy_records_to_table(
            "c_asyncpg", columns=["who", "mood"], records=[(who, "sad")] * 100
        )
        got = await conn.fetch("select mood, tags from c_asyncpg where who = $1", who)
        assert len(got) == 121 and {r["mood"] for r in got} == {None, "glad", "sad"}
        try:
            await conn.fetchval("select 1/$1::int", 0)
            raise AssertionError("no error")
        except asyncpg.DivisionByZeroError:
            pass
        statement = await conn.prepare("select $1::text || 'x'")
        assert await statement.fetchval("y") == "yx"


async def notifications(pool):
    heard = asyncio.get_running_loop().create_future()
    async with pool.acquire() as conn:
        await conn.add_listener("asyncpg_bell", lambda *args: heard.set_result(args[3]))
        await pool.execute("select pg_notify('asyncpg_bell', 'rings')")
        assert await asyncio.wait_for(heard, 30) == "rings"
        await conn.reset_type_codec("json", schema="pg_catalog")


async def main():
    conn = await asyncpg.connect()
    await conn.execute("create type c_mood as enum ('glad', 'sad')")
    await conn.execute("create table c_asyncpg (id serial primary key, who int, mood c_mood, tags text[])")
    await conn.execute("insert into c_asyncpg (who) values (-1)")
    await conn.close()
    async with asyncpg.create_pool(min_size=1, max_size=10) as pool:
        await asyncio.gather(*(work(pool, who) for who in range(20)))
        await notifications(pool)
        await pool.execute("drop table c_asyncpg; drop type c_mood")


asyncio.run(main())
