/*
 * lookup.h - auth_query: the secrets of users that auth_file does not know, asked of PostgreSQL.
 *
 * Per loop. Sessions that want the same user share one question, and an answer is kept for
 * auth_query_cache_time, that there is no such user too: a storm of logins, or of guesses, is one
 * query. RELOAD forgets them all, and a password that did not fit forgets its own (lookup_forget),
 * so that a new one is asked for at the next try. While the server cannot be asked, everybody is
 * told so at once and it is left alone for LOOKUP_REST_US. What is kept is bounded, whatever names
 * strangers come with.
 */
#ifndef PERFKIT_CORE_LOOKUP_H
#define PERFKIT_CORE_LOOKUP_H

#include <stdbool.h>

#include "core/lookup_line.h"

#define LOOKUP_REST_US 1000000

struct lookup;
struct shard;

struct lookup_ask
{
	const char *database; /* entry of [databases] in which the query runs */
	const char *as;       /* auth_user */
	const char *query;
	const char *user;
};

/*
 * Calls cb(arg, reply) once. From within where the answer is at hand: then the result is NULL. Else
 * a handle, gone when cb is called; the caller keeps it to cancel.
 */
struct lookup *lookup_start(struct shard *shard, const struct lookup_ask *ask, lookup_reply_cb cb,
							void *arg);

/* cb will not be called. *l may be NULL and is NULL afterwards. */
void lookup_cancel(struct lookup **l);

/* What was kept as the answer did not fit: the next one asks again. */
void lookup_forget(struct shard *shard, const struct lookup_ask *ask);

/* Calls see for each of the loop's connections to PostgreSQL. */
void lookup_each_line(struct shard *shard,
					  void (*see)(void *arg, const struct lookup_line_view *view), void *arg);

/* At the end of the loop, when no session is left. */
void lookup_fini(struct shard *shard);

#endif
