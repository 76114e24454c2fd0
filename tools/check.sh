#!/usr/bin/env bash
# check.sh [--variant default|asan|tsan] [--long] [suite]... - sets up, builds and runs the tests.
#
# Suites: layers sizes unit regress isolation tap e2e crash, which are run if none is named, and fuzz, stress, pool_stress,
# clients, pgsuite, capsuite, soak, which --long runs too, and newer, for PostgreSQL 17 and later. Servers run as
# an unprivileged user on ports and in folders of their own, from a private copy of PostgreSQL; the
# installed one is not touched. Each suite prints one line, a failing one also the part of its log
# that tells; the last line is `N passed, N failed`. Logs: run/check/<suite>.log.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/cluster.sh
. "$TOP/tools/cluster.sh"

ALL_SUITES=(layers sizes unit regress isolation tap e2e crash)
OTHER_SUITES=(fuzz stress pool_stress clients pgsuite capsuite soak newer) # named by check-asan, check-long and check-17
FUZZ_SECONDS=${PERFKIT_FUZZ_SECONDS:-0}        # all targets together; 0 replays the corpus
STRESS_SECONDS=${PERFKIT_STRESS_SECONDS:-120}  # of stress and pool_stress
SOAK_SECONDS=${PERFKIT_SOAK_SECONDS:-600}
SUITE_SECONDS=900 # a suite that takes longer hangs, even on a busy machine; sanitizer builds get twice that
JOBS=$(($(nproc) + 1)) # tests at a time: most of a test is waiting
VARIANT=default
LONG=no
SUITES=()
TOTAL_PASSED=0
TOTAL_FAILED=0

# -- what every suite uses -------------------------------------------------------------------------

# count <log> <extended regular expression>: prints how many lines match
count()
{
    grep -cE "$2" "$1" || true
}

# bounded <command>...: as SERVER_USER, in the log, ended when it hangs
bounded()
{
    local code=0 seconds=$SUITE_SECONDS
    [ "$VARIANT" = default ] || seconds=$((2 * SUITE_SECONDS))
    as_server timeout --kill-after=10 "$seconds" "$@" >> "$LOG" 2>&1 < /dev/null || code=$?
    [ "$code" != 124 ] || printf '\nperfkit: the suite was ended after %s s\n' "$seconds" >> "$LOG"
    return "$code"
}

# end_servers <dir>: the servers with their data in it, which a suite that was ended could not stop
end_servers()
{
    local file
    while read -r file; do
        as_server "$BIN/pg_ctl" stop -s -m immediate -D "$(dirname "$file")" >> "$LOG" 2>&1 || true
    done < <(as_server find "$1" -name postmaster.pid)
}

# use_sources: sets SRC, a copy of what the tests read if SERVER_USER cannot reach the checkout
use_sources()
{
    SRC=$TOP
    [ "$REACHABLE" = no ] || return 0
    SRC=$BASE/check/src
    rm -rf "$SRC"
    mkdir -p "$SRC/pooler"
    cp -R "$TOP/tests" "$TOP/sql" "$TOP/expected" "$TOP/pg_ext" "$TOP/docs" "$TOP/tools" "$TOP/contrib" "$SRC/" 2> /dev/null || true
    # Of the pooler the programs, and the tables that tests and documentation are compared with.
    (cd "$TOP/pooler" && find . '(' -path './build/*' -type f -perm -u+x -o -name '*.def' -o -name '*.[ch]' ')' \
        -exec cp --parents -t "$SRC/pooler" {} +)
    [ ! -x "$TOP/pooler/perfkit-pooler" ] || cp "$TOP/pooler/perfkit-pooler" "$SRC/pooler/"
    chown -R "$SERVER_USER": "$SRC"
}

# pooler_binary: prints the pooler of this variant
pooler_binary()
{
    if [ "$VARIANT" = default ]; then
        printf '%s\n' "$SRC/pooler/perfkit-pooler"
    else
        printf '%s\n' "$SRC/pooler/build/$VARIANT/perfkit-pooler"
    fi
}

# fresh_dir <name>: prints an empty folder of SERVER_USER in run/check
fresh_dir()
{
    local dir=$BASE/check/$1
    as_server rm -rf "$dir"
    as_server mkdir "$dir"
    printf '%s\n' "$dir"
}

# -- the suites: each writes LOG and sets PASSED, FAILED -------------------------------------------

# run_script <script>: its self-test and the check itself, one test each
run_script()
{
    local argument
    for argument in --self-test ''; do
        if "$TOP/tests/$1" ${argument:+"$argument"} >> "$LOG" 2>&1; then
            PASSED=$((PASSED + 1))
        else
            FAILED=$((FAILED + 1))
        fi
    done
}

suite_layers()
{
    run_script check_layers.sh
}

suite_sizes()
{
    run_script check_sizes.sh
}

# unit: a program that ends badly without naming a failed test (a crash, a sanitizer's report) counts
# as one failed test
# run_unit <test_*.c>...
run_unit()
{
    local source name one code unrandomized=()
    # ThreadSanitizer does not know the memory layouts of the latest kernels' randomization
    if [ "$VARIANT" = tsan ] && setarch -R true 2> /dev/null; then
        unrandomized=(setarch -R)
    fi
    for source in "$@"; do
        name=$(basename "$source" .c)
        one=$BASE/check/unit-$name.log
        code=0
        LOG=$one bounded env CMOCKA_MESSAGE_OUTPUT=TAP "${unrandomized[@]}" "$SRC/pooler/build/$VARIANT/unit/$name" || code=$?
        PASSED=$((PASSED + $(count "$one" '^ok [0-9]')))
        FAILED=$((FAILED + $(count "$one" '^not ok [0-9]')))
        if [ "$code" != 0 ] && ! grep -q '^not ok [0-9]' "$one"; then
            FAILED=$((FAILED + 1))
            printf 'not ok: %s ended with code %s\n' "$name" "$code" >> "$one"
        fi
        { printf '%s\n' "-- $name"; cat "$one"; } >> "$LOG"
        rm -f "$one"
    done
}

suite_unit()
{
    run_unit "$TOP"/tests/unit/test_*.c
}

# run_pg_regress <program> <outputdir> <inputdir> <test>...
run_pg_regress()
{
    local program=$1 out=$2 input=$3
    shift 3
    mkdir -p "$out"
    cat > "$out/perfkit.conf" << 'EOF_CONF'
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
max_prepared_transactions = 10
perfkit.flush_interval = '50ms'
perfkit.sample_interval = 0
fsync = off
EOF_CONF
    chmod a+r "$out/perfkit.conf"
    (
        cd "$out"
        bounded "$program" --bindir="$BIN" --inputdir="$input" --outputdir="$out" --temp-instance="$out/instance" \
            --temp-config="$out/perfkit.conf" --encoding=UTF8 --no-locale "$@"
    ) || true
    # 15 prints `test name ... ok`, 16 and later TAP
    PASSED=$(count "$LOG" '^(test )?[ ]*[a-z0-9_+-]+ +\.\.\. ok|^ok [0-9]')
    FAILED=$(count "$LOG" '\.\.\. FAILED|^not ok [0-9]')
    if [ $((PASSED + FAILED)) -lt "$EXPECTED" ]; then
        FAILED=$((EXPECTED - PASSED))
        printf '\nperfkit: %s of %s tests reported\n' "$PASSED" "$EXPECTED" >> "$LOG"
        tail -n 20 "$out/log/postmaster.log" >> "$LOG" 2> /dev/null || true
    fi
    if [ "$FAILED" != 0 ] && [ -s "$out/regression.diffs" ]; then
        cat "$out/regression.diffs" >> "$LOG"
        printf '\n-- the server log, where it speaks of perfkit:\n' >> "$LOG"
        grep -F 'perfkit: ' "$out/log/postmaster.log" | tail -n 20 | sed 's/^/  /' >> "$LOG" || true
    fi
}

suite_regress()
{
    local tests
    mapfile -t tests < <(find "$TOP/sql" -name '*.sql' -exec basename {} .sql \; | sort)
    EXPECTED=${#tests[@]}
    run_pg_regress "$PGXS_TEST/regress/pg_regress" "$(fresh_dir regress)" "$SRC" "${tests[@]}"
}

suite_isolation()
{
    local tests
    mapfile -t tests < <(find "$TOP/tests/isolation/specs" -name '*.spec' -exec basename {} .spec \; | sort)
    EXPECTED=${#tests[@]}
    run_pg_regress "$PGXS_TEST/isolation/pg_isolation_regress" "$(fresh_dir isolation)" "$SRC/tests/isolation" "${tests[@]}"
}

# tap: a file that dies without `not ok` counts as one failed test
# run_tap <file>...
run_tap()
{
    local dir code=0 died
    dir=$(fresh_dir tap)
    # versions of the extension for tests only
    cp "$TOP"/tests/tap/share/*.sql "$("$BIN/pg_config" --sharedir)/extension/"
    (
        cd "$dir"
        bounded env PATH="$BIN:$PATH" PG_CONFIG="$BIN/pg_config" PG_REGRESS="$PGXS_TEST/regress/pg_regress" \
            TESTDIR="$dir" TESTDATADIR="$dir/tmp_check" TESTLOGDIR="$dir/tmp_check/log" top_builddir="$dir" \
            PERFKIT_POOLER="$(pooler_binary)" \
            prove --verbose --jobs "$JOBS" --timer -I "$PGXS_TEST/perl" -I "$SRC/tests/tap" "$@"
    ) || code=$?
    end_servers "$dir"
    rm -f "$("$BIN/pg_config" --sharedir)"/extension/perfkit--*.test.sql
    PASSED=$(count "$LOG" '^ok [0-9]')
    FAILED=$(count "$LOG" '^not ok [0-9]')
    died=$(count "$LOG" '^  (Parse errors|Non-zero (exit|wait) status)')
    if [ "$code" != 0 ] && [ "$FAILED" = 0 ]; then
        FAILED=$((died > 0 ? died : 1))
    fi
}

suite_tap()
{
    run_tap "$SRC"/tests/tap/*.pl
}

# soak: performance_log over ten minutes of work
suite_soak()
{
    local SUITE_SECONDS=$((SUITE_SECONDS + SOAK_SECONDS))
    PERFKIT_RUN_SECONDS=$SOAK_SECONDS run_tap "$SRC/tests/tap/000_performance_run.pl"
}

# run_pytest <file or folder>...
run_pytest()
{
    local dir code=0 summary errors
    dir=$(fresh_dir e2e)
    (
        cd "$SRC"
        bounded env PATH="$BIN:$PATH" PG_CONFIG="$BIN/pg_config" PERFKIT_POOLER="$(pooler_binary)" \
            PYTHONDONTWRITEBYTECODE=1 HOME="$dir" \
            /usr/bin/python3 -m pytest -q -n "$JOBS" -p no:cacheprovider --basetemp="$dir/tmp" --durations=10 "$@"
    ) || code=$?
    summary=$(grep -E '(passed|failed|error|skipped).* in [0-9.]+s' "$LOG" | tail -n 1 || true)
    PASSED=$(number_before passed "$summary")
    FAILED=$(number_before failed "$summary")
    errors=$(number_before 'errors\{0,1\}' "$summary")
    SKIPPED=$(number_before skipped "$summary")
    FAILED=$((FAILED + errors))
    if [ "$code" != 0 ] && [ "$FAILED" = 0 ]; then
        FAILED=1
    fi
}

suite_e2e()
{
    run_pytest "$SRC/tests/e2e"
}

# stress: two hundred clients that leave, cancel and lose their servers, once a pool mode
suite_stress()
{
    local SUITE_SECONDS=$((SUITE_SECONDS + 4 * STRESS_SECONDS))
    export PERFKIT_STRESS_SECONDS=$STRESS_SECONDS
    run_pytest "$SRC/tests/e2e/test_stress.py"
    unset PERFKIT_STRESS_SECONDS
}

# newer: the pooler with what only PostgreSQL 17 and later, and their libpq, can do
suite_newer()
{
    run_pytest "$SRC/tests/e2e/test_newer.py"
}

# clients: all real clients, also those that take long to build
suite_clients()
{
    local unpacked=$BASE/check/prometheus
    if [ -d "$RUN_DIR/prometheus/usr" ]; then # what setup.sh has unpacked, where SERVER_USER can reach it
        rm -rf "$unpacked"
        cp -R "$RUN_DIR/prometheus" "$unpacked"
        chown -R "$SERVER_USER" "$unpacked"
    fi
    PERFKIT_PROMETHEUS=$unpacked/usr/bin PERFKIT_CLIENTS=all PERFKIT_TEST_PATIENCE=5 run_pytest "$SRC/tests/e2e/test_clients.py"
}

# pool_stress: the pool alone, four loops at once; for the ThreadSanitizer build
suite_pool_stress()
{
    local SUITE_SECONDS=$((SUITE_SECONDS + 2 * STRESS_SECONDS))
    export PERFKIT_STRESS_SECONDS=$STRESS_SECONDS
    run_unit "$TOP/tests/unit/test_pool_stress.c"
    unset PERFKIT_STRESS_SECONDS
}

# pgsuite: PostgreSQL's own regression suite, whose inputs are downloaded once
suite_pgsuite()
{
    local dir inputs=$BASE/pgsuite
    dir=$(fresh_dir pgsuite)
    if ! "$TOP/tools/pgsource.sh" "$inputs" >> "$LOG" 2>&1; then
        FAILED=1
        return 0
    fi
    /usr/bin/python3 "$TOP/tests/pgsuite/run.py" "$(pooler_binary)" "$inputs/regress" "$dir" >> "$LOG" 2>&1 || FAILED=1
    PASSED=$(count "$LOG" '^ok - ')
    FAILED=$((FAILED + $(count "$LOG" '^not ok - ')))
    [ "$FAILED" = 0 ] || cat "$dir/differences" >> "$LOG" || true
}

# capsuite: PostgreSQL's own regression and isolation suites with everything captured
suite_capsuite()
{
    local dir inputs=$BASE/pgsuite
    dir=$(fresh_dir capsuite)
    if ! "$TOP/tools/pgsource.sh" "$inputs" >> "$LOG" 2>&1; then
        FAILED=1
        return 0
    fi
    env PATH="$BIN:$PATH" PG_CONFIG="$BIN/pg_config" \
        /usr/bin/python3 "$TOP/tests/capsuite/run.py" "$inputs" "$dir" >> "$LOG" 2>&1 || FAILED=1
    PASSED=$(count "$LOG" '^ok - ')
    FAILED=$((FAILED + $(count "$LOG" '^not ok - ')))
    [ "$FAILED" = 0 ] || cat "$dir/differences" >> "$LOG" || true
}

# crash: starts and kills a cluster of its own, so it runs as the caller
suite_crash()
{
    local code=0
    PERFKIT_RUN_DIR=$RUN_DIR/crash timeout --kill-after=10 "$SUITE_SECONDS" "$TOP/tests/crash.sh" >> "$LOG" 2>&1 || code=$?
    PASSED=$(count "$LOG" '^ok [0-9]')
    FAILED=$(count "$LOG" '^not ok [0-9]')
    if [ "$code" != 0 ] && [ "$FAILED" = 0 ]; then
        FAILED=1
        printf '\nperfkit: crash.sh ended with code %s\n' "$code" >> "$LOG"
    fi
}

# fuzz: one test a target
suite_fuzz()
{
    local source target targets=("$TOP"/tests/fuzz/fuzz_*.c)
    for source in "${targets[@]}"; do
        target=$(basename "$source" .c)
        target=${target#fuzz_}
        if "$TOP/tests/fuzz/run.sh" "$((FUZZ_SECONDS / ${#targets[@]}))" "$target" >> "$LOG" 2>&1; then
            PASSED=$((PASSED + 1))
            printf 'ok - %s\n' "$target" >> "$LOG"
        else
            FAILED=$((FAILED + 1))
            printf 'not ok - %s\n' "$target" >> "$LOG"
        fi
    done
}

# number_before <word> <text>: prints the number that stands before the word, or 0
number_before()
{
    local number
    number=$(sed -n "s/.*[^0-9]*\b\([0-9][0-9]*\) $1\b.*/\1/p" <<< " $2")
    printf '%s\n' "${number:-0}"
}

# -- running them ----------------------------------------------------------------------------------

# exists_<suite>: there is something to run
exists()
{
    case $1 in
        unit) compgen -G "$TOP/tests/unit/test_*.c" ;;
        regress) compgen -G "$TOP/sql/*.sql" ;;
        isolation) compgen -G "$TOP/tests/isolation/specs/*.spec" ;;
        tap) compgen -G "$TOP/tests/tap/*.pl" ;;
        e2e) compgen -G "$TOP/tests/e2e/test_*.py" ;;
        fuzz) compgen -G "$TOP/tests/fuzz/fuzz_*.c" ;;
        *) true ;;
    esac > /dev/null
}

# tell_failure <suite>: the part of the log that tells
tell_failure()
{
    case $1 in
        layers | sizes) cat "$LOG" ;;
        regress | isolation) sed -n '/^perfkit: /p; /^diff /,$p' "$LOG" ;;
        e2e) grep -E '^(FAILED|ERROR) |Sanitizer|runtime error|^perfkit: ' "$LOG" ;;
        *) grep -E -A 5 '^not ok|^#   Failed test|Sanitizer|runtime error|^perfkit: |^  (Parse errors|Non-zero)' "$LOG" ;;
    esac | sed -n '1,60p' | cut -c 1-180 | sed 's/^/    /' || true
    printf '    whole log: %s\n' "${LOG#"$TOP/"}"
}

# run_suite <suite>
run_suite()
{
    local started seconds note=
    LOG=$BASE/check/$1.log
    [ "$VARIANT" = default ] || LOG=$BASE/check/$1-$VARIANT.log
    PASSED=0 FAILED=0 SKIPPED=0 EXPECTED=0
    printf '  %-10s ' "$1"
    : > "$LOG"
    chmod a+rw "$LOG"
    if ! exists "$1"; then
        printf 'perfkit: there are no tests of this kind\n' > "$LOG"
        FAILED=1
    else
        started=$(milliseconds)
        "suite_$1"
        seconds=$(($(milliseconds) - started))
    fi
    if [ "$PASSED" = 0 ] && [ "$FAILED" = 0 ]; then
        printf 'perfkit: no test ran\n' >> "$LOG"
        FAILED=1
    fi
    [ "$SKIPPED" = 0 ] || note=", $SKIPPED skipped"
    printf '%5d passed, %d failed%s %8.1f s\n' "$PASSED" "$FAILED" "$note" \
        "$((${seconds:-0} / 1000)).$((${seconds:-0} % 1000 / 100))"
    TOTAL_PASSED=$((TOTAL_PASSED + PASSED))
    TOTAL_FAILED=$((TOTAL_FAILED + FAILED))
    [ "$FAILED" = 0 ] || tell_failure "$1"
}

# build_for_check: both halves (default) or the sanitizer build, and the unit tests if asked for
build_for_check()
{
    local target targets
    : > "$TOP/build/build.log"
    if [ "$VARIANT" = default ]; then
        build_all
        install_private
    else
        # the tests run against the private PostgreSQL, whichever the pooler's build
        "$TOP/tools/pgtree.sh" "$BASE/pg" || exit 1
    fi
    case " ${SUITES[*]} " in
        *" unit "* | *" pool_stress "*) targets=(all unit-build) ;;
        *) targets=(all) ;;
    esac
    for target in "${targets[@]}"; do
        "${MAKE:-make}" --no-print-directory -j "$(nproc)" -C "$TOP/pooler" VARIANT="$VARIANT" "$target" \
            >> "$TOP/build/build.log" 2>&1 || build_failed
    done
}

run_suites()
{
    local suite
    say "$VARIANT build: ${SUITES[*]}"
    case " ${SUITES[*]} " in
        " layers " | " sizes " | " layers sizes ") ;;
        *) build_for_check ;;
    esac
    use_sources
    for suite in "${SUITES[@]}"; do
        run_suite "$suite"
    done
}

# run_long: everything, the sanitizer builds, the fuzzers for an hour, the storms, PostgreSQL's own suite, then
# the timing-dependent suites again and again
run_long()
{
    local round
    SUITES=("${ALL_SUITES[@]}")
    PERFKIT_TWIN_ROUNDS=${PERFKIT_TWIN_ROUNDS:-100} run_suites
    VARIANT=asan SUITES=(unit fuzz e2e) FUZZ_SECONDS=${PERFKIT_FUZZ_SECONDS:-3600}
    run_suites
    VARIANT=tsan SUITES=(unit e2e pool_stress)
    run_suites
    VARIANT=default SUITES=(stress clients pgsuite capsuite soak)
    run_suites
    SUITES=(regress isolation tap e2e crash)
    for round in $(seq "${PERFKIT_LONG_ROUNDS:-5}"); do
        say "round $round"
        run_suites
    done
}

while [ $# -gt 0 ]; do
    case $1 in
        --variant)
            VARIANT=${2:?}
            shift
            ;;
        --long) LONG=yes ;;
        *)
            case " ${ALL_SUITES[*]} ${OTHER_SUITES[*]} " in
                *" $1 "*) SUITES+=("$1") ;;
                *) die "no suite '$1': ${ALL_SUITES[*]} ${OTHER_SUITES[*]}" ;;
            esac
            ;;
    esac
    shift
done
[ ${#SUITES[@]} -gt 0 ] || SUITES=("${ALL_SUITES[@]}")

case "$LONG ${SUITES[*]}" in
    yes* | *clients*) "$TOP/tools/setup.sh" check clients || exit 1 ;;
    *) "$TOP/tools/setup.sh" check || exit 1 ;;
esac
mkdir -p "$TOP/build"
use_cluster
use_programs
need_space "$BASE" 1500
need_space "${TMPDIR:-/tmp}" 500
PGXS_TEST=$(dirname "$("$PG_CONFIG" --pgxs)")/../test
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
if [ "$LONG" = yes ]; then
    run_long
else
    run_suites
fi
printf '\n%d passed, %d failed\n' "$TOTAL_PASSED" "$TOTAL_FAILED"
[ "$TOTAL_FAILED" = 0 ] || exit 1
