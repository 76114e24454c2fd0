#!/usr/bin/env bash
# check_sizes.sh - no C function over 100 lines, no C file over 600. tests/sizes.allow names the
# exceptions; an exception that is no longer needed, or larger than needed, is a breach too, so that
# the list can only shrink. Prints each breach; exits 1 if there is one.
#
# A function begins at the line of its opening brace in the first column and ends at the closing one.
#
# `check_sizes.sh --self-test` proves on a made-up tree that each kind of breach is seen.
set -euo pipefail

# check <directory> <allow-list>: prints each breach, one a line
check()
{
    (
        cd "$1"
        # shellcheck disable=SC2016 # awk's own
        find . -name build -prune -o -name run -prune -o -name '*.[ch]' -print | sed 's|^\./||' | sort |
            xargs -r awk '
                FNR == 1 { if (file) print "file", file, lines; file = FILENAME; name = ""; open = 0 }
                { lines = FNR }
                /^[a-zA-Z_].*\(/ && !/;[ \t]*$/ && !open {
                    name = $0; sub(/[ \t]*\(.*/, "", name); sub(/.*[ \t*]/, "", name)
                }
                /^\{/ { open = FNR }
                /^\}/ { if (open && name) print "function", file, name, FNR - open + 1; open = 0; name = "" }
                END { if (file) print "file", file, lines }'
    ) | awk -v allow="$2" '
        BEGIN {
            limit["file"] = 600; limit["function"] = 100
            while ((getline line < allow) > 0)
            {
                sub(/#.*/, "", line)
                n = split(line, word, " ")
                if (n == 0) continue
                key = word[1] " " word[2] (n == 4 ? " " word[3] : "")
                allowed[key] = word[n]
            }
        }
        {
            key = $1 " " $2 (NF == 4 ? " " $3 : ""); size = $NF
            if (size <= limit[$1]) next
            needed[key] = 1
            if (!(key in allowed)) { print key ": " size " lines, at most " limit[$1] " are allowed"; bad = 1 }
            else if (size > allowed[key]) { print key ": grew to " size " lines, " allowed[key] " were allowed"; bad = 1 }
            else if (size < allowed[key]) { print key ": " size " lines now; lower its entry in sizes.allow"; bad = 1 }
        }
        END {
            for (key in allowed) if (!(key in needed)) { print key ": no longer too large; remove it from sizes.allow"; bad = 1 }
            exit bad
        }'
}

# expect <pattern> <directory>: for the self-test
expect()
{
    local out
    if out=$(check "$2" "$2/allow"); then
        printf 'self-test: no breach seen, expected: %s\n' "$1"
        return 1
    fi
    grep -q "$1" <<< "$out" || {
        printf 'self-test: expected: %s, got: %s\n' "$1" "$out"
        return 1
    }
}

# make_function <name> <lines>
make_function()
{
    printf 'static int\n%s(int a,\n\tint b)\n{\n' "$1"
    yes '	a++;' | head -n $(($2 - 2)) || true
    printf '}\n'
}

self_test()
{
    local dir
    dir=$(mktemp -d)
    # shellcheck disable=SC2064 # the value of now
    trap "rm -rf '$dir'" EXIT
    : > "$dir/allow"
    make_function fits 100 > "$dir/a.c"
    check "$dir" "$dir/allow" || return 1
    make_function is_long 101 > "$dir/a.c"
    expect 'function a.c is_long: 101 lines' "$dir"
    printf 'function a.c is_long 101\n' > "$dir/allow"
    check "$dir" "$dir/allow" || return 1
    make_function is_long 102 > "$dir/a.c"
    expect 'function a.c is_long: grew' "$dir"
    printf 'function a.c is_long 103\n' > "$dir/allow"
    expect 'lower its entry' "$dir"
    make_function is_long 20 > "$dir/a.c"
    expect 'remove it' "$dir"
    : > "$dir/allow"
    yes '/* line */' | head -n 601 > "$dir/b.h" || true
    expect 'file b.h: 601 lines' "$dir"
    printf 'self-test passed\n'
}

cd "$(dirname "$0")/.."
if [ "${1:-}" = --self-test ]; then
    set +o pipefail # yes ends by SIGPIPE
    self_test
    exit
fi
check . tests/sizes.allow
