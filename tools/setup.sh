#!/usr/bin/env bash
# setup.sh [build|run|check|clients|lint]... - installs what the named targets need and the system lacks.
#
# Debian and Ubuntu packages through apt-get, nothing else; sudo only when not root and only when
# something is missing. The server package would create and start a cluster of its own: that is
# switched off for the time of the installation, and no existing cluster is touched.
# On other systems it installs nothing and says what is needed.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

NEEDED=()  # packages, in the order of installation
MISSING=() # those of NEEDED that are not there
WISHED=()  # packages whose tests are left out where they cannot be had
SUDO=()    # what to put before a command that needs root

# -- what is needed --------------------------------------------------------------------------------

# is_installed <package>
is_installed()
{
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# need <package> [command]: a command that is there, from wherever, will do in the package's place
need()
{
    if [ $# -gt 1 ] && have "$2"; then
        return 0
    fi
    NEEDED+=("$1")
}

# wish <package> [command]: as need, but nothing fails without it
wish()
{
    if [ $# -gt 1 ] && have "$2"; then
        return 0
    fi
    WISHED+=("$1")
}

# wish_extension <name>: of the PostgreSQL that is built for, if that is a package too
wish_extension()
{
    local pg_config major
    if pg_config=$(find_pg_config); then
        major=$("$pg_config" --bindir | sed -n 's|^/usr/lib/postgresql/\([0-9]*\)/bin$|\1|p')
    else
        major=$(printf '%s\n' "${NEEDED[@]}" | sed -n 's|^postgresql-\([0-9]*\)$|\1|p')
    fi
    [ -z "$major" ] || wish "postgresql-$major-$1"
}

# offered_postgresql: prints the major version that this system's packages offer, or nothing
offered_postgresql()
{
    { apt-cache show --no-all-versions postgresql 2> /dev/null || true; } |
        sed -n 's/^Version: \([0-9]*\)[+.].*/\1/p'
}

# present_postgresql: prints the newest major version of an installed server package, or nothing
present_postgresql()
{
    { find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/postgres' 2> /dev/null || true; } |
        sed -n 's|^/usr/lib/postgresql/\([0-9]*\)/.*|\1|p' | sort -n | tail -n 1
}

need_postgresql()
{
    local major
    if [ -n "${PG_CONFIG:-}" ]; then
        find_pg_config > /dev/null || exit 1
        return 0
    fi
    if find_pg_config > /dev/null; then
        return 0
    fi
    major=$(present_postgresql)
    if [ "${major:-0}" -lt "$OLDEST_POSTGRESQL" ]; then
        major=$(offered_postgresql)
        if [ -z "$major" ]; then
            update_lists
            major=$(offered_postgresql)
        fi
    fi
    [ -n "$major" ] || die "this system's packages offer no PostgreSQL: install $OLDEST_POSTGRESQL or newer, or set PG_CONFIG="
    [ "$major" -ge "$OLDEST_POSTGRESQL" ] ||
        die "this system's packages offer PostgreSQL $major, perfkit needs $OLDEST_POSTGRESQL or newer:" \
            "add the PostgreSQL project's own apt repository, or set PG_CONFIG="
    need "postgresql-$major"
    need "postgresql-server-dev-$major"
}

need_for_build()
{
    need gcc cc
    need make make
    need pkg-config pkg-config
    need libc6-dev
    need libev-dev
    need libssl-dev
    need libpq-dev
    need libc-ares-dev
    need libidn-dev
    need libmicrohttpd-dev
    need uthash-dev
    need_postgresql
}

need_for_run()
{
    need_for_build
    need perl perl
}

need_for_check()
{
    need_for_run
    need perl prove
    need libcmocka-dev
    need libipc-run-perl
    need python3 /usr/bin/python3
    need python3-pytest
    need python3-pytest-xdist
    need python3-psycopg
    need python3-croniter
    wish python3-prometheus-client
    wish node-pg
    wish_extension hypopg
}

# real clients of make check-long: tests/clients
need_for_clients()
{
    need_for_check
    wish python3-asyncpg
    wish default-jdk-headless javac
    wish libpostgresql-jdbc-java
    wish golang-go go
    wish golang-github-jackc-pgx-v4-dev
    wish pg-activity pg_activity
}

need_for_lint()
{
    need_for_check
    need clang-format clang-format
    need clang-tidy clang-tidy
    need cppcheck cppcheck
    need shellcheck shellcheck
    need python3-pyflakes
}

# -- installing ------------------------------------------------------------------------------------

# become_root: sets SUDO, or dies with what to do by hand
become_root()
{
    local by_hand="apt-get update"
    [ ${#MISSING[@]} = 0 ] || by_hand="apt-get install ${MISSING[*]}"
    if [ "$(id -u)" = 0 ]; then
        return 0
    fi
    have sudo || die "packages are missing and there is no sudo: as root, run: $by_hand"
    if sudo -n true 2> /dev/null; then
        SUDO=(sudo -n)
    elif [ -t 0 ] && [ -t 2 ]; then
        say "sudo is needed for: $by_hand"
        sudo -v || die "sudo refused: let somebody who may run: sudo $by_hand"
        SUDO=(sudo)
    else
        die "packages are missing and sudo wants a password, with no terminal to ask for it: run: sudo $by_hand"
    fi
}

apt()
{
    "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" \
        < /dev/null >> "$LOG" 2>&1
}

LISTS_UPDATED=no
update_lists()
{
    [ "$LISTS_UPDATED" = no ] || return 0
    become_root
    say "reading the package lists"
    apt update || {
        tail -n 5 "$LOG" >&2
        die "apt-get update failed (log: $LOG): is there a network?"
    }
    LISTS_UPDATED=yes
}

# all_known: apt knows each missing package
all_known()
{
    apt-get -qq -s install "${MISSING[@]}" > /dev/null 2>&1
}

CLUSTER_CONF=/etc/postgresql-common/createcluster.conf
CONF_SAVED=

# without_main_cluster: from now to the end of the script a server package creates no cluster
without_main_cluster()
{
    apt install -y --no-install-recommends postgresql-common || return 1
    CONF_SAVED=$(mktemp)
    "${SUDO[@]}" cat "$CLUSTER_CONF" > "$CONF_SAVED"
    {
        cat "$CONF_SAVED"
        printf '\ncreate_main_cluster = false\n'
    } | "${SUDO[@]}" tee "$CLUSTER_CONF" > /dev/null
}

restore_cluster_conf()
{
    [ -n "$CONF_SAVED" ] || return 0
    "${SUDO[@]}" tee "$CLUSTER_CONF" < "$CONF_SAVED" > /dev/null
    rm -f "$CONF_SAVED"
    CONF_SAVED=
}

install_missing()
{
    become_root
    all_known || update_lists
    say "installing ${MISSING[*]}"
    case " ${MISSING[*]} " in
        *" postgresql-"[0-9]*) without_main_cluster || return 1 ;;
    esac
    apt install -y --no-install-recommends "${MISSING[@]}"
}

# install_wishes: each by itself, so that one that does not fit here stands in no other's way
install_wishes()
{
    local package
    for package in "${WISHED[@]}"; do
        is_installed "$package" && continue
        if apt-get -qq -s install "$package" > /dev/null 2>&1; then
            say "installing $package"
            become_root
            apt install -y --no-install-recommends "$package" && continue
        fi
        say "$package cannot be installed here: its tests are left out"
    done
}

# unpack_prometheus: its programs for make check-long, in run/prometheus: the package itself would start a server
unpack_prometheus()
{
    local dir=$RUN_DIR/prometheus work
    [ ! -x "$dir/usr/bin/prometheus" ] && ! have prometheus || return 0
    work=$(mktemp -d)
    say "unpacking prometheus"
    if ! (cd "$work" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb unpacked) >> "$LOG" 2>&1; then
        say "prometheus cannot be had here: its test is left out"
    else
        mkdir -p "$dir"
        cp -R "$work/unpacked/." "$dir/"
    fi
    rm -rf "$work"
}

# -- main ------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- build
have dpkg-query apt-get || {
    say "this is neither Debian nor Ubuntu, so nothing is installed; needed are a C compiler, make, pkg-config," \
        "PostgreSQL $OLDEST_POSTGRESQL+ with headers, libev, OpenSSL 3, libpq, c-ares, libidn, libmicrohttpd, uthash and, for the tests," \
        "cmocka, IPC::Run, pytest with xdist, psycopg 3 and croniter"
    exit 0
}
# leave: puts back what was changed for the time of the installation; keeps a log that says something
leave()
{
    restore_cluster_conf
    [ -s "$LOG" ] || rm -f "$LOG"
}

LOG=$(mktemp "${TMPDIR:-/tmp}/perfkit-setup-XXXXXX.log")
trap leave EXIT
for group in "$@"; do
    case $group in
        build | run | check | clients | lint) "need_for_$group" ;;
        *) die "usage: setup.sh [build|run|check|clients|lint]..." ;;
    esac
done
for package in "${NEEDED[@]}"; do
    case " ${MISSING[*]} " in
        *" $package "*) continue ;;
    esac
    is_installed "$package" || MISSING+=("$package")
done
if [ ${#MISSING[@]} -gt 0 ]; then
    if ! install_missing; then
        # stale lists name versions that are gone from the archive
        update_lists
        install_missing || {
            tail -n 15 "$LOG" >&2
            die "apt-get install failed (log: $LOG)"
        }
    fi
    [ "${PG_CONFIG:-}" ] || find_pg_config > /dev/null ||
        die "PostgreSQL was installed, but no pg_config of $OLDEST_POSTGRESQL or newer is there (log: $LOG)"
fi
[ ${#WISHED[@]} = 0 ] || install_wishes
case " $* " in
    *" clients "*) unpack_prometheus ;;
esac
: > "$LOG"
