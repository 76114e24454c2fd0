/*
 * show.h - the answers to SHOW: PgBouncer's columns in PgBouncer's order, ours behind them.
 *
 * Sources of the columns: PgBouncer's documentation of its admin console.
 */
#ifndef PERFKIT_CORE_SHOW_H
#define PERFKIT_CORE_SHOW_H

#include <stdbool.h>

#include "core/show_parts.h"

struct session;

/* The columns of SHOW <what>, as rows_head() takes them; "": it answers with a notice; NULL: no
 * such thing. */
const char *show_columns(const char *what);

/* Builds the answer to SHOW <what> and calls done(session, result set), at once or when all loops
 * have answered. False: no such thing. */
bool show_run(struct session *s, const char *what, show_done done);

#endif
