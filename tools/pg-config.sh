#!/usr/bin/env bash
# pg-config.sh - prints the pg_config that perfkit builds with, or one clear line why there is none.
#
# PG_CONFIG= if set, else the one on PATH, else the newest below /usr/lib/postgresql; 15 or newer,
# with a server and its headers.
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

use_postgresql
printf '%s\n' "$PG_CONFIG"
