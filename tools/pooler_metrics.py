#!/usr/bin/env python3
"""Writes docs/pooler-metrics.md from the table of the pooler's numbers (pooler/core/metrics.def).

    tools/pooler_metrics.py            writes the page
    tools/pooler_metrics.py --check    fails when the page is not what the table says
"""
import argparse
import sys

from pooler_tables import ROOT, read_rows

PAGE = ROOT / "docs" / "pooler-metrics.md"

SOURCE = """
#define NULL ""
#define PROCESS_GAUGE(log, text, unit, help, ...) ("gauge", log, text, unit, "", "", help)
#define PROCESS_COUNTER(log, text, unit, help, ...) ("counter", log, text, unit, "", "", help)
#include "core/metrics.def"
#define POOL_GAUGE(log, text, unit, label, value, help, ...) ("gauge", log, text, unit, label, value, help)
#define POOL_COUNTER(who, log, text, unit, label, value, help, ...) ("counter", log, text, unit, label, value, help)
#include "core/metrics.def"
#define METER_ROW(log, text, help, ...) ("histogram", log, text, "seconds", "", "", help)
#include "core/metrics.def"
"""

INTRO = """# The numbers of perfkit-pooler

This page is made from the table that the program itself reads (`pooler/core/metrics.def`, by `tools/pooler_metrics.py`).

With `prometheus_listen = 9127` (off by default; a bare port is that of 127.0.0.1; a reload opens, moves and closes it) the pooler
answers over HTTP:

| path | what |
|---|---|
| `/metrics` | its own numbers: Prometheus text, or OpenMetrics 1.0 for who accepts it |
| `/metrics/database` | those of the extension in the database of `perfkit_dsn`, in the same formats; 503 when it is away or not set |
| `/health` | JSON: `status`, the `reasons`, and some numbers; 200 while the status is `ok`, else 503 |
| `/ready` | the same in a word, for load balancers |

`status` is `draining` (SHUTDOWN: nobody is let in), `paused` (all databases are paused or suspended), `no server` (none of the servers
asked for lately can be reached and no connection is left) or `ok`; a database that is paused, disabled or without a server by itself is
only a reason. After a failed login has become old news the status is `ok` again, since nothing is known any more.

Whoever reaches the port may read all of it: names of databases and users, but no statement and no secret. Nobody there can do anything
but read. GET and HEAD are known; a connection that asks nothing, or does not take its answer, is cut after `prometheus_timeout`.
A port that is taken is logged and tried again every second; clients are served meanwhile.

A pool is a database and a user (labels `database`, `user`). Only the oldest `prometheus_max_pools` are told, since with a `*` entry
it is the clients who say how many there are; `perfkit_pooler_pools_left_out` is how many are not. Counters of a pool that is forgotten
(`pool_idle_timeout`, `autodb_idle_timeout`) end with it.

Times are measured by each thread into histograms of 312 buckets, the extension's own, none of whose values is told more than 4.8 % off;
the percentiles are those of the last whole `stats_period`, and absent when nothing was measured in it. The histograms here are
counts since the start, up to 65.5 us, 131 us and so on by factors of two up to 68.7 s; those in
[performance_log](performance-log.md#from-the-pooler) are of one `stats_period`, with all their buckets, beside their mean. On the console the same numbers are in
`SHOW STATS`, `SHOW POOLS`, `SHOW LATENCIES`, `SHOW ERRORS` and `SHOW PINS`.

"""


def families(rows):
    """Rows of one text as one: its label with all values."""
    out = {}
    for kind, log, text, _, label, value, words in rows:
        family = out.setdefault(text, {"kind": kind, "log": log, "label": label, "values": [], "help": words})
        if value:
            family["values"].append(value)
    return out


def page(rows):
    out = [INTRO, "| metric | type | what | in performance_log |\n|---|---|---|---|\n"]
    for text, f in families(rows).items():
        name = f"perfkit_pooler_{text}" + ("_total" if f["kind"] == "counter" else "")
        words = f["help"]
        if f["label"] == "class":
            words += " Label `class`: the first two characters, or other."
        elif f["label"]:
            words += f" Label `{f['label']}`: {', '.join(f['values'])}."
        log = f["log"] + ("_per_second" if f["kind"] == "counter" and f["log"] else "")
        out.append(f"| `{name}` | {f['kind']} | {words} | {f'`{log}`' if log else ''} |\n")
    return "".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    text = page(read_rows(SOURCE, 50))
    if not args.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is not what the table says: run tools/pooler_metrics.py")


if __name__ == "__main__":
    main()
