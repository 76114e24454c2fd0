#!/usr/bin/env python3
"""Writes docs/pooler-settings.md from the tables of pooler/conf/*.def.

    tools/pooler_settings.py            writes the page
    tools/pooler_settings.py --check    fails when the page is not what the tables say, or when the effect
                                        column of a row does not fit what the pooler's code reads

The rows are C macros, so the C preprocessor reads them; what it leaves are tuples that Python reads too.
"""
import argparse
import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "pooler-settings.md"
# Where an option that has an effect must be read.
READERS = ("core", "net", "main.c", "conf/load.c")

GROUPS = {
    "LISTEN": "Where clients connect",
    "AUTH": "Who may connect",
    "POOL": "Pools and limits",
    "TIMEOUT": "Timeouts",
    "CONSOLE": "The admin console",
    "LOG": "Log and statistics",
    "PROCESS": "The process",
    "PROTOCOL": "Protocol",
    "SOCKET": "TCP",
    "DNS": "Host names",
    "TLS": "TLS",
}

TYPES = {
    "STR": "text",
    "SECRET": "text, never shown",
    "INT": "integer",
    "SIZE": "bytes (or kB, MB, GB)",
    "MODE": "octal",
    "PORT": "port",
    "BOOL": "0 or 1",
    "TIME": "seconds",
    "TIME_MS": "milliseconds",
    "POOL_MODE": "session, transaction, statement",
    "STATE_POLICY": "pin, error, ignore",
    "AUTH_TYPE": "any, trust, plain, md5, cert, hba, ldap, pam, scram-sha-256",
    "SSLMODE": "disable, allow, prefer, require, verify-ca, verify-full",
    "HOSTS": "disable, round-robin",
}

OPTION = '#define OPTION(type, key, dflt, change, effect, min, max, group, doc) ' \
    '("option", #type, #key, dflt, #change, #effect, #min, #max, #group, doc)\n'
KEY = '#define KEY(type, key, field, effect, min, max, doc) (KIND, #type, #key, #field, #effect, #min, #max, doc)\n'
SOURCE = '#define NULL None\n' + OPTION + '#include "conf/options.def"\n' \
    '#define ENTRY_COUNT_MAX 1000000\n#define ENTRY_TIME_MAX 1000000000\n' \
    '#define KIND "database"\n' + KEY + '#include "conf/database_keys.def"\n' \
    '#undef KIND\n#define KIND "user"\n' + KEY + '#include "conf/user_keys.def"\n' \
    '#undef KIND\n#define KIND "peer"\n' + KEY + '#include "conf/peer_keys.def"\n'

INTRO = """# Settings of perfkit-pooler

This page is made from the tables that the program itself reads (`pooler/conf/*.def`, by `tools/pooler_settings.py`);
`SHOW CONFIG` on the console shows the values in force. What is different from PgBouncer stands in
[from-pgbouncer.md](from-pgbouncer.md), a working file to start from in
[perfkit-pooler.ini.sample](perfkit-pooler.ini.sample).

- The main section is called `[perfkit-pooler]` or `[pgbouncer]`. A key given twice has its last value. `%include path` reads
  another file at that place.
- A comment starts with `;` or `#` and has a line of its own.
- A time is a number of seconds, also with a fraction, or has a unit: `us`, `ms`, `s`, `min`, `h`, `d`. A size is a number
  of bytes, or has a unit: `kB`, `MB`, `GB`.
- **restart**: a reload reports the change and goes on with the old value. Everything else is applied by a reload.
- **no effect yet**: accepted, so that a file made for PgBouncer can be used as it is; one warning in the log when the value
  is not the default.
- These values are refused because ignoring them would open a door or break a promise: `auth_type` other than `trust`, `any`
  and `scram-sha-256`; `client_tls_sslmode` and `server_tls_sslmode` from `require` on.

"""


def read_rows():
    """All rows of the .def files as tuples, the first field telling the table."""
    text = subprocess.run([os.environ.get("CC", "cc"), "-E", "-P", "-x", "c", "-I", str(ROOT / "pooler"), "-"],
                          input=SOURCE, capture_output=True, text=True, check=True).stdout
    rows = []
    for row in re.findall(r'\("(?:option|database|user|peer)",.*?"\)', text, re.S):
        rows.append(ast.literal_eval(row.replace("\n", " ")))
    if len(rows) < 100:
        sys.exit(f"pooler_settings.py: only {len(rows)} rows were read from pooler/conf/*.def")
    return rows


def cell(text):
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def default_cell(value):
    if value is None:
        return "not set"
    return f"`{value}`" if value != "" else "empty"


def remarks(change, effect):
    words = []
    if change == "RESTART":
        words.append("restart")
    if effect == "NO_EFFECT":
        words.append("no effect yet")
    return ", ".join(words)


def page(rows):
    """The whole page as text."""
    out = [INTRO]
    for group, title in GROUPS.items():
        out.append(f"## {title}\n\n| key | default | value | what it does | |\n|---|---|---|---|---|\n")
        for row in rows:
            if row[0] == "option" and row[8] == group:
                _, kind, key, dflt, change, effect, _, _, _, doc = row
                out.append(f"| `{key}` | {default_cell(dflt)} | {TYPES[kind]} | {cell(doc)} | {remarks(change, effect)} |\n")
        out.append("\n")
    for table, title in (("database", "[databases]: `name = key=value …`"), ("user", "[users]: `name = key=value …`"),
                         ("peer", "[peers]: `peer_id = key=value …`")):
        out.append(f"## {title}\n\n| key | value | what it does | |\n|---|---|---|---|\n")
        for row in rows:
            if row[0] == table:
                _, kind, key, _, effect, _, _, doc = row
                out.append(f"| `{key}` | {TYPES[kind]} | {cell(doc)} | {remarks('', effect)} |\n")
        out.append("\n")
    out.append("A value with blanks stands in single quotes, a quote inside is written twice. A name with unusual characters\n"
               "stands in double quotes. The database `*` stands for every database that is not listed. What is set for a user\n"
               "wins over what is set for a database, and that over the main section.\n")
    return "".join(out)


def code_of_readers():
    """The text of everything that may act on a setting, without comments; what merely shows it does not count."""
    parts = []
    for name in READERS:
        path = ROOT / "pooler" / name
        for file in sorted(path.glob("*.[ch]")) if path.is_dir() else [path]:
            if file.exists() and not file.name.startswith("show"):
                parts.append(re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.S))
    return "\n".join(parts)


def wrong_effects(rows):
    """Lines about rows whose effect column does not fit the code."""
    code = code_of_readers()
    for row in rows:
        if row[0] == "option":
            key, effect = row[2], row[5]
            field = key + "_us" if row[1].startswith("TIME") else key
        else:
            key, field, effect = row[2], row[3], row[4]
        # Limits are read through conf_limits(), where default_pool_size is called pool_size.
        if key == "default_pool_size":
            field = "pool_size"
        where = "" if row[0] == "option" else f" of a {row[0]}"
        if effect == "EFFECT" and not re.search(r"(->|\.)" + field + r"\b", code):
            yield f"{key}{where} is said to have an effect, but nothing in {', '.join(READERS)} acts on it"
        if effect == "NO_EFFECT" and re.search(r"\bc(onf)?->" + field + r"\b", code) and key != "conffile":
            yield f"{key}{where} is said to have no effect, but it is read"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    rows = read_rows()
    text = page(rows)
    if not args.check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
        return 0
    problems = list(wrong_effects(rows))
    if not PAGE.exists() or PAGE.read_text() != text:
        problems.append("docs/pooler-settings.md is not what pooler/conf/*.def says: run tools/pooler_settings.py")
    for problem in problems:
        print(f"pooler_settings.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
