/*
 * abandon.h - a server whose client has left in the middle of its work is brought to rest and given
 * back.
 *
 * What is outstanding is cancelled (or, when the client said goodbye properly, left to end as
 * PostgreSQL would), its answers are thrown away, an open COPY is failed, a batch without Sync gets
 * one, a transaction is rolled back, and the reset query wipes what is left. Where that is not
 * clean, because a message towards the server stands half-sent, the connection is closed instead.
 */
#ifndef PERFKIT_CORE_ABANDON_H
#define PERFKIT_CORE_ABANDON_H

#include <stdbool.h>

struct server;
struct shard;

/* Takes the server over from its session, which forgets it. */
void abandon_start(struct shard *shard, struct server *server, bool cancel);

/* Closes all of a database ("": all) that are under way on a loop. */
void abandon_close_all(struct shard *shard, const char *database, const char *reason);

#endif
