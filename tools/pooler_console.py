#!/usr/bin/env python3
"""Writes docs/pooler-console.md from the tables of the console (pooler/core/commands.def, columns.def).

    tools/pooler_console.py            writes the page
    tools/pooler_console.py --check    fails when the page is not what the tables say
"""
import argparse
import re
import sys

from pooler_tables import ROOT, read_rows

PAGE = ROOT / "docs" / "pooler-console.md"

SOURCE = """
#define SHOW(name, privilege, fn, help) ("show", name, #privilege, #fn, help)
#include "core/commands.def"
#define ORDER(name, privilege, kind, args, help) ("order", name, #privilege, args, help)
#include "core/commands.def"
#define COLUMNS(fn, names) ("columns", #fn, names)
#include "core/columns.def"
"""

INTRO = """# The console of perfkit-pooler

This page is made from the tables that the program itself reads (`pooler/core/commands.def`, `columns.def`, by
`tools/pooler_console.py`). What is different from PgBouncer stands in [from-pgbouncer.md](from-pgbouncer.md).

Connect to the database `pgbouncer` (or `perfkit`, unless `[databases]` has one of that name) as a user of `admin_users`, who may run
everything, or of `stats_users`, who may only look: `psql -h /tmp -p 6432 pgbouncer`. The system's user that runs the pooler needs no
password on the unix socket: as `pgbouncer` or `perfkit` he is an administrator. `max_client_conn` does not keep anybody from the console.

- A command is a line of words, with a semicolon at the end or without; case does not matter. A name with blanks stands in double quotes,
  a value in single quotes.
- The simple and the extended query protocol work, with prepared statements, text and binary results, and fetching in parts. There are no
  parameters, and one command is not run before the other is complete.
- `SELECT` is another word for `SHOW`. `SHOW client_encoding`, `datestyle`, `timezone`, `standard_conforming_strings` and
  `default_transaction_isolation` are answered for drivers that ask, and a `SET` of such a name is taken with a notice.
- An order without a name is for all databases but the console's.

"""


def cell(text):
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def who(privilege):
    return "administrators" if privilege == "ADMIN" else "everybody"


def page(rows):
    columns = {row[1]: re.sub("[#~]", "", row[2]) for row in rows if row[0] == "columns"}
    out = [INTRO, "## To look\n\n| command | what it shows | columns | for |\n|---|---|---|---|\n"]
    for _, name, privilege, fn, text in (row for row in rows if row[0] == "show"):
        names = ", ".join(columns[fn].split()) or "a notice"
        out.append(f"| `SHOW {name}` | {cell(text)} | {names} | {who(privilege)} |\n")
    out.append("\n## To act\n\n| command | what it does | for |\n|---|---|---|\n")
    for _, name, privilege, args, text in (row for row in rows if row[0] == "order"):
        words = f"{name} {args}".strip().replace("|", "\\|")
        out.append(f"| `{words}` | {cell(text)} | {who(privilege)} |\n")
    out.append(OUTRO)
    return "".join(out)


OUTRO = """
## In more words

- **PAUSE** is answered when the last server connection of the pools concerned is closed: in transaction pooling when the transactions that
  run have ended, in session pooling when the clients have left. Clients stay connected and wait, up to `query_wait_timeout`. A RESUME that
  comes first ends it, and the PAUSE is answered with an error.
- **RECONNECT** after a failover, or when the address behind a host name has changed: idle server connections are closed, the others when
  they are free; new ones are made as the configuration says. Nobody waits for it. **WAIT_CLOSE** is answered when none of the old ones is
  left: then the old server can be stopped without anybody noticing. With `server_fast_close` session-pooled servers go at the end of their
  transaction, together with their clients.
- **KILL** pauses and ends everything at once; running queries are sent a cancel request, once.
- **DISABLE** is forgotten when the process ends; a RELOAD does not end it.
- **SET** changes what a RELOAD could change, as if the file had been changed. It lasts until the next RELOAD, or the end of the process.
- **SUSPEND** leaves transactions open and keeps their connections; the console, and logins, go on. Whoever has not taken what was sent to him
  within `suspend_timeout` is ended.
- Signals: HUP is RELOAD, USR1 PAUSE, USR2 RESUME, INT SHUTDOWN WAIT_FOR_SERVERS, TERM SHUTDOWN WAIT_FOR_CLIENTS, QUIT SHUTDOWN; a second INT
  or TERM does not wait.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    text = page(read_rows(SOURCE, 50))
    if not args.check:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print("pooler_console.py: docs/pooler-console.md is not what the tables say: run tools/pooler_console.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
