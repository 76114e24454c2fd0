#!/usr/bin/env bash
# check-on.sh <Debian release> [suite]... - runs check.sh in a root of another Debian release.
#
# The way to PostgreSQL versions that this system does not offer: trixie has 17, forky 18. The root is
# made by debootstrap, from where this system has its packages, and kept in run/roots/<release>; the
# tests run in it as an ordinary user with a 0700 home, in namespaces of their own, so that no mount
# and no process is left behind. An older PostgreSQL that check.sh has left in run/pg goes along, for
# 009_upgrade.pl to upgrade from it. Needs root (sudo when not root). Progress on standard output, as
# check.sh prints it; a log of the making of the root: run/roots/<release>.log.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: check-on.sh <Debian release> [suite]..."
RELEASE=$1
shift
case $RELEASE in
    *[!a-z]*) die "'$RELEASE' is not the name of a Debian release" ;;
esac

# Everything below is done as root.
if [ "$(id -u)" != 0 ]; then
    have sudo || die "check-on.sh needs root, and there is no sudo"
    exec sudo -E "$0" "$RELEASE" "$@"
fi

ROOT=$TOP/run/roots/$RELEASE
ROOT_LOG=$ROOT.log
SOURCE=home/tester/perfkit # in the root

# make_root: with debootstrap, which may not know the newest releases: they are made as sid is
make_root()
{
    local script=/usr/share/debootstrap/scripts/$RELEASE
    need_space "$TOP" 4000
    have debootstrap || apt-get -q install -y --no-install-recommends debootstrap < /dev/null > "$ROOT_LOG" 2>&1 ||
        { apt-get -q update && apt-get -q install -y --no-install-recommends debootstrap; } < /dev/null > "$ROOT_LOG" 2>&1 ||
        die "debootstrap cannot be installed (log: $ROOT_LOG)"
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    rm -rf "$ROOT.new"
    debootstrap --variant=minbase --include=ca-certificates,make,procps "$RELEASE" "$ROOT.new" "$(debian_mirror)" "$script" \
        < /dev/null > "$ROOT_LOG" 2>&1 ||
        { tail -n 5 "$ROOT_LOG" >&2; die "debootstrap of $RELEASE failed (log: $ROOT_LOG)"; }
    chroot "$ROOT.new" useradd --create-home tester
    mv "$ROOT.new" "$ROOT"
}

# copy_source: what git would commit, changes and new files included; run/ in the root stays
copy_source()
{
    mkdir -p "$ROOT/$SOURCE"
    find "$ROOT/$SOURCE" -mindepth 1 -maxdepth 1 -not -name run -exec rm -rf {} +
    (cd "$TOP" && git -c safe.directory="$TOP" ls-files -z --cached --others --exclude-standard |
        tar --create --null --files-from=- --ignore-failed-read) | tar --extract --directory="$ROOT/$SOURCE"
    chroot "$ROOT" chown -R tester: "/$SOURCE"
    chmod 0700 "$ROOT/home/tester"
}

# bring_old: our private copy of PostgreSQL in run/pg, with perfkit in it, and the libraries that are not in
# the root; prints what it takes to use it
bring_old()
{
    local old=/opt/old-postgresql program installed libraries library path
    rm -rf "${ROOT:?}$old"
    for program in "$RUN_DIR"/pg/usr/lib/postgresql/*/bin/postgres; do
        [ -x "$program" ] || return 0
    done
    # just-in-time compilation would want the whole of LLVM
    mkdir -p "$ROOT$old/libraries"
    cp -rL "$RUN_DIR/pg/usr" "$ROOT$old/" 2> /dev/null || true # a dictionary's link may lead nowhere
    rm -rf "$ROOT$old"/usr/include "$ROOT$old"/usr/lib/postgresql/*/lib/{llvmjit*,bitcode,pgxs}
    installed=$(dirname "$(dirname "$program")")
    installed=$old${installed#"$RUN_DIR/pg"}
    while libraries=$(chroot "$ROOT" sh -c "LD_LIBRARY_PATH=$old/libraries ldd $installed/bin/* $installed/lib/*.so" 2> /dev/null |
        awk '/not found/ { print $1 }' | sort -u) && [ -n "$libraries" ]; do
        for library in $libraries; do
            path=$(ldconfig -p | awk -v name="$library" '$1 == name { print $NF; exit }')
            [ -n "$path" ] && [ ! -e "$ROOT$old/libraries/$library" ] || return 0
            cp -L "$path" "$ROOT$old/libraries/"
        done
    done
    printf 'PERFKIT_OLD_INSTALL=%s PERFKIT_OLD_LIBRARIES=%s\n' "$installed" "$old/libraries"
}

# inside <command>: by the root's own shell, as root, with /proc and /dev; all of it ends with the
# command. The first process of the namespace stays in front of it, to bury the orphans.
inside()
{
    # shellcheck disable=SC2016 # for the shell in there
    unshare --mount --pid --fork --kill-child --propagation private bash -c '
        set -e
        mount --bind /dev "$1/dev"
        mount -t tmpfs -o size=512m tmpfs "$1/dev/shm"
        mount -t proc proc "$1/proc"
        code=0
        chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            CI="${CI:-}" TERM="${TERM:-dumb}" PERFKIT_TEST_PATIENCE="${PERFKIT_TEST_PATIENCE:-1}" \
            bash -c "$2" < /dev/null || code=$?
        exit "$code"' inside "$ROOT" "$1"
}

mkdir -p "$TOP/run/roots"
if [ ! -d "$ROOT" ]; then
    say "making a root of $RELEASE"
    make_root
fi
copy_source
cp /etc/resolv.conf "$ROOT/etc/resolv.conf" 2> /dev/null || true
inside "cd /$SOURCE && tools/setup.sh check" || exit
say "$RELEASE: $(inside "cd /$SOURCE && \$(tools/pg-config.sh) --version")"
inside "cd /$SOURCE && exec su tester -c 'exec env $(bring_old) tools/check.sh $*'" || exit
