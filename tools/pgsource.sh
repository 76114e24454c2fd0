#!/usr/bin/env bash
# pgsource.sh DIRECTORY - puts the inputs of PostgreSQL's own regression and isolation suites into
# DIRECTORY/regress and DIRECTORY/isolation.
#
# The server packages ship pg_regress and isolationtester without them, so they come from the source package of the same
# version, from wherever apt gets the binary one: the deb-src lines are made for this call and leave
# apt's own configuration and lists alone. PERFKIT_PG_SOURCE names an unpacked source tree instead.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
DIR=$1

# source_lines: a deb-src line for each place that apt gets packages from
source_lines()
{
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u
}

# own_apt <program> <command>...: apt with lists and sources below DIR
own_apt()
{
    local program=$1
    shift
    "$program" -q -o Dir::Etc::sourcelist="$DIR/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$DIR/apt/lists" -o Dir::Cache="$DIR/apt/cache" -o APT::Sandbox::User=root "$@"
}

# download: the newest version that is really there; a mirror may know more than it has
download()
{
    local version
    have apt-get || die "no apt-get here: set PERFKIT_PG_SOURCE to an unpacked source tree of PostgreSQL $PG_MAJOR"
    mkdir -p "$DIR/apt/lists/partial" "$DIR/apt/cache/archives/partial"
    source_lines > "$DIR/apt/sources.list"
    own_apt apt-get update || true # of a place without sources the others need not know
    for version in $(own_apt apt-cache showsrc --only-source "postgresql-$PG_MAJOR" | sed -n 's/^Version: //p' | sort -rV); do
        if (cd "$DIR/apt" && own_apt apt-get source --download-only "postgresql-$PG_MAJOR=$version"); then
            return 0
        fi
    done
    return 1
}

use_postgresql
[ ! -d "$DIR/regress" ] || [ ! -d "$DIR/isolation" ] || exit 0
mkdir -p "$DIR"
rm -rf "$DIR/unpacked" "$DIR/regress" "$DIR/isolation"
mkdir "$DIR/unpacked"
if [ -n "${PERFKIT_PG_SOURCE:-}" ]; then
    cp -R "$PERFKIT_PG_SOURCE/src/test/regress" "$PERFKIT_PG_SOURCE/src/test/isolation" "$DIR/unpacked/"
else
    download > "$DIR/download.log" 2>&1 || die "the source of PostgreSQL $PG_MAJOR cannot be had: $(tail -n 1 "$DIR/download.log")"
    tar -xf "$(find "$DIR/apt" -maxdepth 1 -name '*.orig.tar.*' | head -n 1)" -C "$DIR/unpacked" --strip-components=3 \
        --wildcards '*/src/test/regress/*' '*/src/test/isolation/*'
fi
rm -rf "$DIR/apt"
mv "$DIR/unpacked/isolation" "$DIR/unpacked/regress" "$DIR/"
rmdir "$DIR/unpacked"
