#!/usr/bin/env bash
# run.sh - builds the fuzz targets and runs each of them for some seconds.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]      0 seconds: replays the corpus only
#
# Starts from seeds.sh and from tests/fuzz/corpus/<target>/, if there is one. Works in pooler/build/fuzz:
# corpus/<target>/ grows from run to run, findings/ holds the input of each crash. Needs clang with its runtime (libclang-rt-14-dev on Debian 12); without them it says so and
# replays the corpus under gcc's sanitizers. Exits 1 if a target fails.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
case "${1:-}" in
    '' | *[!0-9]*) echo "usage: $0 SECONDS [TARGET...]" >&2; exit 2 ;;
esac
seconds=$1
shift
targets=("$@")
if [ $# -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        file=${file##*/fuzz_}
        targets+=("${file%.c}")
    done
fi

work=pooler/build/fuzz
mkdir -p "$work/findings"
rm -rf "$work/seeds"
tests/fuzz/seeds.sh "$work/seeds"
for target in "${targets[@]}"; do
    mkdir -p "$work/seeds/$target"
    [ ! -d "tests/fuzz/corpus/$target" ] || cp -R "tests/fuzz/corpus/$target/." "$work/seeds/$target/"
done

read -ra pq <<< "$(pkg-config --cflags libpq)"
flags=(-std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -Ipooler -Ipg_ext "${pq[@]}")
sources=(pooler/conf/*.c pooler/proto/*.c pooler/base/*.c pooler/core/command.c pg_ext/plantext.c pg_ext/qual.c
    pg_ext/quoted.c pg_ext/secret.c)

have_libfuzzer()
{
    local probe=$work/probe
    echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n == 1; }' > "$probe.c"
    clang -fsanitize=fuzzer,address "$probe.c" -o "$probe" > "$probe.log" 2>&1
}

if [ "$seconds" -gt 0 ] && ! have_libfuzzer; then
    echo "fuzz: no libFuzzer here (apt-get install clang libclang-rt-14-dev): replaying the corpus only" >&2
    seconds=0
fi

# build <target>
build()
{
    if [ "$seconds" -gt 0 ]; then
        clang "${flags[@]}" -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
            "tests/fuzz/fuzz_$1.c" "${sources[@]}" -o "$work/fuzz_$1" -lpq -lcrypto -lidn -pthread
    else
        "${CC:-cc}" "${flags[@]}" -fsanitize=address,undefined -fno-sanitize-recover=undefined \
            "tests/fuzz/fuzz_$1.c" tests/fuzz/replay.c "${sources[@]}" -o "$work/replay_$1" -lpq -lcrypto -lidn -pthread
    fi
}

# run <target>
run()
{
    mkdir -p "$work/corpus/$1"
    if [ "$seconds" -eq 0 ]; then
        find "$work/seeds/$1" "$work/corpus/$1" -type f -exec "$work/replay_$1" {} +
        return
    fi
    "$work/fuzz_$1" -max_total_time="$seconds" -max_len=12000 -timeout=10 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$work/findings/$1-" "$work/corpus/$1" "$work/seeds/$1"
}

failed=0
for target in "${targets[@]}"; do
    build "$target"
    if run "$target" > "$work/$target.log" 2>&1; then
        echo "fuzz: $target ok$(sed -n 's/^stat::number_of_executed_units: */, inputs: /p' "$work/$target.log")"
    else
        echo "fuzz: $target FAILED; the end of $work/$target.log:"
        tail -n 40 "$work/$target.log"
        failed=1
    fi
done
exit "$failed"
