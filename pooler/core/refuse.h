/*
 * refuse.h - a request that is answered with an error although no server has seen it; its client
 * stays, but for refuse_session().
 *
 * The client is outside a transaction, so the answer is what PostgreSQL's would be: ErrorResponse
 * and ReadyForQuery behind a Query or a function call; behind any other message ErrorResponse, then
 * nothing until the client's Sync, and ReadyForQuery for that.
 */
#ifndef PERFKIT_CORE_REFUSE_H
#define PERFKIT_CORE_REFUSE_H

#include <stdbool.h>
#include <stdint.h>

struct pgmsg;
struct pgw_error;
struct session;

/* The message whose header is m is refused; its bytes are the caller's to drop. False when the
 * client is lost, and the session ended. */
bool refuse_request(struct session *s, const struct pgmsg *m, const struct pgw_error *e);

/* The next message of an idle session: true when it is to be dropped, being part of a batch that
 * was refused. */
bool refuse_drops(struct session *s, const struct pgmsg *m);

/* A dropped message is over: sends the ReadyForQuery that belongs behind it, if any. False when the
 * client is lost, and the session ended. */
bool refuse_message_over(struct session *s);

/* What a client hears for whom max_client_waiting has no place. */
const struct pgw_error *refuse_full_queue(void);

/* Ends a session that waits, with what PostgreSQL said to the logins of its pool. */
void refuse_session(struct session *s);

#endif
