#!/usr/bin/env bash
# rival.sh - prints the command that runs PgBouncer, for `make bench` to measure beside the pooler.
#
# PERFKIT_PGBOUNCER names one that is there already. Else the one of Debian's suite
# PERFKIT_RIVAL_SUITE (forky: bookworm's knows no prepared statements) is unpacked, with the
# libraries it was built for, below PERFKIT_CACHE (/var/cache/perfkit), once: root, debootstrap and the
# mirror that this machine's apt uses are needed for that, and nothing of it is installed or started.
# It runs under its own dynamic linker, so no chroot is needed.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

SUITE=${PERFKIT_RIVAL_SUITE:-forky}
CACHE=${PERFKIT_CACHE:-/var/cache/perfkit}
ROOT=$CACHE/rival-$SUITE

# unpack_rival: fills ROOT; the packages are unpacked, never configured, so that no script of theirs runs
unpack_rival()
{
    local mirror package
    [ "$(id -u)" = 0 ] || die "unpacking PgBouncer of Debian $SUITE takes root: run as root once, or set PERFKIT_PGBOUNCER="
    have debootstrap || die "debootstrap is missing: apt-get install debootstrap, or set PERFKIT_PGBOUNCER="
    mirror=$(debian_mirror) || exit 1
    mkdir -p "$CACHE"
    rm -rf "$ROOT" "$ROOT.new"
    # An old debootstrap has no script named like a new suite; sid's is the same
    debootstrap --foreign --variant=minbase --include=pgbouncer "$SUITE" "$ROOT.new" "$mirror" \
        /usr/share/debootstrap/scripts/sid > "$CACHE/debootstrap.log" 2>&1 ||
        die "debootstrap failed: $(tail -n 1 "$CACHE/debootstrap.log")"
    for package in "$ROOT.new"/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$ROOT.new"
    done
    chmod a+rx "$ROOT.new"
    mv "$ROOT.new" "$ROOT"
}

# linker: prints the dynamic linker of ROOT
linker()
{
    find "$ROOT/usr/lib" "$ROOT/usr/lib64" -maxdepth 2 -name 'ld-linux*.so*' 2> /dev/null | head -n 1
}

if [ -n "${PERFKIT_PGBOUNCER:-}" ]; then
    printf '%s\n' "$PERFKIT_PGBOUNCER"
    exit 0
fi
[ -x "$ROOT/usr/sbin/pgbouncer" ] || unpack_rival
ld=$(linker)
[ -n "$ld" ] || die "no dynamic linker in $ROOT"
printf '%s --library-path %s --argv0 pgbouncer %s\n' "$ld" \
    "$(find "$ROOT/usr/lib" -maxdepth 1 -name '*-linux-gnu*' -type d | head -n 1)" "$ROOT/usr/sbin/pgbouncer"
