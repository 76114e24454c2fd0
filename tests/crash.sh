#!/usr/bin/env bash
# crash.sh - what make run promises when something dies in the middle of its work.
#
# A cluster and a pooler of its own (run/crash, free ports) work under pgbench with every statement
# captured, while in turn a backend, the perfkit worker, the pooler and the postmaster get SIGKILL.
# After each: what was stored is still there, the books balance, work goes on, and the stop script
# stops. At last a clean stop in the middle of work, which may lose nothing.
#
# Prints TAP. Conditions are waited for with a deadline, never slept for.
export PERFKIT_RUN_DIR=${PERFKIT_RUN_DIR:-$(cd "$(dirname "$0")/.." && pwd -P)/run/crash}
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/../tools/lib.sh"
# shellcheck source=tools/cluster.sh
. "$TOP/tools/cluster.sh"

TESTS=0
FAILED=0
LOAD= # pid of the pgbench that runs

# ok <what> <command>...: one test
ok()
{
    local what=$1
    shift
    TESTS=$((TESTS + 1))
    if "$@" > "$BASE/check/last.out" 2>&1; then
        printf 'ok %d - %s\n' "$TESTS" "$what"
    else
        FAILED=$((FAILED + 1))
        printf 'not ok %d - %s\n' "$TESTS" "$what"
        sed 's/^/# /' "$BASE/check/last.out"
    fi
}

# counter <name>: prints that row of perfkit.status
counter()
{
    db -d "$DEMO_DATABASE" -c "SELECT value FROM perfkit.status WHERE name = '$1'"
}

# stored_rows: prints how many rows the log holds
stored_rows()
{
    db -d "$DEMO_DATABASE" -c 'SELECT count(*) FROM perfkit.slow_query_log'
}

stored_more_than()
{
    [ "$(stored_rows)" -gt "$1" ]
}

nothing_pending()
{
    [ "$(counter pending)" = 0 ]
}

# books_balance: at rest, captured = stored + pending + all that was dropped
books_balance()
{
    local books="SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END), string_agg(name || '=' || value, ' ')
        FROM perfkit.status WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'"
    db -d "$DEMO_DATABASE" -c "$books"
    [ "$(db -d "$DEMO_DATABASE" -c "$books" | cut -d '|' -f 1)" = 0 ]
}

# pid_of <condition on pg_stat_activity>: prints one matching pid
pid_of()
{
    db -d "$DEMO_DATABASE" -c "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $1 LIMIT 1"
}

# start_load: pgbench through the pooler, until stop_load
start_load()
{
    "$BIN/pgbench" -n -c 10 -T 600 -h 127.0.0.1 -p "$POOLER_PORT" -U "$DEMO_USER" "$DEMO_DATABASE" \
        > "$BASE/check/load.out" 2>&1 &
    LOAD=$!
}

stop_load()
{
    kill "$LOAD" 2> /dev/null || true
    wait "$LOAD" 2> /dev/null || true
    LOAD=
}

# bring_back: as make run does after an interruption
bring_back()
{
    stop_load
    if postmaster_pid > /dev/null; then
        wait_for 60 postgresql_answers
    else
        start_postgresql
    fi
    start_pooler
}

# find_victim <function that prints its pid>: into strike's victim
find_victim()
{
    victim=$("$1") && [ -n "$victim" ]
}

# strike <what> <function that prints its pid>: kills it in the middle of work, and judges what follows
strike()
{
    local what=$1 victim before
    start_load
    before=$(stored_rows)
    ok "$what: rows are stored while the work runs" wait_for 30 stored_more_than "$before"
    ok "$what: there is one" wait_for 30 find_victim "$2" # none may be doing that just now
    before=$(stored_rows)
    ok "$what: it could be killed" kill -KILL "${victim:?}"
    ok "$what: it is gone" wait_for 30 is_gone "$victim"
    ok "$what: all comes back" bring_back
    ok "$what: no stored row was lost" test "$(stored_rows)" -ge "$before"
    ok "$what: the rings are emptied again" wait_for 60 nothing_pending
    ok "$what: the books balance" books_balance
    ok "$what: the pooler serves again" pooled -d "$DEMO_DATABASE" -c 'SELECT count(*) FROM pgbench_branches'
}

backend()
{
    pid_of "backend_type = 'client backend' AND query LIKE 'UPDATE pgbench_%'"
}

worker()
{
    pid_of "backend_type LIKE 'perfkit%' AND datname = current_database()"
}

# clean_stop: statements that ended before a clean stop are all there after the next start
clean_stop()
{
    local marker="crash_test_$$" n=200
    seq "$n" | sed "s/.*/SELECT & AS $marker;/" | db -d "$DEMO_DATABASE" > /dev/null
    start_load
    ok "clean stop: both were running and stopped" "$TOP/tools/stop.sh"
    stop_load
    ok "clean stop: nothing is left running" no_cluster_processes
    bring_back
    ok "clean stop: the rings are emptied again" wait_for 60 nothing_pending
    ok "clean stop: all $n statements of before are stored" test "$n" = "$(db -d "$DEMO_DATABASE" \
        -c "SELECT count(*) FROM perfkit.slow_query_log WHERE query LIKE 'SELECT % AS $marker%'")"
    ok "clean stop: the books balance" books_balance
    ok "clean stop: it counts as clean" test "$1" = "$(counter unclean_starts)"
}

use_cluster
use_programs
trap 'stop_load; "$TOP/tools/stop.sh" --remove > /dev/null' EXIT
own_dir "$BASE/check"
PGPORT=$(free_port 0)
POOLER_PORT=$(free_port 0)
start_all
load_tables
db -d "$DEMO_DATABASE" -c "ALTER SYSTEM SET perfkit.slow_query_threshold = 0" \
    -c "ALTER SYSTEM SET perfkit.record_rate = 0" -c "SELECT pg_reload_conf()" > /dev/null

strike "a backend" backend
strike "the perfkit worker" worker
strike "the pooler" pooler_pid
strike "the postmaster" postmaster_pid
unclean=$(counter unclean_starts)
ok "three crashes of PostgreSQL were counted" test "$unclean" = 3
clean_stop "$unclean"
kill -KILL "$(postmaster_pid)" "$(pooler_pid)"
ok "stop works when both were killed" "$TOP/tools/stop.sh"
ok "and once more when there is nothing to stop" "$TOP/tools/stop.sh"
ok "nothing is left running" no_cluster_processes
printf '1..%d\n' "$TESTS"
[ "$FAILED" = 0 ]
