# shellcheck shell=bash
# cluster.sh - the private PostgreSQL cluster and the pooler in front of it: start, stop, ask.
# Sourced after lib.sh.
#
#   BASE/pg/…                private PostgreSQL installation (pgtree.sh)
#   BASE/bin/perfkit-pooler  the pooler as last built
#   BASE/etc/pooler.ini      its configuration
#   BASE/var/data, log       the cluster and the logs of both
#   TOP/run/env              where they listen, as shell assignments
#
# A process is ours if its working directory is BASE/var/data (PostgreSQL) or its program is
# BASE/bin/perfkit-pooler; a pid file alone is never believed.

DEMO_DATABASE=demo
DEMO_USER=postgres
POOL_SIZE=10
SCALE=10 # pgbench's: a million accounts, about 160 MB

# use_cluster: sets the paths and, from run/env, the ports of the last start
use_cluster()
{
    use_server_user
    use_base
    DATA=$BASE/var/data
    LOGS=$BASE/var/log
    POOLER=$BASE/bin/perfkit-pooler
    POOLER_INI=$BASE/etc/pooler.ini
    POOLER_PIDFILE=$BASE/var/pooler.pid
    ENV_FILE=$RUN_DIR/env
    PGPORT=5432
    POOLER_PORT=6432
    if [ -f "$ENV_FILE" ]; then
        PGPORT=$(sed -n 's/^PGPORT=\([0-9]*\)$/\1/p' "$ENV_FILE")
        POOLER_PORT=$(sed -n 's/^POOLER_PORT=\([0-9]*\)$/\1/p' "$ENV_FILE")
        PGPORT=${PGPORT:-5432}
        POOLER_PORT=${POOLER_PORT:-6432}
    fi
}

# use_programs: sets BIN, where the private copies of psql, pg_ctl … are
use_programs()
{
    use_postgresql
    BIN=$BASE/pg$("$PG_CONFIG" --bindir)
}

# db <psql argument>...: asks PostgreSQL itself; plain output, stops at the first error
db()
{
    "$BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PGPORT" -U "$DEMO_USER" "$@"
}

# pooled <psql argument>...: the same through the pooler
pooled()
{
    "$BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$POOLER_PORT" -U "$DEMO_USER" "$@"
}

# -- build -----------------------------------------------------------------------------------------

# build_failed: dies, with the lines of build/build.log that tell
build_failed()
{
    { grep -E ' error: |undefined reference|No rule|^perfkit: ' "$TOP/build/build.log" || tail -n 5 "$TOP/build/build.log"; } |
        sed -n '1,20p' >&2
    die "the build failed (whole log: build/build.log)"
}

# build_all: both halves
build_all()
{
    local jobs=()
    case " ${MAKEFLAGS:-} " in
        *jobserver*) ;;
        *) jobs=(-j "$(nproc)") ;;
    esac
    mkdir -p "$TOP/build"
    if ! "${MAKE:-make}" "${jobs[@]}" --no-print-directory -C "$TOP" all > "$TOP/build/build.log" 2>&1; then
        build_failed
    fi
}

# install_private: installs what was built into BASE; sets CHANGED_EXTENSION, CHANGED_POOLER, and
# SQL_VERSION, a fingerprint of the extension's SQL
install_private()
{
    local before after
    "$TOP/tools/pgtree.sh" "$BASE/pg" || exit 1
    before=$(installed_fingerprint)
    "${MAKE:-make}" --no-print-directory -C "$TOP/pg_ext" install DESTDIR="$BASE/pg" PG_CONFIG="$PG_CONFIG" \
        > "$TOP/build/install.log" 2>&1 || {
        tail -n 5 "$TOP/build/install.log" >&2
        die "installing into $BASE/pg failed (whole log: build/install.log)"
    }
    after=$(installed_fingerprint)
    CHANGED_EXTENSION=no
    [ "$before" = "$after" ] || CHANGED_EXTENSION=yes
    SQL_VERSION=$(cat "$BASE/pg$("$PG_CONFIG" --sharedir)"/extension/perfkit--*.sql | cksum)
    CHANGED_POOLER=no
    if ! cmp -s "$TOP/pooler/perfkit-pooler" "$POOLER"; then
        CHANGED_POOLER=yes
        install -m 755 "$TOP/pooler/perfkit-pooler" "$POOLER"
    fi
}

# installed_fingerprint: changes with each file of the extension that is installed; none is fine
installed_fingerprint()
{
    {
        cat "$BASE/pg$("$PG_CONFIG" --pkglibdir)/perfkit.so" \
            "$BASE/pg$("$PG_CONFIG" --sharedir)"/extension/perfkit* 2> /dev/null || true
    } | cksum
}

# -- PostgreSQL ------------------------------------------------------------------------------------

# cluster_processes: prints the pid of each process that works in our data directory
cluster_processes()
{
    find /proc/[0-9]*/cwd -maxdepth 0 -lname "$DATA" 2> /dev/null | cut -d / -f 3
}

# end_strays: ends what still runs in a run/ that was deleted under it
end_strays()
{
    find /proc/[0-9]*/cwd /proc/[0-9]*/exe -maxdepth 0 \
        \( -lname "$DATA (deleted)" -o -lname "$POOLER (deleted)" \) 2> /dev/null | cut -d / -f 3 | sort -u |
        xargs -r kill -QUIT 2> /dev/null || true
}

# postmaster_pid: prints it; returns 1 if PostgreSQL is not running
postmaster_pid()
{
    local pid
    pid=$(as_server sed -n 1p "$DATA/postmaster.pid" 2> /dev/null) || return 1
    [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2> /dev/null)" = "$DATA" ] && printf '%s\n' "$pid"
}

postgresql_answers()
{
    "$BIN/pg_isready" -q -h 127.0.0.1 -p "$PGPORT"
}

no_cluster_processes()
{
    [ -z "$(cluster_processes)" ]
}

# clear_leftovers: after a postmaster was killed, waits until its children are gone, then removes
# the stale pid file
clear_leftovers()
{
    wait_for 15 no_cluster_processes || {
        cluster_processes | xargs -r kill -KILL 2> /dev/null || true
        wait_for 5 no_cluster_processes || die "processes $(cluster_processes | xargs) hold $DATA: end them"
    }
    as_server rm -f "$DATA/postmaster.pid"
}

# make_cluster: a new one, unless there is a fitting one; an unfitting one (other PostgreSQL, other
# SQL of the extension) is kept as data.old
make_cluster()
{
    local reason=
    if [ -d "$DATA" ]; then
        if [ "$(cat "$DATA/PG_VERSION" 2> /dev/null)" != "$PG_MAJOR" ]; then
            reason="another PostgreSQL than $PG_MAJOR"
        elif [ "$(cat "$DATA/perfkit.sql_version" 2> /dev/null)" != "$SQL_VERSION" ]; then
            reason="an earlier build of the extension's SQL"
        fi
        [ -n "$reason" ] || return 0
        stop_postgresql
        say "the cluster was made for $reason; it is kept as run/var/data.old"
        rm -rf "$DATA.old"
        mv "$DATA" "$DATA.old"
    fi
    need_space "$BASE" 1000
    rm -rf "$DATA.new"
    as_server "$BIN/initdb" -D "$DATA.new" -U "$DEMO_USER" -E UTF8 --locale=C --auth=trust --no-instructions \
        > "$LOGS/initdb.log" 2>&1 || {
        tail -n 5 "$LOGS/initdb.log" >&2
        die "initdb failed (whole log: $LOGS/initdb.log)"
    }
    printf "include = 'perfkit.conf'\n" >> "$DATA.new/postgresql.conf"
    printf '%s\n' "$SQL_VERSION" > "$DATA.new/perfkit.sql_version"
    mv "$DATA.new" "$DATA"
}

write_postgresql_conf()
{
    cat > "$DATA/perfkit.conf" << EOF_CONF
# written by make run at every start
listen_addresses = '127.0.0.1'
port = $PGPORT
unix_socket_directories = ''
max_connections = 120
shared_buffers = 128MB
max_wal_size = 512MB
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
log_line_prefix = '%m [%p] %q%u@%d '
EOF_CONF
}

# start_postgresql: sets PGPORT; does nothing if it is running
start_postgresql()
{
    local attempt
    if postmaster_pid > /dev/null; then
        wait_for 60 postgresql_answers || die "PostgreSQL does not answer (log: $LOGS/postgresql.log)"
        return 0
    fi
    clear_leftovers
    for attempt in 1 2 3; do
        PGPORT=$(free_port "$PGPORT")
        write_postgresql_conf
        : > "$LOGS/pg_ctl.log"
        if as_server "$BIN/pg_ctl" -s -w -t 120 -D "$DATA" -l "$LOGS/postgresql.log" start \
            < /dev/null > "$LOGS/pg_ctl.log" 2>&1; then
            return 0
        fi
        # somebody took the port between the look and the start
        tail -n 20 "$LOGS/postgresql.log" | grep -q 'Address already in use' || break
    done
    grep -E 'FATAL|ERROR|HINT' "$LOGS/postgresql.log" | tail -n 5 >&2 || tail -n 5 "$LOGS/pg_ctl.log" >&2
    die "PostgreSQL did not start after $attempt attempt(s) (log: $LOGS/postgresql.log)"
}

# stop_postgresql: returns 1 if it was not running
stop_postgresql()
{
    local pid
    if ! pid=$(postmaster_pid); then
        no_cluster_processes || clear_leftovers
        return 1
    fi
    kill -INT "$pid" 2> /dev/null || true
    if ! wait_for 60 is_gone "$pid"; then
        say "PostgreSQL did not stop in 60 s; stopping it at once"
        kill -QUIT "$pid" 2> /dev/null || true
        wait_for 10 is_gone "$pid" || true
    fi
    clear_leftovers
}

# -- the pooler ------------------------------------------------------------------------------------

# pooler_pid: prints it; returns 1 if the pooler is not running
pooler_pid()
{
    local pid
    pid=$(as_server cat "$POOLER_PIDFILE" 2> /dev/null) || return 1
    case $(readlink "/proc/${pid:-none}/exe" 2> /dev/null) in
        "$POOLER" | "$POOLER (deleted)") printf '%s\n' "$pid" ;;
        *) return 1 ;;
    esac
}

pooler_answers()
{
    pooled -d perfkit -c 'SHOW VERSION' > /dev/null 2>&1
}

write_pooler_conf()
{
    cat > "$POOLER_INI" << EOF_CONF
; written by make run at every start
[databases]
$DEMO_DATABASE = host=127.0.0.1 port=$PGPORT

[perfkit-pooler]
listen_addr = 127.0.0.1
listen_port = $POOLER_PORT
unix_socket_dir =
auth_type = trust
auth_file = $BASE/etc/userlist.txt
admin_users = $DEMO_USER
pool_mode = transaction
default_pool_size = $POOL_SIZE
max_client_conn = 1000
query_wait_timeout = 30
server_idle_timeout = 600
logfile = $LOGS/pooler.log
pidfile = $POOLER_PIDFILE
EOF_CONF
    printf '"%s" ""\n' "$DEMO_USER" > "$BASE/etc/userlist.txt"
}

# start_pooler: sets POOLER_PORT; does nothing if it is running in front of our PostgreSQL
start_pooler()
{
    local attempt
    if pooler_pid > /dev/null && ! grep -q " port=$PGPORT\$" "$POOLER_INI"; then
        stop_pooler
    fi
    if pooler_pid > /dev/null; then
        wait_for 10 pooler_answers || die "the pooler does not answer (log: $LOGS/pooler.log)"
        return 0
    fi
    as_server rm -f "$POOLER_PIDFILE"
    for attempt in 1 2 3; do
        POOLER_PORT=$(free_port "$POOLER_PORT")
        write_pooler_conf
        if as_server "$POOLER" -d "$POOLER_INI" < /dev/null > "$LOGS/pooler.out" 2>&1 &&
            wait_for 10 pooler_answers; then
            return 0
        fi
        stop_pooler || true
        grep -qsi 'address already in use' "$LOGS/pooler.out" "$LOGS/pooler.log" || break
    done
    tail -n 5 "$LOGS/pooler.out" >&2
    die "the pooler did not start after $attempt attempt(s) (log: $LOGS/pooler.log)"
}

# stop_pooler: returns 1 if it was not running
stop_pooler()
{
    local pid signal
    if ! pid=$(pooler_pid); then
        as_server rm -f "$POOLER_PIDFILE"
        return 1
    fi
    for signal in INT QUIT KILL; do
        kill -"$signal" "$pid" 2> /dev/null || break
        wait_for 5 is_gone "$pid" && break
        say "the pooler did not stop at SIG$signal in 5 s"
    done
    as_server rm -f "$POOLER_PIDFILE"
}

# -- both ------------------------------------------------------------------------------------------

write_env()
{
    cat > "$ENV_FILE" << EOF_ENV
PGHOST=127.0.0.1
PGPORT=$PGPORT
PGDATABASE=$DEMO_DATABASE
PGUSER=$DEMO_USER
POOLER_PORT=$POOLER_PORT
EOF_ENV
}

# start_all: builds, installs, starts what is not running, restarts what runs an older build
start_all()
{
    build_all
    install_private
    own_dir "$LOGS"
    postmaster_pid > /dev/null || pooler_pid > /dev/null || end_strays
    if [ "$CHANGED_POOLER" = yes ] && stop_pooler; then
        say "the pooler was rebuilt: restarting it"
    fi
    make_cluster
    if [ "$CHANGED_EXTENSION" = yes ] && postmaster_pid > /dev/null; then
        say "the extension was rebuilt: restarting PostgreSQL"
        stop_postgresql
    fi
    start_postgresql
    db -d postgres -c "SELECT 1 FROM pg_database WHERE datname = '$DEMO_DATABASE'" | grep -q 1 ||
        db -d postgres -c "CREATE DATABASE $DEMO_DATABASE"
    db -d "$DEMO_DATABASE" -c 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS perfkit'
    start_pooler
    write_env
}

# load_tables: pgbench's, unless they are there
load_tables()
{
    local there="SELECT to_regclass('pgbench_history') IS NOT NULL AND to_regclass('pgbench_accounts_pkey') IS NOT NULL"
    [ "$(db -d "$DEMO_DATABASE" -c "$there")" = f ] || return 0
    say "loading pgbench's tables, scale $SCALE"
    "$BIN/pgbench" -i -q -s "$SCALE" -h 127.0.0.1 -p "$PGPORT" -U "$DEMO_USER" "$DEMO_DATABASE" \
        > "$LOGS/load.log" 2>&1 || {
        tail -n 5 "$LOGS/load.log" >&2
        die "pgbench -i failed (log: $LOGS/load.log)"
    }
}
