/*
 * lookup_line.h - a connection of a loop's own to PostgreSQL, over which secrets are asked for.
 *
 *     DOWN -> REACHING -> LOGIN -> IDLE <-> ASKING         any -> DOWN (lost, refused, too slow)
 *
 * It is no server of a pool: clients never get it, so what they SET (search_path above all) cannot
 * change what auth_query means, and it takes no place from them. A loop has at most one per
 * database and user that ask; it is closed after server_idle_timeout.
 */
#ifndef PERFKIT_CORE_LOOKUP_LINE_H
#define PERFKIT_CORE_LOOKUP_LINE_H

#include <stdbool.h>

struct lookup_line;
struct shard;

/* Valid for the time of the call. */
struct lookup_reply
{
	bool found;
	const char *secret; /* NULL: the user has none (or one that is not valid any more) */
	const char *error;  /* NULL: the question was answered */
	bool down;          /* with error: it is the server's, not the question's */
};

typedef void (*lookup_reply_cb)(void *arg, const struct lookup_reply *reply);

/* database: an entry of [databases]; as: who asks. Nothing is connected yet. */
struct lookup_line *lookup_line_new(struct shard *shard, const char *database, const char *as);

/* Asks query with user as its $1; not while another question is open. The callback comes later,
 * never from within. */
void lookup_line_ask(struct lookup_line *l, const char *query, const char *user, lookup_reply_cb cb,
					 void *arg);

/* The callback of an open question is not called. */
void lookup_line_free(struct lookup_line *l);

#endif
