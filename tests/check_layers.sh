#!/usr/bin/env bash
# check_layers.sh - the include law of the pooler (pooler/LAYERS), and of the extension that only
# compat.h asks for the PostgreSQL version. Prints each breach; exits 1 if there is one.
#
# `check_layers.sh --self-test` proves on made-up trees that each kind of breach is seen.
set -euo pipefail

# check_pooler <pooler directory>: prints each breach, one a line
check_pooler()
{
    (
        cd "$1"
        find . -path ./build -prune -o \( -name '*.[ch]' -o -name '*.def' \) -print | sed 's|^\./||' | sort |
            while read -r file; do
                printf 'file %s\n' "$file"
                sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/include \1/p' "$file"
                sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*<\([^>]*\)>.*/system \1/p' "$file"
            done
    ) | awk -v layers="$1/LAYERS" '
        # the noun of a file: show_stats.c is a part of show, unless it is listed by itself
        function noun_of(path,    whole)
        {
            sub(/\.[^.]*$/, "", path)
            sub(/^main$/, "main/main", path)
            whole = path
            sub(/_[^\/]*$/, "", whole)
            return !(path in listed) && (whole in listed) ? whole : path
        }
        function breach(text) { print text; bad = 1 }
        # depth-first walk over the includes of one level; seen: 1 = on the way, 2 = done
        function walk(noun, way,    n, i, next_ones)
        {
            if (seen[noun] == 2) return
            if (seen[noun] == 1) { breach("pooler: include cycle: " way " -> " noun); return }
            seen[noun] = 1
            n = split(same_level[noun], next_ones, " ")
            for (i = 1; i <= n; i++) walk(next_ones[i], way " -> " next_ones[i])
            seen[noun] = 2
        }
        BEGIN {
            while ((getline line < layers) > 0)
            {
                sub(/#.*/, "", line)
                n = split(line, word, " ")
                if (n == 2 && word[1] == "pure") { pure[word[2]] = 1; continue }
                if (n == 0) continue
                if (word[1] !~ /:$/) { breach("pooler/LAYERS: cannot read: " line); continue }
                level = substr(word[1], 1, length(word[1]) - 1)
                rank[level] = ++levels
                for (i = 2; i <= n; i++) listed[level "/" word[i]] = 1
            }
            allowed = "^(assert|ctype|errno|inttypes|limits|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|string|openssl/[a-z]+)\\.h$"
        }
        $1 == "file" {
            file = $2; noun = noun_of(file); level = noun; sub(/\/.*/, "", level)
            if (!(noun in listed)) breach("pooler/" file ": not listed in pooler/LAYERS")
            present[noun] = 1
            next
        }
        $1 == "include" {
            target = noun_of($2); to = target; sub(/\/.*/, "", to)
            if ($2 !~ /\// || !(to in rank))
                breach("pooler/" file ": include \"" $2 "\" does not name a level: write \"level/noun.h\"")
            else if (rank[to] > rank[level])
                breach("pooler/" file ": include \"" $2 "\" goes up, from " level " to " to)
            else if (to == level && target != noun)
                same_level[noun] = same_level[noun] " " target
            if ((level in pure) && (target == "base/log" || target == "base/clock" || target == "base/lock"))
                breach("pooler/" file ": " level " is pure, but includes \"" $2 "\"")
        }
        $1 == "system" {
            if ((level in pure) && $2 !~ allowed)
                breach("pooler/" file ": " level " is pure, but includes <" $2 ">")
        }
        END {
            for (noun in same_level) walk(noun, noun)
            for (noun in listed) if (!(noun in present)) breach("pooler/LAYERS: lists " noun ", which does not exist")
            exit bad
        }'
}

# check_extension <pg_ext directory>: prints each breach
check_extension()
{
    ! grep -n 'PG_VERSION_NUM' "$1"/*.[ch] /dev/null | grep -v '/compat\.h:' |
        sed 's/:.*PG_VERSION_NUM.*/: asks for PG_VERSION_NUM; only compat.h may/'
}

# expect <breach pattern> <function> <directory>: for the self-test
expect()
{
    local out
    if out=$("$2" "$3"); then
        printf 'self-test: no breach seen, expected: %s\n' "$1"
        return 1
    fi
    grep -q "$1" <<< "$out" || {
        printf 'self-test: expected: %s, got: %s\n' "$1" "$out"
        return 1
    }
}

self_test()
{
    local dir
    dir=$(mktemp -d)
    # shellcheck disable=SC2064 # the value of now
    trap "rm -rf '$dir'" EXIT
    mkdir -p "$dir/base" "$dir/net" "$dir/ext"
    printf 'base: a b\nnet: c\npure base\n' > "$dir/LAYERS"
    printf '#include "base/b.h"\n#include <stdint.h>\n' > "$dir/base/a.h"
    printf '#include <stdint.h>\n' > "$dir/base/b.h"
    printf '#include "base/a.h"\n#include <ev.h>\n' > "$dir/net/c.c"
    check_pooler "$dir" || return 1
    printf '#include "base/a.h"\n' > "$dir/base/b.h"
    expect 'include cycle' check_pooler "$dir"
    printf '#include "net/c.h"\n' > "$dir/base/b.h"
    expect 'goes up, from base to net' check_pooler "$dir"
    printf '#include <unistd.h>\n' > "$dir/base/b.h"
    expect 'base is pure' check_pooler "$dir"
    printf '#include "a.h"\n' > "$dir/base/b.h"
    expect 'does not name a level' check_pooler "$dir"
    : > "$dir/base/b.h"
    : > "$dir/net/c_part.c"
    check_pooler "$dir" || return 1
    : > "$dir/net/d.c"
    expect 'net/d.c: not listed' check_pooler "$dir"
    rm "$dir/net/d.c" "$dir/base/b.h" 
    printf '#include <stdint.h>\n' > "$dir/base/a.h"
    expect 'lists base/b, which does not exist' check_pooler "$dir"
    printf '#if PG_VERSION_NUM >= 160000\n' > "$dir/ext/compat.h"
    check_extension "$dir/ext" || return 1
    printf '#if PG_VERSION_NUM >= 160000\n' > "$dir/ext/ring.c"
    expect 'ring.c.*only compat.h may' check_extension "$dir/ext"
    printf 'self-test passed\n'
}

cd "$(dirname "$0")/.."
if [ "${1:-}" = --self-test ]; then
    self_test
    exit
fi
breaches=0
check_pooler pooler || breaches=1
check_extension pg_ext || breaches=1
exit "$breaches"
