#!/usr/bin/env python3
"""Writes what is written about the pooler's settings and commands, from the tables that the pooler itself is built from.

    tools/pooler_docs.py            writes docs/pooler.md, the manual pages docs/man/perfkit-pooler.1 and
                                    docs/man/perfkit-pooler.ini.5, and the tables of docs/from-pgbouncer.md
    tools/pooler_docs.py --check    fails when one of them is not what the tables say, or when the effect column of a
                                    row does not fit what the pooler's code reads

Sources: pooler/conf/*.def, pooler/core/commands.def, the usage text of pooler/main.c, and the table of signals in docs/operating.md.
"""
import argparse
import re
import sys

from pooler_tables import ROOT, read_rows

PAGE = ROOT / "docs" / "pooler.md"
MIGRATION = ROOT / "docs" / "from-pgbouncer.md"
MAN1 = ROOT / "docs" / "man" / "perfkit-pooler.1"
MAN5 = ROOT / "docs" / "man" / "perfkit-pooler.ini.5"
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
    "FACILITY": "auth, authpriv, cron, daemon, ftp, kern, lpr, mail, news, syslog, user, uucp, local0 to local7",
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

INTRO = """# perfkit-pooler: settings

This page is made by `tools/pooler_docs.py` from the tables that the program itself reads (`pooler/conf/*.def`); so are the
manual pages perfkit-pooler(1) and perfkit-pooler.ini(5). `SHOW CONFIG` on the console shows the values in force. The
console's commands: [pooler-console.md](pooler-console.md). How to run it: [operating.md](operating.md#the-pooler). What is
different from PgBouncer: [from-pgbouncer.md](from-pgbouncer.md). A file to start from:
[perfkit-pooler.ini.sample](perfkit-pooler.ini.sample).

"""

# Of the configuration file as such; read by both the page and the manual page.
FILE_RULES = [
    "The main section is called `[perfkit-pooler]` or `[pgbouncer]`. A key given twice has its last value. `%include path` "
    "reads another file at that place.",
    "A comment starts with `;` or `#` and has a line of its own.",
    "A time is a number of seconds, also with a fraction, or has a unit: `us`, `ms`, `s`, `min`, `h`, `d`. A size is a "
    "number of bytes, or has a unit: `kB`, `MB`, `GB`.",
    "**restart**: a reload reports the change and goes on with the old value. Everything else is applied by a reload; a "
    "file with a mistake changes nothing.",
    "**no effect**: accepted, so that a file made for PgBouncer can be used as it is; one warning in the log when the "
    "value is not the default. Where ignoring a value would open a door or break a promise, it is refused: "
    "see from-pgbouncer.md.",
]
ENTRY_RULES = (
    "A value with blanks stands in single quotes, a quote inside is written twice. A name with unusual characters stands in "
    "double quotes. The database `*` stands for every database that is not listed. What is set for a user wins over what is "
    "set for a database, and that over the main section."
)
SECTIONS = (
    ("database", "[databases]", "name = key=value …"),
    ("user", "[users]", "name = key=value …"),
    ("peer", "[peers]", "peer_id = key=value …"),
)

# What is PgBouncer 1.26's among the tables' rows: its documentation, config.html and usage.html.
LAST_PGBOUNCER_OPTION = "verbose"
PGBOUNCER_KEYS = {
    "database": "dbname host port user password auth_user auth_query auth_dbname client_encoding datestyle timezone "
    "application_name pool_size min_pool_size reserve_pool_size reserve_pool query_wait_timeout max_db_connections "
    "max_db_client_connections server_lifetime load_balance_hosts pool_mode connect_query",
    "user": "pool_mode pool_size reserve_pool_size max_user_connections max_user_client_connections query_timeout "
    "query_wait_timeout idle_transaction_timeout transaction_timeout client_idle_timeout",
    "peer": "host port pool_size",
}
PGBOUNCER_COMMANDS = (
    "SHOW ACTIVE_SOCKETS,SHOW CLIENTS,SHOW CONFIG,SHOW DATABASES,SHOW DNS_HOSTS,SHOW DNS_ZONES,SHOW FDS,SHOW HELP,SHOW LISTS,"
    "SHOW MEM,SHOW PEERS,SHOW PEER_POOLS,SHOW POOLS,SHOW SERVERS,SHOW SOCKETS,SHOW STATE,SHOW STATS,SHOW STATS_AVERAGES,"
    "SHOW STATS_TOTALS,SHOW TOTALS,SHOW USERS,SHOW VERSION,DISABLE,ENABLE,KILL,KILL_CLIENT,PAUSE,RECONNECT,RELOAD,RESUME,SET,"
    "SHUTDOWN,SUSPEND,WAIT_CLOSE"
)

# Remarks beside a PgBouncer key: where it means more or less than there. Whether it has an effect is the table's to say.
REMARKS = {
    "auth_query": "answers are kept for `auth_query_cache_time`",
    "auth_type": "ldap and pam are refused",
    "client_tls_sslmode": "certificate files are checked at start and by RELOAD",
    "job_name": "Windows only",
    "disable_pqexec": "does not concern the console",
    "log_pooler_errors": "errors that end a client or answer the console: see above",
    "logfile": "HUP opens it anew even if the file has a mistake",
    "pidfile": "locked while the process runs",
    "pkt_buf": "buffers are as large as they need to be",
    "pool_idle_timeout": "what the pool has counted stays in `SHOW STATS`",
    "query_timeout": "cancels the query; client and server connection stay",
    "sbuf_loopcnt": "not needed",
    "server_tls_sslmode": "allow and prefer mean what libpq means",
    "syslog": "the daemon is never waited for",
    "track_extra_parameters": "on top of the usual ones and IntervalStyle",
    "connect_query": "runs again behind server_reset_query",
    "dns_max_ttl": "a shorter time to live of the answer counts",
    "tcp_defer_accept": "not with so_reuseport",
}
# Where neglect would be a hole, a key without an effect is refused (conf/check.c, conf/entry.c).
REFUSED = {}
# The same beside a command.
COMMAND_REMARKS = {
    "SHOW DNS_ZONES": "always empty",
    "SHOW FDS": "always empty",
    "SUSPEND": "1.25's",
}
TABLES_BEGIN = "<!-- from here on made by tools/pooler_docs.py -->\n"


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
        words.append("no effect")
    return ", ".join(words)


def option_rows(rows, group):
    return [row for row in rows if row[0] == "option" and row[8] == group]


def entry_rows(rows, table):
    return [row for row in rows if row[0] == table]


class Command:
    """A row of commands.def."""

    def __init__(self, line):
        strings = re.findall(r'"((?:[^"\\\\]|\\\\.)*)"', line)
        self.name = ("SHOW " if line.startswith("SHOW") else "") + strings[0]
        self.arguments = " ".join(strings[1:-1])
        self.words = (self.name + " " + self.arguments).strip()
        self.help = strings[-1]
        self.admin = re.search(r"\bADMIN\b", line) is not None


def read_commands():
    text = (ROOT / "pooler" / "core" / "commands.def").read_text()
    found = [Command(line) for line in re.findall(r'^[A-Z]+\(".*\)$', text, re.M)]
    if len(found) < 15:
        sys.exit(f"pooler_docs.py: only {len(found)} rows were read from pooler/core/commands.def")
    return found


def page(rows):
    """docs/pooler.md."""
    out = [INTRO, "".join(f"- {rule}\n" for rule in FILE_RULES), "\n"]
    for group, title in GROUPS.items():
        out.append(f"## {title}\n\n| key | default | value | what it does | |\n|---|---|---|---|---|\n")
        for _, kind, key, dflt, change, effect, _, _, _, doc in option_rows(rows, group):
            out.append(f"| `{key}` | {default_cell(dflt)} | {TYPES[kind]} | {cell(doc)} | {remarks(change, effect)} |\n")
        out.append("\n")
    for table, title, form in SECTIONS:
        out.append(f"## {title}: `{form}`\n\n| key | value | what it does | |\n|---|---|---|---|\n")
        for _, kind, key, _, effect, _, _, doc in entry_rows(rows, table):
            out.append(f"| `{key}` | {TYPES[kind]} | {cell(doc)} | {remarks('', effect)} |\n")
        out.append("\n")
    out.append(ENTRY_RULES + "\n")
    return "".join(out)


# ---- from-pgbouncer.md


def state(key, effect):
    """What becomes of a PgBouncer key, in a word or two."""
    remark = REMARKS.get(key, "")
    if effect == "EFFECT":
        return remark or "the same"
    if key in REFUSED:
        return REFUSED[key]
    return "accepted, no effect" + (f": {remark}" if remark else "")


def pgbouncer_options(rows):
    for row in rows:
        if row[0] != "option":
            continue
        yield row
        if row[2] == LAST_PGBOUNCER_OPTION:
            return


def migration_tables(rows, commands):
    out = [TABLES_BEGIN, "\n## Every key of PgBouncer 1.26\n\n| key | here |\n|---|---|\n"]
    for row in pgbouncer_options(rows):
        out.append(f"| `{row[2]}` | {state(row[2], row[5])} |\n")
    for table, title, _ in SECTIONS:
        effects = {row[2]: row[4] for row in entry_rows(rows, table)}
        out.append(f"\n### {title}\n\n| key | here |\n|---|---|\n")
        for key in PGBOUNCER_KEYS[table].split():
            what = state(key, effects[key]) if key in effects else "not known"
            out.append(f"| `{key}` | {what} |\n")
    names = {c.name for c in commands}
    out.append("\n## Every command of PgBouncer 1.26\n\n| command | here |\n|---|---|\n")
    for command in PGBOUNCER_COMMANDS.split(","):
        what = COMMAND_REMARKS.get(command, "the same") if command in names else "not yet"
        out.append(f"| `{command}` | {what} |\n")
    ours = sorted(names - set(PGBOUNCER_COMMANDS.split(",")))
    if ours:
        out.append(f"\nOurs: {', '.join(f'`{name}`' for name in ours)}.\n")
    return "".join(out)


def migration_page(rows, commands):
    text = MIGRATION.read_text()
    return text.partition(TABLES_BEGIN)[0] + migration_tables(rows, commands)


# ---- the manual pages


def roff(text):
    """Text for troff: markdown's marks become fonts."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    text = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*([^*]+)\*\*|`([^`]+)`", lambda m: f"\\fB{m.group(1) or m.group(2)}\\fR", text)
    return "\\&" + text if text[:1] in ".'" else text


def man_head(name, section, what):
    version = re.search(r'PERFKIT_VERSION "([^"]+)"', (ROOT / "pooler" / "main.c").read_text()).group(1)
    return (f'.\\" Made by tools/pooler_docs.py\n.TH "{name.upper()}" "{section}" "" "perfkit {version}" "perfkit"\n'
            f".SH NAME\n{roff(name)} \\- {what}\n")


def tagged(tag, text):
    return f".TP\n{tag}\n{roff(text)}\n"


def usage_options():
    """The options as main.c's usage() lists them: [("-d, --daemon", "run …")]."""
    text = (ROOT / "pooler" / "main.c").read_text()
    found = re.findall(r'"  +(-\w, --[^ ]+|--[a-z-]+) +(.*?)\\n"', text)
    assert len(found) >= 6, "usage() in pooler/main.c"
    return found


def signal_rows():
    text = (ROOT / "docs" / "operating.md").read_text()
    found = re.findall(r"^\| (HUP|INT|TERM|QUIT|USR1|USR2) \| (.*) \|$", text, re.M)
    assert len(found) == 6, "the signals in docs/operating.md"
    return found


def man1(commands):
    out = [man_head("perfkit-pooler", 1, "connection pooler for PostgreSQL")]
    out.append(".SH SYNOPSIS\n.B perfkit\\-pooler\n[\\-d] [\\-q] [\\-v] [\\-R] [\\-u \\fIuser\\fR] \\fIconfig.ini\\fR\n.br\n"
               ".B perfkit\\-pooler\n\\-V | \\-h | \\-\\-sample\\-config\n")
    out.append(".SH DESCRIPTION\n" + roff(
        "perfkit-pooler stands between PostgreSQL and its clients: many clients share few server connections, which are "
        "handed on at the end of a session, a transaction or a statement. It reads PgBouncer's configuration files and "
        "answers PgBouncer's commands. It stays in the foreground unless `-d` is given, and does not run as root. Its "
        "settings are in `perfkit-pooler.ini`(5).") + "\n.SH OPTIONS\n")
    out += [tagged("\\fB" + option.replace("-", "\\-") + "\\fR", text) for option, text in usage_options()]
    out.append(".SH SIGNALS\n")
    out += [tagged(f"\\fBSIG{name}\\fR", text) for name, text in signal_rows()]
    out.append(".SH CONSOLE\n" + roff("The databases `pgbouncer` and `perfkit` take these commands of users in `admin_users`, "
                                      "and those of SHOW of users in `stats_users` too.") + "\n")
    out += [tagged(f"\\fB{c.words.replace('-', chr(92) + '-')}\\fR", c.help) for c in commands]
    out.append(".SH EXIT STATUS\n0 after an orderly end, 1 when it could not start; with \\-d this is what the command ends with,\n"
               "once the pooler listens.\n"
               ".SH ENVIRONMENT\n" + roff("`NOTIFY_SOCKET`, `LISTEN_FDS` and `LISTEN_PID` are the service manager's: see sd_notify(3) "
                                          "and sd_listen_fds(3).") + "\n"
               ".SH SEE ALSO\n.BR perfkit\\-pooler.ini (5)\n")
    return "".join(out)


def man5(rows):
    out = [man_head("perfkit-pooler.ini", 5, "configuration of perfkit\\-pooler"), ".SH DESCRIPTION\n"]
    out.append(".PP\n".join(roff(rule) + "\n" for rule in FILE_RULES))
    for group, title in GROUPS.items():
        out.append(f'.SH "{title.upper()}"\n')
        for _, kind, key, dflt, change, effect, _, _, _, doc in option_rows(rows, group):
            notes = "; ".join(["default: " + default_cell(dflt), TYPES[kind]] + [n for n in [remarks(change, effect)] if n])
            out.append(f".TP\n\\fB{key}\\fR\n{roff(doc)}\n.br\n[{roff(notes)}]\n")
    for table, title, form in SECTIONS:
        out.append(f'.SH "{title}"\n{roff(form)}\n')
        for _, kind, key, _, effect, _, _, doc in entry_rows(rows, table):
            notes = "; ".join([TYPES[kind]] + [n for n in [remarks("", effect)] if n])
            out.append(f".TP\n\\fB{key}\\fR\n{roff(doc)}\n.br\n[{roff(notes)}]\n")
    out.append(f".PP\n{roff(ENTRY_RULES)}\n.SH SEE ALSO\n.BR perfkit\\-pooler (1)\n")
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
        if effect == "NO_EFFECT" and re.search(r"\bc(onf)?->" + field + r"\b", code):
            yield f"{key}{where} is said to have no effect, but it is read"


def wrong_names(rows, commands):
    """Lines about names in this file's own lists that the tables do not have."""
    options = {row[2] for row in rows}
    for key in sorted({*REMARKS, *REFUSED} - options):
        yield f"there is a remark on {key}, which is no key"
    for table, keys in PGBOUNCER_KEYS.items():
        known = {row[2] for row in entry_rows(rows, table)}
        for key in keys.split():
            if key not in known:
                yield f"PgBouncer's {key} of a {table} is no key here"
    for name in sorted(COMMAND_REMARKS.keys() - {c.name for c in commands}):
        yield f"there is a remark on {name}, which is no command"
    if len({c.name for c in commands}) != len(commands):
        yield "a command stands twice in pooler/core/commands.def"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    rows, commands = read_rows(SOURCE, 100), read_commands()
    files = {
        PAGE: page(rows),
        MIGRATION: migration_page(rows, commands),
        MAN1: man1(commands),
        MAN5: man5(rows),
    }
    problems = [*wrong_names(rows, commands), *wrong_effects(rows)]
    for path, text in files.items():
        if not args.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            problems.append(f"{path.relative_to(ROOT)} is not what the tables say: run tools/pooler_docs.py")
    for problem in problems if args.check else ():
        print(f"pooler_docs.py: {problem}", file=sys.stderr)
    return 1 if args.check and problems else 0


if __name__ == "__main__":
    sys.exit(main())
