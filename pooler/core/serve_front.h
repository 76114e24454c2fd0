/*
 * serve_front.h - what stands in front of a request of a client that has no server, and needs none.
 */
#ifndef PERFKIT_CORE_SERVE_FRONT_H
#define PERFKIT_CORE_SERVE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pgmsg;
struct session;

/*
 * Takes in front of a request what needs no server. Late CopyData, CopyDone and CopyFail of a COPY
 * that has ended are dropped, as PostgreSQL does (X8), and so are a Flush with nothing before it
 * and what is refused: the rest of a batch, an overlong statement. True: *m is the request that
 * stands at *p. False: more must come first, or the session is gone (*gone).
 */
bool serve_front(struct session *s, const uint8_t **p, size_t *n, struct pgmsg *m, bool *gone);

#endif
