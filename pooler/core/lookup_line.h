/*
 * lookup_line.h - a connection of a loop's own to PostgreSQL, over which secrets are asked for.
 *
 *     DOWN -> REACHING -> LOGIN -> IDLE <-> ASKING         any -> DOWN (lost, refused, too slow)
 *
 * It is no server of a pool: clients never get it, so what they SET (search_path above all) cannot
 * change what auth_query means, and it takes no place from them: it counts against no limit. A loop
 * has at most one per database and user that ask; it is closed after server_idle_timeout. SHOW
 * SERVERS lists it.
 */
#ifndef PERFKIT_CORE_LOOKUP_LINE_H
#define PERFKIT_CORE_LOOKUP_LINE_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
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

/* What SHOW SERVERS says of it; valid until the line is touched. */
struct lookup_line_view
{
	const struct lookup_line *line;
	const char *database;
	const char *as;
	const char *state;
	bool idle;
	const char *host;
	int port;
	const struct conn *conn;
	const char *application;
	uint32_t backend_pid;
	uint64_t id;
	uint64_t connected_wall_us;
	uint64_t asked_wall_us;
};

/* False: it is not connected. */
bool lookup_line_look(const struct lookup_line *l, struct lookup_line_view *out);

/* The callback of an open question is not called. */
void lookup_line_free(struct lookup_line *l);

#endif
