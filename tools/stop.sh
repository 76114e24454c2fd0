#!/usr/bin/env bash
# stop.sh [--remove] - stops the pooler and PostgreSQL that run.sh started, whatever state they are
# in (killed, crashed, stale pid files); with --remove also deletes run/ and what it links to.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/cluster.sh
. "$TOP/tools/cluster.sh"

if [ ! -d "$RUN_DIR" ]; then
    DATA=$RUN_DIR/var/data POOLER=$RUN_DIR/bin/perfkit-pooler
    end_strays
    say "nothing to stop: there is no run/"
    exit 0
fi
use_cluster
if stop_pooler; then
    say "pooler stopped"
else
    say "pooler was not running"
fi
if stop_postgresql; then
    say "PostgreSQL stopped"
else
    say "PostgreSQL was not running"
fi
end_strays
if [ "${1:-}" = --remove ]; then
    [ "$BASE" = "$RUN_DIR" ] || rm -rf "$BASE"
    rm -rf "$RUN_DIR"
    say "run/ removed"
fi
