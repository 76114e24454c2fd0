/*
 * overlong.h - statements longer than max_statement_length: told by the header of their message, so
 * that nothing of them is kept or sent on.
 *
 * Without a server the pooler answers by itself (core/refuse). Where a server has the client's
 * transaction, that has to fail as after any error and the order of answers has to hold: a short
 * statement that no server can parse is sent in its place, and its error gets our words.
 */
#ifndef PERFKIT_CORE_OVERLONG_H
#define PERFKIT_CORE_OVERLONG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

struct outgoing;

/* max: bytes of text; 0: no limit. */
bool overlong_is(const struct pgmsg *m, int64_t max);

/* The error; `text` is where its message stands. */
#define OVERLONG_TEXT_MAX 128
struct pgw_error overlong_error(int64_t max, char text[OVERLONG_TEXT_MAX]);

/* Feeds and writes what goes to the server in the message's place; false when the message has no
 * place here. */
bool overlong_put(struct txstate *tx, const struct pgmsg *m, struct outgoing *out);

/* Whether this ErrorResponse is the answer to one that was put, the oldest request. To be asked
 * before it is fed. */
bool overlong_answered(const struct txstate *tx, const struct pgmsg *m);

#endif
