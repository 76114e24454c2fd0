#!/usr/bin/env bash
# bench.sh - throughput and latency against the number of clients, direct and pooled, side by side.
#
# Uses the cluster and the pooler of run.sh (starting them if need be) and pgbench. Each figure is
# the median of PERFKIT_BENCH_ROUNDS rounds (3) of PERFKIT_BENCH_SECONDS (5) each; direct and pooled
# take turns, so that a slow minute of the machine hits both. Then CPU, memory and latency beside
# PgBouncer (tests/bench/beside.py), where that can be had; PERFKIT_BENCH_BESIDE=only does nothing else.
# Then what schedules of materialized views cost (tests/bench/schedules.py), and
# what capture costs: the rows it stores in a second (tests/bench/stored.py), and the instructions
# it adds to a statement (tests/bench/instructions.py), where there is valgrind;
# PERFKIT_BENCH_CAPTURE=only does nothing else. Before that, what a crowd of idle clients and pools costs
# those who work (tests/bench/crowd.py); PERFKIT_BENCH_CROWD=only does nothing else.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/cluster.sh
. "$TOP/tools/cluster.sh"

ROUNDS=${PERFKIT_BENCH_ROUNDS:-3}
SECONDS_EACH=${PERFKIT_BENCH_SECONDS:-5}
CLIENT_COUNTS=${PERFKIT_BENCH_CLIENTS:-1 10 50 100}
BESIDE=${PERFKIT_BENCH_BESIDE:-yes} # yes, no, only
CAPTURE=${PERFKIT_BENCH_CAPTURE:-yes}
CROWD=${PERFKIT_BENCH_CROWD:-yes}

# one_round <port> <clients> <pgbench argument>...: prints `tps average-ms`
one_round()
{
    local port=$1 clients=$2
    shift 2
    "$BIN/pgbench" -n -c "$clients" -j 2 -T "$SECONDS_EACH" -h 127.0.0.1 -p "$port" -U "$DEMO_USER" "$@" \
        "$DEMO_DATABASE" 2> "$BENCH/bench.err" |
        awk '/^latency average = / { ms = $4 } /^tps = / { tps = $3 } END { if (tps) print tps, ms }'
}

# pgbench_failed <direct|pooled>
pgbench_failed()
{
    die "pgbench failed, $1: $(tail -n 1 "$BENCH/bench.err")"
}

# median <file> <column>
median()
{
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# compare <name> <pgbench argument>...: one line a client count
compare()
{
    local name=$1 clients round
    shift
    for clients in $CLIENT_COUNTS; do
        rm -f "$BENCH"/bench.{direct,pooled}
        for ((round = 0; round < ROUNDS; round++)); do
            one_round "$PGPORT" "$clients" "$@" >> "$BENCH/bench.direct" || pgbench_failed direct
            one_round "$POOLER_PORT" "$clients" "$@" >> "$BENCH/bench.pooled" || pgbench_failed pooled
        done
        printf '%-12s %7d %10.0f %10.0f %9.2f %9.2f\n' "$name" "$clients" \
            "$(median "$BENCH/bench.direct" 1)" "$(median "$BENCH/bench.pooled" 1)" \
            "$(median "$BENCH/bench.direct" 2)" "$(median "$BENCH/bench.pooled" 2)"
    done
}

# direct_and_pooled: throughput and latency
direct_and_pooled()
{
    start_all
    BENCH=$BASE/var/bench
    mkdir -p "$BENCH"
    load_tables
    say "$(nproc) cores, pool of $POOL_SIZE, medians of $ROUNDS rounds of $SECONDS_EACH s"
    printf '%-12s %7s %10s %10s %9s %9s\n' workload clients "tps" "tps" "avg ms" "avg ms"
    printf '%-12s %7s %10s %10s %9s %9s\n' "" "" direct pooled direct pooled
    compare select-only -S
    compare extended -S -M extended
    compare TPC-B
}

# beside_pgbouncer: says why not where there is none
beside_pgbouncer()
{
    local rival
    rival=$("$TOP/tools/rival.sh") || return 0
    say "beside PgBouncer, one thread each, medians of $ROUNDS rounds of $SECONDS_EACH s"
    /usr/bin/python3 "$TOP/tests/bench/beside.py" --rounds "$ROUNDS" --seconds "$SECONDS_EACH" \
        "$TOP/pooler/perfkit-pooler" "$rival"
    say "logins and TLS, beside the same"
    /usr/bin/python3 "$TOP/tests/bench/front.py" --rounds "$ROUNDS" --seconds "$SECONDS_EACH" \
        "$TOP/pooler/perfkit-pooler" "$rival"
}

# crowd: what idle clients and pools cost, and a look at all of them
crowd()
{
    say "a crowd of idle clients and pools, one thread, medians of $ROUNDS rounds of $SECONDS_EACH s"
    /usr/bin/python3 "$TOP/tests/bench/crowd.py" --rounds "$ROUNDS" --seconds "$SECONDS_EACH" \
        "$TOP/pooler/perfkit-pooler"
}

# capture: says why not where instructions cannot be counted
capture()
{
    install_private
    say "captured statements on their way to the table"
    PG_CONFIG="$BIN/pg_config" /usr/bin/python3 "$TOP/tests/bench/stored.py"
    say "a thousand schedules of materialized views"
    PG_CONFIG="$BIN/pg_config" /usr/bin/python3 "$TOP/tests/bench/schedules.py"
    if ! have valgrind; then
        say "instructions are not counted: valgrind is missing (apt-get install valgrind)"
        return 0
    fi
    say "instructions a statement takes, counted by callgrind"
    PG_CONFIG="$BIN/pg_config" /usr/bin/python3 "$TOP/tests/bench/instructions.py"
}

# wanted <part's choice> <others' choice>...: it is not left out, and no other part alone is asked for
wanted()
{
    [ "$1" != no ] || return 1
    [ "$1" != only ] || return 0
    shift
    case " $* " in *" only "*) return 1 ;; esac
}

"$TOP/tools/setup.sh" run || exit 1
use_cluster
use_programs
! wanted yes "$BESIDE" "$CAPTURE" "$CROWD" || direct_and_pooled
! wanted "$BESIDE" "$CAPTURE" "$CROWD" || { build_all && beside_pgbouncer; }
! wanted "$CROWD" "$BESIDE" "$CAPTURE" || { build_all && crowd; }
! wanted "$CAPTURE" "$BESIDE" "$CROWD" || { build_all && capture; }
