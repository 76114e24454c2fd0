#!/usr/bin/python3
"""The judge of failed statements: a server's log against perfkit.slow_query_log.

    errorlog.py DSN DATABASE JSONLOG...     (perfkit.log_errors_rate was 0, log_destination jsonlog)

Every ERROR or FATAL that the log has together with a statement of a client must have exactly one row of
the client's own level: same process, SQLSTATE, message, text and, where the log knows it, the same
queryid. And no row of a failed statement may be without its line. A process says and does one thing
after the other, so its lines and its rows are compared in order. The row of an EXECUTE is that of the
prepared statement, with its text and queryid, which the log does not know.
"""

import json
import re
import sys
from collections import defaultdict, deque
from typing import NamedTuple, Optional

import psycopg

FAILED = """
SELECT pid, outcome, sqlstate, coalesce(message, ''), coalesce(query, ''),
    coalesce('query' = ANY (truncated), false), coalesce(queryid, 0), id
FROM perfkit.slow_query_log
WHERE nesting_level = 0 AND outcome NOT IN ('ok', 'running', 'crashed')
ORDER BY boot, ended_at, sequence
"""

# What follows a message that perfkit cut or took a quotation out of is not compared.
REDACTED = "***"


class Row(NamedTuple):
    pid: int
    outcome: str
    sqlstate: Optional[str]
    message: str
    query: str
    cut: bool
    queryid: int
    id: int


class Line(NamedTuple):
    pid: int
    sqlstate: str
    message: str
    statement: str
    queryid: int
    where: str  # file:line, for whoever looks


class Verdict(NamedTuple):
    lines: int
    without_row: list
    without_line: list
    other_queryid: list  # (line, row)
    queryids: int        # lines whose queryid the log knows

    def well(self):
        return not (self.without_row or self.without_line or self.other_queryid)


def lines_of(paths, database):
    """The log's errors of statements that clients sent to this database."""
    for path in paths:
        with open(path, encoding="utf-8", errors="surrogateescape") as log:
            for number, text in enumerate(log, 1):
                entry = json.loads(text)
                if (
                    entry.get("error_severity") in ("ERROR", "FATAL")
                    and entry.get("backend_type") == "client backend"
                    and entry.get("dbname") == database
                    and "statement" in entry
                ):
                    yield Line(
                        entry["pid"], entry["state_code"], entry.get("message", ""),
                        entry["statement"], entry.get("query_id", 0), f"{path}:{number}",
                    )  # fmt: skip


def rows_of(dsn):
    with psycopg.connect(dsn, options="-c perfkit.track=none -c statement_timeout=0") as connection:
        return [Row(*values) for values in connection.execute(FAILED)]


def text_fits(row, statement):
    """The row has the one statement, the log the whole message of the client."""
    if REDACTED in row.query:
        parts = [re.escape(part) for part in row.query.split(REDACTED)]
        return re.search(".*".join(parts), statement, re.DOTALL) is not None
    return row.query.strip() in statement


def executes(line):
    return re.search(r"\bEXECUTE\b", line.statement, re.IGNORECASE) is not None


def fits(line, row):
    return (
        row.sqlstate == line.sqlstate
        and line.message.startswith(row.message)
        and (text_fits(row, line.statement) or executes(line))
    )


def other_statement(line, row):
    """Whether the log knows the statement by another queryid."""
    return line.queryid not in (0, row.queryid) and text_fits(row, line.statement)


def judge(lines, rows):
    waiting = defaultdict(deque)
    for row in rows:
        waiting[row.pid].append(row)
    without_row, without_line, other_queryid = [], [], []
    count = queryids = 0
    for line in lines:
        count += 1
        mine = waiting[line.pid]
        position = next((i for i, row in enumerate(mine) if fits(line, row)), None)
        if position is None:
            without_row.append(line)
            continue
        without_line += [mine.popleft() for _ in range(position)]
        row = mine.popleft()
        queryids += line.queryid != 0
        if other_statement(line, row):
            other_queryid.append((line, row))
    for mine in waiting.values():
        without_line += mine
    return Verdict(count, without_row, without_line, other_queryid, queryids)


def report(verdict, name, out):
    """Prints `ok` or `not ok`, and writes what does not fit to `out`."""
    judged = f"{name}: each of {verdict.lines} errors in the server's log has its one row"
    print(f"{'ok' if verdict.well() else 'not ok'} - {judged}, {verdict.queryids} with a queryid")
    for line in verdict.without_row:
        print(f"{name}: no row: {line}", file=out)
    for row in verdict.without_line:
        print(f"{name}: no line: {row}", file=out)
    for line, row in verdict.other_queryid:
        print(f"{name}: queryid {row.queryid} is not {line.queryid}: {line}", file=out)
    return verdict.well()


def main():
    dsn, database, *logs = sys.argv[1:]
    verdict = judge(lines_of(logs, database), rows_of(dsn))
    return 0 if report(verdict, database, sys.stdout) else 1


if __name__ == "__main__":
    sys.exit(main())
