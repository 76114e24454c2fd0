/*
 * serve_front.h - what is done with a client's messages before a server sees them: dropped, or
 * refused with an error while the client stays (core/refuse).
 */
#ifndef PERFKIT_CORE_SERVE_FRONT_H
#define PERFKIT_CORE_SERVE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/session.h"

struct pgmsg;

/*
 * Of a client without a server: takes from *p, *n what needs none. Late CopyData, CopyDone and
 * CopyFail of a COPY that has ended are dropped, as PostgreSQL does (X8), and so are a Flush with
 * nothing before it and what is refused: the rest of a batch, an overlong statement, a query too
 * many. True: *m is the request that stands at *p. False: more must come first, or the session is
 * gone (*gone).
 */
bool serve_front_request(struct session *s, const uint8_t **p, size_t *n, struct pgmsg *m,
						 bool *gone);

/*
 * Of a client that keeps its server between transactions (session pooling, a pin): between them it
 * is asked for its rate. True: the server is to have what is left at *p. False: nothing is left, or
 * the session is gone.
 */
bool serve_front_rest(struct session *s, const uint8_t **p, size_t *n);

/* Whether serve_front_rest() has anything to say. */
static inline bool
serve_front_asks(const struct session *s)
{
	return s->limits->now.query_rates || s->refusing || s->ready_due;
}

#endif
