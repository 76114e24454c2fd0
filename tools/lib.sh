# shellcheck shell=bash
# lib.sh - what the scripts of tools/ share. Sourced, never run.
#
# Words used here:
#   TOP          the checkout
#   SERVER_USER  who runs PostgreSQL and the pooler: the caller, or an unprivileged user if that is root
#   RUN_DIR      TOP/run, unless PERFKIT_RUN_DIR names another (tests/crash.sh does)
#   BASE         where everything that runs lives: RUN_DIR, or, if SERVER_USER cannot reach the
#                checkout (a 0700 home), a folder under /var/tmp that RUN_DIR/* link to
#   PG_TREE      a private copy of the PostgreSQL installation, in BASE/pg (see pgtree.sh)
#
# BASE/{pg,bin,etc} belong to the caller; BASE/{var,check} belong to SERVER_USER.

set -Eeuo pipefail

# A command that fails where no failure was expected ends the script; say where.
trap '[ "$BASH_SUBSHELL" != 0 ] || printf "perfkit: %s:%s: failed: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RUN_DIR=${PERFKIT_RUN_DIR:-$TOP/run}
OLDEST_POSTGRESQL=15

# The caller's connection settings must not leak into private clusters.
for variable in $(compgen -e | grep -E '^PG[A-Z]' | grep -v '^PG_CONFIG$' || true); do
    unset "$variable"
done
unset variable
export LC_ALL=C
umask 022

say()
{
    printf 'perfkit: %s\n' "$*"
}

die()
{
    printf 'perfkit: %s\n' "$*" >&2
    exit 1
}

# have <command>...: all of them are on PATH
have()
{
    local name
    for name in "$@"; do
        command -v "$name" > /dev/null 2>&1 || return 1
    done
}

# -- which PostgreSQL ------------------------------------------------------------------------------

# pg_version_of <pg_config>: prints its major version, nothing if it cannot be told
pg_version_of()
{
    "$1" --version 2> /dev/null | sed -n 's/^PostgreSQL \([0-9][0-9]*\).*/\1/p'
}

# pg_is_complete <pg_config>: a server and its headers belong to it (libpq-dev has one without)
pg_is_complete()
{
    [ -x "$("$1" --bindir 2> /dev/null)/postgres" ] &&
        [ -f "$("$1" --includedir-server 2> /dev/null)/postgres.h" ]
}

# pg_candidates: prints the pg_config programs to try, the preferred first
pg_candidates()
{
    command -v pg_config || true
    { find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/pg_config' 2> /dev/null || true; } | sort -rV
}

# find_pg_config: prints the pg_config to build with: PG_CONFIG if it is set (die if it will not do),
# else the first of pg_candidates that will do; returns 1 if there is none
find_pg_config()
{
    local candidate version
    if [ -n "${PG_CONFIG:-}" ]; then
        candidate=$(command -v "$PG_CONFIG") || die "PG_CONFIG=$PG_CONFIG is not a program"
        version=$(pg_version_of "$candidate")
        [ -n "$version" ] || die "PG_CONFIG=$PG_CONFIG is not a pg_config"
        [ "$version" -ge "$OLDEST_POSTGRESQL" ] ||
            die "PG_CONFIG=$PG_CONFIG is PostgreSQL $version; perfkit needs $OLDEST_POSTGRESQL or newer"
        pg_is_complete "$candidate" ||
            die "PG_CONFIG=$PG_CONFIG has no server or no server headers (postgresql-server-dev-$version)"
        printf '%s\n' "$candidate"
        return 0
    fi
    while read -r candidate; do
        version=$(pg_version_of "$candidate")
        if [ "${version:-0}" -ge "$OLDEST_POSTGRESQL" ] && pg_is_complete "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done < <(pg_candidates)
    return 1
}

# use_postgresql: sets PG_CONFIG, PG_MAJOR, or dies
use_postgresql()
{
    PG_CONFIG=$(find_pg_config) || {
        [ -z "${PG_CONFIG:-}" ] || exit 1
        die "no PostgreSQL $OLDEST_POSTGRESQL or newer with server headers found:" \
            "run tools/setup.sh, or set PG_CONFIG="
    }
    export PG_CONFIG
    # shellcheck disable=SC2034 # for the scripts that source this
    PG_MAJOR=$(pg_version_of "$PG_CONFIG")
}

# -- who runs the servers, and where ---------------------------------------------------------------

# use_server_user: sets SERVER_USER; root gets an unprivileged stand-in, as PostgreSQL refuses root:
# the owner of a run/ that is there already, else PERFKIT_USER, else postgres or nobody
use_server_user()
{
    local candidate owner
    SERVER_USER=$(id -un)
    [ "$(id -u)" = 0 ] || return 0
    owner=$(stat -L -c %U "$RUN_DIR/var" 2> /dev/null || true)
    for candidate in $owner ${PERFKIT_USER:-} postgres nobody; do
        if id -u "$candidate" > /dev/null 2>&1 && [ "$(id -u "$candidate")" != 0 ]; then
            SERVER_USER=$candidate
            return 0
        fi
    done
    die "root cannot run PostgreSQL, and there is no user 'postgres' or 'nobody': set PERFKIT_USER="
}

# as_server <command> [argument...]: runs it as SERVER_USER
as_server()
{
    if [ "$(id -un)" = "$SERVER_USER" ]; then
        "$@"
    else
        runuser -u "$SERVER_USER" -- "$@"
    fi
}

# own_dir <dir>: makes it, private to SERVER_USER
own_dir()
{
    mkdir -p "$1"
    [ "$(id -un)" = "$SERVER_USER" ] || chown "$SERVER_USER": "$1"
    chmod 0700 "$1"
}

# use_base: sets BASE and makes its folders; sets REACHABLE=yes if SERVER_USER can read the checkout.
# A BASE that is there stays where it is.
# shellcheck disable=SC2034 # REACHABLE is for the scripts that source this
use_base()
{
    local dir
    mkdir -p "$RUN_DIR" 2> /dev/null || die "cannot make $RUN_DIR: is the checkout yours?"
    [ -w "$RUN_DIR" ] || die "$RUN_DIR belongs to $(stat -c %U "$RUN_DIR"): remove it as that user"
    REACHABLE=no
    if as_server test -x "$RUN_DIR" -a -r "$TOP/Makefile" 2> /dev/null; then
        REACHABLE=yes
    fi
    if [ -L "$RUN_DIR/var" ] && [ -d "$RUN_DIR/var" ]; then
        BASE=$(dirname "$(readlink "$RUN_DIR/var")")
    elif [ "$REACHABLE" = yes ]; then
        BASE=$RUN_DIR
        find "$BASE" -maxdepth 1 -type l -delete
    elif [ -d "$RUN_DIR/var" ]; then
        die "user $SERVER_USER can no longer reach $RUN_DIR: open the way to it, or remove run/"
    else
        BASE=$(mktemp -d /var/tmp/perfkit-XXXXXX) || die "cannot make a folder in /var/tmp"
        chmod 0711 "$BASE"
        for dir in pg bin etc var check; do
            ln -sfn "$BASE/$dir" "$RUN_DIR/$dir"
        done
    fi
    mkdir -p "$BASE/pg" "$BASE/bin" "$BASE/etc"
    own_dir "$BASE/var"
    own_dir "$BASE/check"
}

# need_space <dir> <megabytes>: dies if there is less
need_space()
{
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] || die "only $free MB free on the disk of $1: make room for $2 MB"
}

# debian_mirror: prints where this system's packages of Debian itself come from, for debootstrap
debian_mirror()
{
    local uri
    have apt-get || die "another Debian release is made from apt's sources, and there is no apt"
    # shellcheck disable=SC2016 # apt's placeholders
    uri=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
    [ -n "$uri" ] || die "apt's sources name no Debian archive: run this on Debian, or after apt-get update"
    printf '%s\n' "$uri"
}

# -- ports and processes ---------------------------------------------------------------------------

# free_port <preferred>: prints it if nothing listens there, else a free one of the system's choice
free_port()
{
    perl -MIO::Socket::INET -e '
        for my $port ($ARGV[0], 0)
        {
            my $socket = IO::Socket::INET->new(
                LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 1, ReuseAddr => 1) or next;
            print $socket->sockport, "\n";
            exit 0;
        }
        exit 1' "$1" || die "no free TCP port on 127.0.0.1"
}

# wait_for <seconds> <command> [argument...]: until it succeeds; returns 1 if the time is up
wait_for()
{
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# is_gone <pid>: no such process (a zombie counts as gone)
is_gone()
{
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2> /dev/null) || return 0
    [ -z "$state" ] || [ "$state" = Z ]
}

# milliseconds: of a clock of no particular beginning
milliseconds()
{
    local now=${EPOCHREALTIME/[.,]/}
    printf '%s\n' "$((now / 1000))"
}
