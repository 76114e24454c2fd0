#!/usr/bin/env bash
# run.sh - perfkit on real work, from nothing: set up, build, start a private PostgreSQL with the
# extension and the pooler in front of it, send work through both, show what the views say.
#
# All of it lives in run/ (see cluster.sh) and stays up; stop.sh ends it. Called again while it is
# up, it starts only what is missing or was rebuilt, and sends the work anew.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/cluster.sh
. "$TOP/tools/cluster.sh"

CLIENTS=50    # over POOL_SIZE server connections when pooled
SECONDS_EACH=${PERFKIT_RUN_SECONDS:-6}

FAILURES=0 # parts of the work that did not end as they should
TABLE=()   # one line a measured run

title()
{
    printf '\n%s\n' "$*"
}

# show <database> <psql argument>...: a table of PostgreSQL, indented
show()
{
    "$BIN/psql" -Xq -v ON_ERROR_STOP=1 -P footer=off -P null=- -P border=0 \
        -h 127.0.0.1 -U "$DEMO_USER" "$@" | sed 's/[[:space:]]*$//; /^$/d; s/^/  /'
}

# -- the measured work -----------------------------------------------------------------------------

# watch_servers: prints, twice a second until it is killed, how many server connections are in use
watch_servers()
{
    exec "$BIN/psql" -XAtq -h 127.0.0.1 -p "$PGPORT" -U "$DEMO_USER" -d "$DEMO_DATABASE" << 'EOF_WATCH'
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
  AND (state <> 'idle' OR state_change > clock_timestamp() - interval '1 s') \watch 0.5
EOF_WATCH
}

# percentiles <log prefix>: prints p95 and p99 in ms of a pgbench -l log
percentiles()
{
    find "$BENCH" -name "$1.[0-9]*" -exec cat {} + | awk '{ print $3 }' | sort -n |
        awk '{ v[NR] = $1 } END { if (NR) printf "%.1f %.1f", v[int((NR - 1) * 0.95) + 1] / 1000, v[int((NR - 1) * 0.99) + 1] / 1000; else printf "- -" }'
}

# measure <name> <port> <direct|pooled> <pgbench argument>...: runs, shows progress, adds to TABLE
measure()
{
    local name=$1 port=$2 through=$3 log watcher code=0 servers tps average tails failed
    shift 3
    log=$BENCH/${name// /-}-$through
    rm -f "$log".*
    printf '  %-26s %-7s' "$name" "$through"
    watch_servers > "$log.servers" 2> /dev/null &
    watcher=$!
    (
        cd "$BENCH"
        "$BIN/pgbench" -n -c "$CLIENTS" -j 2 -T "$SECONDS_EACH" -P 2 -l --sampling-rate=0.2 \
            --log-prefix="$(basename "$log").tx" -h 127.0.0.1 -p "$port" -U "$DEMO_USER" "$@" "$DEMO_DATABASE"
    ) 2>&1 > "$log.out" | tee "$log.err" |
        awk '/^progress: / { printf " %8.0f", $4; fflush() }' || code=$?
    kill "$watcher" 2> /dev/null || true
    wait "$watcher" 2> /dev/null || true
    printf '\n'
    # the first samples still see the connections of the run before
    servers=$(tail -n +4 "$log.servers" | sort -n | tail -n 1)
    tps=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$log.out")
    average=$(sed -n 's/^latency average = \([0-9.]*\) ms/\1/p' "$log.out")
    tails=$(percentiles "$(basename "$log").tx")
    TABLE+=("$(printf '%-26s %-7s %9s %9.1f %8.1f %8.1f %8s' "$name" "$through" "${tps:--}" "${average:-0}" \
        "${tails% *}" "${tails#* }" "${servers:--}" 2> /dev/null)")
    failed=$(grep -c 'aborted\|could not\|FATAL\|ERROR' "$log.err" || true)
    if [ "$code" != 0 ] || [ "$failed" != 0 ]; then
        FAILURES=$((FAILURES + 1))
        printf '    interrupted: %s\n' "$(grep -m 1 'FATAL\|ERROR\|could not\|aborted\|error' "$log.err" || tail -n 1 "$log.err")"
        recover
    fi
    if [ -n "$tps" ]; then
        db -d "$DEMO_DATABASE" -v name="$name" -v through="$through" -v tps="$tps" << 'EOF_SQL' > /dev/null || true
SELECT perfkit.log_metric('pgbench_transactions_per_second', :tps,
                          jsonb_build_object('workload', :'name', 'through', :'through'));
EOF_SQL
    fi
}

# recover: after a part of the work was interrupted, waits for PostgreSQL to come back from a crash,
# and starts again what is gone
recover()
{
    if postmaster_pid > /dev/null; then
        wait_for 60 postgresql_answers || die "PostgreSQL does not come back (log: $LOGS/postgresql.log)"
    else
        say "PostgreSQL is gone (log: $LOGS/postgresql.log): starting it again"
        start_postgresql
    fi
    pooler_pid > /dev/null || say "the pooler is gone (log: $LOGS/pooler.log): starting it again"
    start_pooler
    write_env
}

run_workload()
{
    local note="transactions per second, every 2 s"
    title "$CLIENTS clients, direct and through the pooler's $POOL_SIZE server connections ($note)"
    measure "select-only" "$PGPORT" direct -S
    measure "select-only" "$POOLER_PORT" pooled -S
    measure "TPC-B" "$PGPORT" direct
    measure "TPC-B" "$POOLER_PORT" pooled
    measure "select-only, reconnecting" "$PGPORT" direct -S -C
    measure "select-only, reconnecting" "$POOLER_PORT" pooled -S -C
}

# -- the statements the views will show ------------------------------------------------------------

run_statements()
{
    local file out
    title "Slow statements, a failing one, a timeout, a materialized view, all through the pooler"
    for file in slow matview failing; do
        printf '  %s.sql\n' "tools/demo/$file"
        out=$BENCH/$file.out
        if ! PGAPPNAME=demo "$BIN/psql" -Xq -h 127.0.0.1 -p "$POOLER_PORT" -U "$DEMO_USER" -d "$DEMO_DATABASE" \
            -f "$TOP/tools/demo/$file.sql" > "$out" 2>&1; then
            printf '    interrupted: %s\n' "$(tail -n 1 "$out")"
            FAILURES=$((FAILURES + 1))
            recover
        fi
        sed -n 's/^.*ERROR: */    the server said: /p' "$out"
    done
}

# all_stored: nothing is left in the rings
all_stored()
{
    [ "$(db -d "$DEMO_DATABASE" -c "SELECT value FROM perfkit.status WHERE name = 'pending'")" = 0 ]
}

# -- what a DBA would ask --------------------------------------------------------------------------

show_views()
{
    wait_for 15 all_stored || say "the database worker has not stored everything yet"
    title "Slow queries (perfkit.slow_queries)"
    show -p "$PGPORT" -d "$DEMO_DATABASE" -v since="$SINCE" -f "$TOP/tools/demo/show_slow.sql"
    title "Failed queries (perfkit.failed_queries)"
    show -p "$PGPORT" -d "$DEMO_DATABASE" -v since="$SINCE" -f "$TOP/tools/demo/show_failed.sql"
    title "Direct and pooled, $CLIENTS clients"
    printf '  %-26s %-7s %9s %9s %8s %8s %8s\n' workload through tps "avg ms" "p95 ms" "p99 ms" servers
    printf '  %s\n' "${TABLE[@]}"
    title "The same, as logged with log_metric() (perfkit.performance_log)"
    show -p "$PGPORT" -d "$DEMO_DATABASE" -v since="$SINCE" -f "$TOP/tools/demo/show_metrics.sql"
    title "Pools (SHOW POOLS and SHOW STATS on the pooler's console)"
    show_pools
    title "Can it be trusted? (perfkit.status)"
    show -p "$PGPORT" -d "$DEMO_DATABASE" -f "$TOP/tools/demo/show_status.sql"
}

# console <command>: its answer with the column names, fields separated by |
console()
{
    "$BIN/psql" -XAq -F '|' -P footer=off -h 127.0.0.1 -p "$POOLER_PORT" -U "$DEMO_USER" -d perfkit -c "$1"
}

# show_pools: what a reader wants of SHOW POOLS and SHOW STATS; the rest is for machines
show_pools()
{
    console 'SHOW POOLS' | awk -F '|' '
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
        { printf "  %-10s %-10s %9s %10s %9s %7s %10s  %s\n", $column["database"], $column["user"],
            $column["cl_active"], $column["cl_waiting"], $column["sv_active"], $column["sv_idle"],
            $column["maxwait_us"], $column["pool_mode"] }'
    console 'SHOW STATS' | awk -F '|' -v database="$DEMO_DATABASE" '
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $column["database"] == database && $column["total_xact_count"] > 0 {
            printf "  since its start: %d transactions, %d queries, %.1f ms of waiting for a server in the mean transaction\n",
                $column["total_xact_count"], $column["total_query_count"],
                $column["total_wait_time"] / $column["total_xact_count"] / 1000 }'
}

show_where()
{
    title "It stays up; make stop ends it"
    printf '  %-12s psql -h 127.0.0.1 -p %s -U %s %s\n' "PostgreSQL" "$PGPORT" "$DEMO_USER" "$DEMO_DATABASE"
    printf '  %-12s psql -h 127.0.0.1 -p %s -U %s %s\n' "pooled" "$POOLER_PORT" "$DEMO_USER" "$DEMO_DATABASE"
    printf '  %-12s psql -h 127.0.0.1 -p %s -U %s perfkit\n' "console" "$POOLER_PORT" "$DEMO_USER"
    printf '  %-12s run/env (ports, for scripts), run/var/log\n' "files"
}

# -- main ------------------------------------------------------------------------------------------

"$TOP/tools/setup.sh" run || exit 1
use_cluster
use_programs
if [ -f "$ENV_FILE" ] && pooler_pid > /dev/null && postmaster_pid > /dev/null; then
    say "already up; sending the work again"
fi
start_all
BENCH=$BASE/var/bench
mkdir -p "$BENCH"
say "PostgreSQL $("$PG_CONFIG" --version | cut -d ' ' -f 2) with perfkit on 127.0.0.1:$PGPORT, the pooler on 127.0.0.1:$POOLER_PORT"
SINCE=$(db -d "$DEMO_DATABASE" -c 'SELECT clock_timestamp()')
load_tables
run_workload
run_statements
show_views
show_where
if [ "$FAILURES" != 0 ]; then
    die "$FAILURES part(s) of the work were interrupted, see above"
fi
