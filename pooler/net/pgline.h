/*
 * pgline.h - a connection to PostgreSQL by libpq, on a loop: one question at a time.
 *
 *     DOWN -> RESOLVING -> CONNECTING -> IDLE <-> ASKING      any -> DOWN (lost, refused, too slow)
 *
 * For what the pooler itself has to say or to ask, never for a client's queries. Hosts are tried in
 * turn, and the addresses of each, every one for its share of the time.
 */
#ifndef PERFKIT_NET_PGLINE_H
#define PERFKIT_NET_PGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGLINE_PARAMS_MAX 8

struct dsn;
struct loop;
struct pgline;

enum pgline_event
{
	PGLINE_CONNECTED,
	PGLINE_ANSWERED,
	PGLINE_LOST /* it is down, be it that it never came up; a question that was open is too */
};

/* Valid within the callback. */
struct pgline_news
{
	const char *value;    /* ANSWERED: first column of the first row, as text; NULL: none */
	size_t len;           /* of the value */
	const char *sqlstate; /* of the error; "": it is not PostgreSQL's */
	const char *error;    /* one line without secrets; NULL: all is well */
};

/* It may use the line in any way, and free it. */
typedef void (*pgline_cb)(void *arg, enum pgline_event event, const struct pgline_news *news);

/* Nothing is connected yet. The callback comes from events of the loop alone. */
struct pgline *pgline_new(struct loop *loop, pgline_cb cb, void *arg);

/* Connects a line that is down; the dsn is the caller's and stays as long as the line is not down.
 * CONNECTED or LOST follows within timeout_us. */
void pgline_connect(struct pgline *l, const struct dsn *dsn, uint64_t timeout_us);

/* Of a line that is connected and not asking. */
bool pgline_is_idle(const struct pgline *l);
bool pgline_is_down(const struct pgline *l);

/*
 * Runs a statement with n parameters in a transaction of its own, in one round trip, in which the
 * server ends it after timeout_us. ANSWERED or LOST follows. The commit does not wait for the disk.
 * The parameters are copied. Works through poolers, whatever they pool.
 */
void pgline_ask(struct pgline *l, const char *sql, int n, const char *const *params,
				uint64_t timeout_us);

/* Down, without an event. */
void pgline_close(struct pgline *l);

/* NULL does nothing. */
void pgline_free(struct pgline *l);

#endif
