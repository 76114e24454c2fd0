/*
 * sticky_work.h - what a session's texts will have changed once their answers are in and
 * their transaction has committed (S2, S3 of sticky.h).
 *
 *   text --sticky_seen_scan--> ops --sticky_work_watch--> watch of its request
 *                                       CommandComplete --> pending --COMMIT--> settings
 */
#ifndef PERFKIT_CORE_STICKY_WORK_H
#define PERFKIT_CORE_STICKY_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "proto/sqlscan.h"

struct pgmsg;
struct server;
struct sticky;
struct statement;

/* A SET, RESET or savepoint that was found in a text. */
struct sticky_op
{
	struct list node;
	enum sqlscan_kind kind;
	uint32_t statement; /* which one of its request */
	uint32_t watch;     /* number of the request */
	bool call;
	const char *value; /* SET; behind the name */
	char name[];
};

/* What one text holds. */
struct sticky_seen
{
	const struct server *server; /* what this one reports need not be followed */
	struct list ops;             /* in their order */
	size_t bytes;                /* of names and values in them */
	uint8_t keep;                /* enum sqlscan_state */
	uint8_t maybe;               /* those of keep that need not come into being */
	uint8_t end;                 /* what may end */
	bool settings;               /* not savepoints alone */
	bool reported;               /* one was left out because this server reports it */
};

struct sticky_work
{
	struct list watched;       /* ops whose answer has not come, by request */
	struct list pending;       /* ops that were answered and wait for their COMMIT */
	size_t bytes;              /* of both */
	uint32_t number;           /* of the last request that is watched */
	uint32_t answering;        /* the request that is being answered … */
	uint32_t answers;          /* … and its CommandCompletes so far */
	bool failed;               /* the transaction has: what is pending is forgotten at its end */
	bool named;                /* some statement that the client has named must be looked at */
	struct statement *unnamed; /* its unnamed statement, if that one must be */
	struct statement *bound;   /* what its unnamed portal executes, likewise */
};

void sticky_seen_scan(struct sticky_seen *seen, const char *sql, size_t n,
					  const struct server *server);
void sticky_seen_clear(struct sticky_seen *seen);

/* Whether a text has anything in it that must be seen when it is executed. */
bool sticky_seen_matters(const struct sticky_seen *seen);

struct sticky_work *sticky_work(struct sticky *ss);

/* Frees what is there when it holds nothing any more. */
void sticky_work_tidy(struct sticky *ss);
void sticky_work_fini(struct sticky *ss);

/* Takes the ops over; answers the tag of their request, or 0 when there is nothing to watch. */
uint32_t sticky_work_watch(struct sticky *ss, struct server *server, struct sticky_seen *seen);

/* See sticky_complete(): the ops of the answer, and the transaction's end. */
void sticky_work_complete(struct sticky *ss, struct server *server, const struct pgmsg *m,
						  uint32_t tag);
void sticky_work_ready(struct sticky *ss, struct server *server);

#endif
