"""Dialogues to be held with PostgreSQL directly and through the pooler, which must not differ.

A script is a list of steps; a step is (bytes to send, messages to wait for), where "ZZ" means: up
to and including the second ReadyForQuery, and so on for other types. Everything in between must
come as PostgreSQL sends it, byte for byte.
"""

from wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    bind,
    close,
    copy_data,
    copy_fail,
    describe,
    execute,
    extended,
    function_call,
    parse,
    query,
)

INT4PL = 177  # the function int4 + int4

# The table the COPY scripts work on, made by the fixture.
COPY_TABLE = "copy_target"
EMPTY_TABLE = (query(f"truncate {COPY_TABLE}"), "Z")
COPY_IN = f"copy {COPY_TABLE} from stdin"
COUNT = (query(f"select count(*), sum(a), min(b), max(b) from {COPY_TABLE}"), "Z")
GOOD_LINES = b"".join(b"%d\tline %d\n" % (n, n) for n in range(50))
BAD_LINE = b"not a number\tx\n"

ERROR_IN_PIPELINE = (
    parse("select 1") + bind() + execute()
    + parse("select nonsense") + bind() + execute()
    + parse("select 2") + bind() + execute() + SYNC
    + extended("select 3")
)  # fmt: skip

# Good in every pool mode.
SCRIPTS = {
    "simple": [(query("select 1 as one, null as nothing, 'täxt' as text"), "Z")],
    "several statements": [
        (query("select 1; select 'two'; create temp table x(); drop table x"), "Z")
    ],
    "empty": [(query(""), "Z"), (query("  ;;  "), "Z"), (query("-- only a comment"), "Z")],
    "error": [(query("select 1/0"), "Z"), (query("selec 1"), "Z"), (query("select 1"), "Z")],
    "error among several": [
        (query("select 1; select 1/0; select 2"), "Z"),
        (query("select 3"), "Z"),
    ],
    "transaction": [
        (query("begin"), "Z"),
        (query("select 1"), "Z"),
        (query("commit"), "Z"),
    ],
    "failed transaction": [
        (query("begin"), "Z"),
        (query("select 1/0"), "Z"),
        (query("select 1"), "Z"),
        (query("commit"), "Z"),
        (query("select 1"), "Z"),
    ],
    "transaction opened among several": [
        (query("select 1; begin; select 2"), "Z"),
        (query("rollback"), "Z"),
    ],
    "transaction chained": [
        (query("begin; commit and chain"), "Z"),
        (query("select 1"), "Z"),
        (query("rollback and no chain"), "Z"),
        (query("rollback"), "Z"),
    ],
    "savepoints": [
        (query("begin"), "Z"),
        (query("savepoint a; select 1/0"), "Z"),
        (query("rollback to a; select 1"), "Z"),
        (query("end"), "Z"),
    ],
    "pipelined simple": [(b"".join(query(f"select {n}") for n in range(20)), "Z" * 20)],
    "pipelined transactions": [
        (
            query("begin")
            + query("select 1")
            + query("commit")
            + query("begin")
            + query("rollback"),
            "ZZZZZ",
        )
    ],
    "extended": [(extended("select $1::int + 1, $2::text", 41, None), "Z")],
    "extended empty": [(extended(""), "Z")],
    "extended error at parse": [(extended("selec"), "Z"), (extended("select 1"), "Z")],
    "extended error at bind": [
        (extended("select $1::int", "abc"), "Z"),
        (extended("select 1"), "Z"),
    ],
    "extended error at execute": [
        (extended("select 1/$1::int", 0), "Z"),
        (extended("select 1"), "Z"),
    ],
    "wrong number of parameters": [(extended("select $1::int", 1, 2), "Z")],
    "unknown statement": [(bind(statement="nobody") + SYNC, "Z"), (query("select 1"), "Z")],
    "unknown portal": [(execute("nobody") + SYNC, "Z"), (describe("P", "nobody") + SYNC, "Z")],
    "error skips to sync": [(ERROR_IN_PIPELINE, "ZZ")],
    "error skips what comes later": [
        (parse("selec") + FLUSH, "E"),
        (parse("select 1") + bind() + execute() + FLUSH, ""),
        (SYNC, "Z"),
        (extended("select 2"), "Z"),
    ],
    "many syncs": [(SYNC * 50, "Z" * 50), (SYNC + SYNC + extended("select 1") + SYNC, "ZZZZ")],
    "sync after error": [(parse("selec") + SYNC + SYNC + extended("select 1"), "ZZZ")],
    "step by step with flush": [
        (parse("select generate_series(1, 3)") + FLUSH, "1"),
        (describe("S") + FLUSH, "T"),
        (bind() + FLUSH, "2"),
        (describe("P") + FLUSH, "T"),
        (execute() + FLUSH, "C"),
        (SYNC, "Z"),
    ],
    "portal suspended": [
        (parse("select generate_series(1, 5)") + bind() + execute(max_rows=2) + FLUSH, "s"),
        (execute(max_rows=2) + FLUSH, "s"),
        (execute() + SYNC, "Z"),
    ],
    "transaction in extended": [
        (
            extended("begin")
            + extended("select 1")
            + extended("select 1/0")
            + extended("select 2"),
            "ZZZZ",
        ),
        (extended("rollback"), "Z"),
    ],
    "simple among extended": [
        (extended("select 1") + query("select 2") + extended("select 3") + query("selec"), "ZZZZ")
    ],
    "simple query without a sync before it": [
        (parse("select 1") + bind() + execute() + query("select 2") + SYNC, "ZZ")
    ],
    "close": [
        (close("S", "nobody") + close("P", "nobody") + SYNC, "Z"),
        (parse("select 1", "s") + close("S", "s") + SYNC, "Z"),
    ],
    "named statement and portal in one batch": [
        (
            parse("select $1::int", "s") + bind([1], "s", "p") + bind([2], "s", "q")
            + execute("q") + execute("p") + close("P", "p") + close("S", "s") + SYNC,
            "Z",
        )  # fmt: skip
    ],
    "cursor": [
        (query("begin; declare c cursor for select generate_series(1, 9)"), "Z"),
        (query("fetch 4 from c"), "Z"),
        (query("move 2 in c; fetch all from c; close c"), "Z"),
        (query("commit"), "Z"),
    ],
    "prepare in a transaction": [
        (query("begin; prepare p as select $1::int"), "Z"),
        (query("execute p(7)"), "Z"),
        (query("deallocate p; commit"), "Z"),
    ],
    "function call": [
        (function_call(INT4PL, 40, 2), "Z"),
        (function_call(INT4PL, 2**31 - 1, 1), "Z"),
    ],
    "notice": [
        (
            query(
                "do $$ begin raise notice 'one'; raise warning 'two' using errcode='P0042'; end $$"
            ),
            "Z",
        )
    ],
    "set": [
        (query("begin; set local timezone to 'Asia/Tokyo'; show timezone"), "Z"),
        (query("commit; show timezone"), "Z"),
        (query("set datestyle to 'German'; select date '2024-02-29'; reset datestyle"), "Z"),
    ],
    "copy out": [
        (query("copy (select n, repeat('x', n) from generate_series(1, 40) n) to stdout"), "Z"),
        (query("copy (select 1) to stdout; copy (select 1/0) to stdout"), "Z"),
    ],
    "copy out extended": [(extended("copy (select generate_series(1, 9)) to stdout"), "Z")],
    "copy in": [
        EMPTY_TABLE,
        (query(COPY_IN), "G"),
        (copy_data(GOOD_LINES), ""),
        (copy_data(b"999\tsplit "), ""),
        (copy_data(b"line\n") + COPY_DONE, "Z"),
        COUNT,
    ],
    "copy in, all at once": [
        EMPTY_TABLE,
        (query(COPY_IN) + copy_data(GOOD_LINES) + COPY_DONE, "Z"),
        COUNT,
    ],
    "copy in, empty": [EMPTY_TABLE, (query(COPY_IN) + COPY_DONE, "Z"), COUNT],
    "copy in and more statements": [
        EMPTY_TABLE,
        (query(f"{COPY_IN}; select 5; {COPY_IN}"), "G"),
        (copy_data(GOOD_LINES) + COPY_DONE, "G"),
        (copy_data(b"1000\tsecond\n") + COPY_DONE, "Z"),
        COUNT,
    ],
    "copy in, given up": [EMPTY_TABLE, (query(COPY_IN), "G"), (copy_fail("enough"), "Z"), COUNT],
    "copy in, bad line": [
        EMPTY_TABLE,
        (query(COPY_IN), "G"),
        (copy_data(GOOD_LINES) + copy_data(BAD_LINE) + COPY_DONE, "Z"),
        COUNT,
    ],
    "copy in, data after the error": [
        EMPTY_TABLE,
        (query(COPY_IN), "G"),
        (copy_data(BAD_LINE), "Z"),
        (copy_data(GOOD_LINES) + COPY_DONE, ""),
        COUNT,
    ],
    "copy in, all at once after the error": [
        (
            query("copy nowhere from stdin")
            + copy_data(GOOD_LINES)
            + COPY_DONE
            + query("select 1"),
            "ZZ",
        )
    ],
    "copy in a transaction": [
        (query(f"begin; truncate {COPY_TABLE}"), "Z"),
        (query(COPY_IN) + copy_data(GOOD_LINES) + COPY_DONE, "Z"),
        (query(COPY_IN) + copy_data(BAD_LINE) + COPY_DONE, "Z"),
        (query("rollback"), "Z"),
        COUNT,
    ],
    "copy in extended": [
        EMPTY_TABLE,
        (parse(COPY_IN) + bind() + execute() + FLUSH, "G"),
        (copy_data(GOOD_LINES) + COPY_DONE + SYNC, "Z"),
        COUNT,
    ],
    "copy in extended, sync inside": [
        EMPTY_TABLE,
        (parse(COPY_IN) + bind() + describe("P") + execute() + SYNC, "G"),
        (copy_data(GOOD_LINES) + FLUSH + SYNC + COPY_DONE + SYNC, "Z"),
        COUNT,
    ],
    "copy in extended, bad line": [
        EMPTY_TABLE,
        (parse(COPY_IN) + bind() + execute() + SYNC, "G"),
        (copy_data(BAD_LINE) + copy_data(GOOD_LINES) + COPY_DONE + SYNC, "Z"),
        (extended("select 1"), "Z"),
        COUNT,
    ],
    "copy in extended, given up": [
        EMPTY_TABLE,
        (parse(COPY_IN) + bind() + execute() + SYNC, "G"),
        (copy_fail("enough") + SYNC, "Z"),
        COUNT,
    ],
    "parse behind an unseen failure in a transaction": [
        (parse("select 1", "s") + SYNC, "Z"),
        (query("begin"), "Z"),
        (
            bind(statement="nosuch") + SYNC
            + parse("select 1", "t") + bind(statement="t") + execute() + SYNC,
            "ZZ",
        ),
        (query("rollback"), "Z"),
        (parse("select 1", "t") + bind(statement="t") + execute() + SYNC, "Z"),
    ],
    "parse behind an unseen failure of a query": [
        (parse("select 1", "s") + SYNC, "Z"),
        (
            query("begin") + query("select 1/0")
            + parse("select 1", "t") + bind(statement="t") + execute() + SYNC
            + query("rollback")
            + parse("select 1", "u") + bind(statement="u") + execute() + SYNC,
            "ZZZZZ",
        ),
    ],
    "the same text behind an unseen failure": [
        (
            bind(statement="nosuch") + parse("select 2", "s") + SYNC
            + parse("select 2", "t") + bind(statement="t") + execute() + SYNC,
            "ZZ",
        ),
        (bind(statement="t") + execute() + SYNC, "Z"),
        (parse("select 2", "s") + bind(statement="s") + execute() + SYNC, "Z"),
    ],
}

# What stays with the server connection from one batch to the next: session pooling only.
SESSION_SCRIPTS = {
    "named statement": [
        (parse("select $1::int + 1", "s1") + SYNC, "Z"),
        (bind([1], "s1") + execute() + SYNC, "Z"),
        (parse("select 'again'", "s1") + SYNC, "Z"),
        (describe("S", "s1") + SYNC, "Z"),
        (close("S", "s1") + SYNC, "Z"),
        (bind([1], "s1") + SYNC, "Z"),
    ],
    "prepare": [
        (query("prepare p(int) as select $1"), "Z"),
        (query("execute p(5)"), "Z"),
        (query("deallocate p"), "Z"),
        (query("execute p(5)"), "Z"),
    ],
    "temporary table": [
        (query("create temp table kept as select 1 as a"), "Z"),
        (query("select a + 0 as a from kept"), "Z"),
        (query("drop table kept"), "Z"),
    ],
    "held cursor": [
        (query("declare h cursor with hold for select generate_series(1, 3)"), "Z"),
        (query("fetch 2 from h"), "Z"),
        (query("close h"), "Z"),
    ],
    "session settings": [
        (query("set work_mem to '5MB'"), "Z"),
        (query("show work_mem"), "Z"),
        (query("set timezone to 'Asia/Tokyo'"), "Z"),
        (query("discard all"), "Z"),
        (query("show work_mem; show timezone"), "Z"),
    ],
}

# Not in single bytes: they are long.
LONG_SCRIPTS = {
    "many rows": [(query("select n, repeat('x', n % 100) from generate_series(1, 20000) n"), "Z")],
    "long message": [
        (query("do $$ begin raise exception '%', repeat('long ', 50000); end $$"), "Z")
    ],
    "long query": [(query(f"select length('{'x' * 3_000_000}')"), "Z")],
    "long parameter": [(extended("select md5($1::text)", "y" * 3_000_000), "Z")],
    "long pipeline": [
        (b"".join(extended("select $1::int, repeat('r', 300)", n) for n in range(1500)), "Z" * 1500)
    ],
    "long copy": [
        EMPTY_TABLE,
        (query(COPY_IN) + copy_data(GOOD_LINES * 2000) * 4 + COPY_DONE, "Z"),
        COUNT,
        (query(f"copy {COPY_TABLE} to stdout"), "Z"),
    ],
}
