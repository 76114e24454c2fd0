#!/usr/bin/env bash
# lint.sh - everything that can be said about the sources without running them.
#
# Each check prints one line, a failing one also what it found; the last line is
# `N passed, N failed`. Logs: build/lint/<check>.log.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

PASSED=0
FAILED=0
LOGS=$TOP/build/lint
JOBS=$(nproc)

# c_files [directory]...: prints our C files
c_files()
{
    find "$@" -name build -prune -o -name '*.[ch]' -print | sort
}

# pooler_cflags, ext_cflags: print what the compiler needs to find the headers
pooler_cflags()
{
    local library
    printf -- '-std=gnu11 -D_GNU_SOURCE -I. -Ipooler -Itests/unit -Ipg_ext'
    for library in openssl libpq libcares libidn libmicrohttpd; do
        printf ' %s' "$(pkg-config --cflags "$library" 2> /dev/null)"
    done
}

ext_cflags()
{
    printf -- '-std=gnu11 -D_GNU_SOURCE -Ipg_ext -isystem %s' "$("$PG_CONFIG" --includedir-server)"
}

# -- the checks: each prints what it found and returns its judgement -------------------------------

check_format()
{
    c_files pg_ext pooler tests | xargs -r clang-format --dry-run -Werror
}

# a build of its own, so that no warning hides in an old object
check_warnings()
{
    local copy=$TOP/build/lint/src code=0
    rm -rf "$copy"
    mkdir -p "$copy/tests"
    (cd "$TOP" && find pg_ext pooler tests/unit -name build -prune -o -type f \( -name '*.[ch]' -o -name '*.def' \
        -o -name Makefile -o -name '*.control' -o -name '*.sql' \) -exec cp --parents -t "$copy" {} +)
    make --no-print-directory -j "$JOBS" -C "$copy/pooler" WERROR=1 all unit-build || code=1
    make --no-print-directory -j "$JOBS" -C "$copy/pg_ext" PERFKIT_WERROR=1 with_llvm=no all PG_CONFIG="$PG_CONFIG" || code=1
    rm -rf "$copy"
    return "$code"
}

# tidy <flags>: judges the .c files named on standard input; one that passed is not judged again
# before it, a header, the rules or the flags change
tidy()
{
    local stamps=$TOP/build/lint/tidy common file
    # shellcheck disable=SC2016 # for the inner shell, where flags are words
    local judge='clang-tidy --quiet "$2" -- $1 && : > "$3"'
    mkdir -p "$stamps"
    common=$({
        clang-tidy --version
        printf '%s\n' "$1"
        cat .clang-tidy tests/unit/.clang-tidy
        find pg_ext pooler tests -name build -prune -o \( -name '*.h' -o -name '*.def' \) -exec cat {} +
    } | cksum)
    while read -r file; do
        printf '%s %s\n' "$file" "$stamps/$({ printf '%s\n' "$common" && cat "$file"; } | sha256sum | cut -c 1-40)"
    done | while read -r file stamp; do
        [ -f "$stamp" ] || printf '%s %s\n' "$file" "$stamp"
    done |
        xargs -r -P "$JOBS" -n 2 sh -c "$judge" tidy "$1"
}

check_tidy()
{
    local code=0
    c_files pooler tests/unit | grep '\.c$' | tidy "$(pooler_cflags)" || code=1
    c_files pg_ext | grep '\.c$' | tidy "$(ext_cflags)" || code=1
    return "$code"
}

# cppcheck must see uthash's macros to know what they assign, and then finds their ifs redundant
check_cppcheck()
{
    cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$JOBS" \
        --enable=warning,performance,portability --suppress=missingInclude --suppress=missingIncludeSystem \
        --suppress=unknownMacro --suppress=preprocessorErrorDirective --suppress=identicalInnerCondition \
        -D__linux__ -D_GNU_SOURCE --include=/usr/include/uthash.h \
        -Ipooler -Ipg_ext -i pooler/build pooler pg_ext
}

check_shell()
{
    local scripts
    mapfile -t scripts < <(find tools tests .ci -name '*.sh' -o -path '.ci/run' | sort)
    shellcheck -x "${scripts[@]}"
}

check_python()
{
    /usr/bin/python3 -m pyflakes tests/e2e tests/bench tests/pgsuite tests/capsuite tests/clients tools/pooler_docs.py tools/pooler_console.py tools/pooler_metrics.py \
        tools/pooler_tables.py
}

check_meta()
{
    /usr/bin/python3 tools/check_meta.py META.json
}

check_layers()
{
    tests/check_layers.sh
}

check_sizes()
{
    tests/check_sizes.sh
}

check_docs()
{
    local code=0
    /usr/bin/python3 tools/pooler_docs.py --check || code=1
    /usr/bin/python3 tools/pooler_console.py --check || code=1
    /usr/bin/python3 tools/pooler_metrics.py --check || code=1
    return "$code"
}

check_settings()
{
    /usr/bin/python3 tests/check_settings_tested.py
}

# run_check <name> <what it says>
run_check()
{
    local log=$LOGS/$1.log started seconds
    printf '  %-10s %-44s ' "$1" "$2"
    started=$(milliseconds)
    if ("check_$1") > "$log" 2>&1 < /dev/null; then
        PASSED=$((PASSED + 1))
        printf 'passed'
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED'
    fi
    seconds=$(($(milliseconds) - started))
    printf ' %6d.%d s\n' "$((seconds / 1000))" "$((seconds % 1000 / 100))"
    if [ "$FAILED" != "${BEFORE:-0}" ]; then
        BEFORE=$FAILED
        # a compiler's word is its error lines; the notes stand in the log
        { grep -E '(error|warning): ' "$log" || cat "$log"; } | sed "s|$TOP/||; s/^/    /" | head -n 40 || true
        printf '    whole log: %s\n' "${log#"$TOP/"}"
    fi
}

"$TOP/tools/setup.sh" lint || exit 1
use_postgresql
cd "$TOP"
mkdir -p "$LOGS"
run_check format "clang-format"
run_check layers "the include law"
run_check sizes "functions <= 100 lines, files <= 600"
run_check docs "the pooler's pages are what its tables say"
run_check settings "each setting of the pooler stands in a test"
run_check meta "META.json is PGXN meta-spec 1.0"
run_check shell "shellcheck"
run_check python "pyflakes"
run_check warnings "both halves and the unit tests with -Werror"
run_check cppcheck "cppcheck"
run_check tidy "clang-tidy"
printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
[ "$FAILED" = 0 ] || exit 1
