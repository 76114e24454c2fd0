/*
 * pgline.c - see pgline.h.
 *
 * libpq blocks where it resolves names, so it gets addresses; GSSAPI's encryption is left out, as
 * it would ask a key server. The socket may be another one after each step of a connection: its
 * watcher is stopped before and set anew behind it.
 *
 * A question is a pipeline: settings for its transaction, itself, Sync. L1  The watcher runs in all
 * states but DOWN and RESOLVING. L2  A callback is the last thing an event does with the line.
 */
#include "net/pgline.h"

#include <assert.h>
#include <ev.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "conf/dsn.h"
#include "net/loop.h"
#include "net/peer_addr.h"
#include "net/resolve.h"

#define TEXT_MAX 512
/* Beside those of the dsn: host, hostaddr, port and what is set here. */
#define MORE_KEYWORDS 8

/* The server ends a statement, and says so, before we give it up. */
#define GRACE_US 1000000

enum pgline_state
{
	PGLINE_DOWN,
	PGLINE_RESOLVING,
	PGLINE_CONNECTING,
	PGLINE_IDLE,
	PGLINE_ASKING
};

struct pgline
{
	enum pgline_state state;
	struct loop *loop;
	pgline_cb cb;
	void *arg;
	const struct dsn *dsn; /* not when DOWN */
	PGconn *conn;          /* NULL when DOWN or RESOLVING */
	struct resolve *resolve;
	ev_io io;
	ev_timer timer;         /* of the host, the address or the question */
	uint64_t timeout_us;    /* of connecting, for all hosts */
	int host;               /* of the dsn: the one being tried */
	struct dns_answer addr; /* of a host that is a name … */
	int n_addrs;            /* … or 1 */
	int at_addr;
	/* The open question. */
	PGresult *answer; /* NULL: none yet */
	char sqlstate[6];
	char error[TEXT_MAX]; /* of the question, or of the last try to connect */
	char said[TEXT_MAX];  /* the last notice: a server that ends says so before it closes */
};

static void try_host(struct pgline *l);
static void try_addr(struct pgline *l);

/* ---- endings ---- */

static void
watch(struct pgline *l, int events)
{
	ev_io_stop(l->loop->ev, &l->io);
	ev_io_set(&l->io, PQsocket(l->conn), events);
	ev_io_start(l->loop->ev, &l->io);
}

/* Ends what is under way, and keeps what was said of it. */
static void
drop(struct pgline *l)
{
	ev_io_stop(l->loop->ev, &l->io);
	ev_timer_stop(l->loop->ev, &l->timer);
	resolve_cancel(&l->resolve);
	PQclear(l->answer);
	l->answer = NULL;
	if (l->conn != NULL)
		PQfinish(l->conn);
	l->conn = NULL;
}

void
pgline_close(struct pgline *l)
{
	drop(l);
	l->state = PGLINE_DOWN;
	l->dsn = NULL;
}

static void
note(struct pgline *l, const char *text)
{
	str_copy(l->error, sizeof(l->error), text);
	dsn_clean(l->dsn, l->error);
}

/* As l->error and l->sqlstate tell. */
static void
tell_lost(struct pgline *l)
{
	char error[TEXT_MAX];
	char sqlstate[sizeof(l->sqlstate)];
	const struct pgline_news news = {.sqlstate = sqlstate, .error = error};

	memcpy(error, l->error, sizeof(error));
	memcpy(sqlstate, l->sqlstate, sizeof(sqlstate));
	pgline_close(l);
	l->cb(l->arg, PGLINE_LOST, &news); /* L2 */
}

static void
lose(struct pgline *l, const char *why)
{
	if (l->error[0] == '\0')
		note(l, l->said[0] != '\0' ? l->said : why);
	tell_lost(l);
}

/* This address cannot be had: the next one, or the next host. NULL: why is noted. */
static void
try_next(struct pgline *l, const char *why)
{
	if (why != NULL)
		note(l, why);
	drop(l);
	if (++l->at_addr < l->n_addrs)
		try_addr(l);
	else if (++l->host < l->dsn->n_hosts)
		try_host(l);
	else
		tell_lost(l);
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct pgline *l = w->data;

	(void) ev;
	(void) revents;
	if (l->state == PGLINE_ASKING)
		lose(l, "no answer in time");
	else if (l->state == PGLINE_CONNECTING && l->conn == NULL)
		try_next(l, NULL); /* try_addr() has come to nothing */
	else
		try_next(l, l->state == PGLINE_RESOLVING ? "its name could not be resolved in time"
												 : "no connection in time");
}

/* The server's own words, where there are any. */
static void
heard(void *arg, const PGresult *r)
{
	struct pgline *l = arg;
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	str_copy(l->said, sizeof(l->said), text != NULL ? text : "");
}

/* ---- connecting ---- */

static void
add(const char **keywords, const char **values, int *n, const char *keyword, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	keywords[*n] = keyword;
	values[(*n)++] = value;
}

static void
start(struct pgline *l, const char *addr)
{
	const struct dsn *d = l->dsn;
	const struct dsn_host *h = &d->host[l->host];
	const char **keywords = mem_zalloc((size_t) (d->n + MORE_KEYWORDS) * sizeof(*keywords));
	const char **values = mem_zalloc((size_t) (d->n + MORE_KEYWORDS) * sizeof(*values));
	int n = 0;

	add(keywords, values, &n, "fallback_application_name", "perfkit-pooler");
	for (int i = 0; i < d->n; i++)
		add(keywords, values, &n, d->keyword[i], d->value[i]);
	add(keywords, values, &n, "host", h->host);
	add(keywords, values, &n, "hostaddr", addr);
	add(keywords, values, &n, "port", h->port);
	/* The last of two counts. */
	add(keywords, values, &n, "gssencmode", "disable");
	add(keywords, values, &n, "client_encoding", "UTF8");
	l->conn = PQconnectStartParams(keywords, values, 0);
	free(keywords);
	free(values);
}

static void
connected(struct pgline *l)
{
	static const struct pgline_news news = {.sqlstate = ""};

	ev_timer_stop(l->loop->ev, &l->timer);
	if (PQsetnonblocking(l->conn, 1) != 0)
	{
		try_next(l, PQerrorMessage(l->conn));
		return;
	}
	PQsetNoticeReceiver(l->conn, heard, l);
	l->state = PGLINE_IDLE;
	l->error[0] = l->said[0] = l->sqlstate[0] = '\0';
	watch(l, EV_READ);
	l->cb(l->arg, PGLINE_CONNECTED, &news); /* L2 */
}

static void
connect_step(struct pgline *l)
{
	ev_io_stop(l->loop->ev, &l->io);
	switch (PQconnectPoll(l->conn))
	{
		case PGRES_POLLING_READING:
			watch(l, EV_READ);
			break;
		case PGRES_POLLING_WRITING:
			watch(l, EV_WRITE);
			break;
		case PGRES_POLLING_OK:
			connected(l);
			break;
		default:
			try_next(l, PQerrorMessage(l->conn));
			break;
	}
}

static void
ignore(void *arg, const PGresult *r)
{
	(void) arg;
	(void) r;
}

/* A host's share of the time; of one that is a name half of it is for the name server. */
static uint64_t
share(const struct pgline *l, bool name)
{
	return l->timeout_us / (uint64_t) l->dsn->n_hosts / (name ? 2 : 1);
}

static void
try_addr(struct pgline *l)
{
	char text[PEER_ADDR_TEXT_MAX] = "";
	int port;

	if (l->addr.n > 0)
		peer_addr_text(&l->addr.addr[l->at_addr].ss, text, sizeof(text), &port);
	l->state = PGLINE_CONNECTING;
	loop_after(l->loop, &l->timer, share(l, l->addr.n > 0) / (uint64_t) l->n_addrs);
	start(l, l->addr.n > 0 ? text : l->dsn->host[l->host].addr);
	if (l->conn == NULL || PQstatus(l->conn) == CONNECTION_BAD || PQsocket(l->conn) < 0)
	{
		/* Not from within pgline_connect(): by the timer, as any other that has come to nothing. */
		note(l, l->conn == NULL ? "out of memory" : PQerrorMessage(l->conn));
		drop(l);
		loop_after(l->loop, &l->timer, 0);
		return;
	}
	PQsetNoticeReceiver(l->conn, ignore, NULL); /* else libpq writes to stderr */
	watch(l, EV_WRITE);
}

static void
resolved(void *arg, const struct dns_answer *answer)
{
	struct pgline *l = arg;
	char text[TEXT_MAX];

	l->resolve = NULL;
	if (answer->n == 0)
	{
		snprintf(text, sizeof(text), "%s: %s", l->dsn->host[l->host].host, answer->error);
		try_next(l, text);
		return;
	}
	l->addr = *answer;
	l->n_addrs = answer->n;
	try_addr(l);
}

static bool
is_name(const struct dsn_host *h)
{
	struct peer_addr a;

	return *h->addr == '\0' && *h->host != '\0' && *h->host != '/' && *h->host != '@' &&
		   !peer_addr_literal(&a, h->host, 0);
}

static void
try_host(struct pgline *l)
{
	const struct dsn_host *h = &l->dsn->host[l->host];

	l->addr.n = 0;
	l->n_addrs = 1;
	l->at_addr = 0;
	if (!is_name(h))
	{
		try_addr(l);
		return;
	}
	l->state = PGLINE_RESOLVING;
	loop_after(l->loop, &l->timer, share(l, true));
	l->resolve = resolve_start(l->loop, h->host, 0, resolved, l);
}

/* ---- asking ---- */

/* The first error counts. */
static void
note_error(struct pgline *l, const PGresult *r)
{
	const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	if (l->error[0] != '\0')
		return;
	str_copy(l->sqlstate, sizeof(l->sqlstate), code != NULL ? code : "");
	note(l, text != NULL ? text : PQresultErrorMessage(r));
}

/* What has come of the answer. True: it is whole. */
static bool
take_results(struct pgline *l)
{
	int nothing = 0; /* in a row: one stands behind each statement */

	while (PQisBusy(l->conn) == 0 && nothing < 2)
	{
		PGresult *r = PQgetResult(l->conn);

		nothing = r == NULL ? nothing + 1 : 0;

		switch (r == NULL ? PGRES_EMPTY_QUERY : PQresultStatus(r))
		{
			case PGRES_PIPELINE_SYNC:
				PQclear(r);
				return true;
			case PGRES_TUPLES_OK:
				PQclear(l->answer);
				l->answer = r; /* the last is the question's */
				continue;
			case PGRES_FATAL_ERROR:
				note_error(l, r);
				break;
			default:
				break;
		}
		PQclear(r);
	}
	return false;
}

static void
answered(struct pgline *l)
{
	PGresult *r = l->answer;
	char error[TEXT_MAX];
	char sqlstate[sizeof(l->sqlstate)];
	struct pgline_news news = {.sqlstate = sqlstate};

	ev_timer_stop(l->loop->ev, &l->timer);
	memcpy(error, l->error, sizeof(error));
	memcpy(sqlstate, l->sqlstate, sizeof(sqlstate));
	if (error[0] != '\0')
		news.error = error;
	else if (r != NULL && PQntuples(r) > 0 && PQnfields(r) > 0 && !PQgetisnull(r, 0, 0))
	{
		news.value = PQgetvalue(r, 0, 0);
		news.len = (size_t) PQgetlength(r, 0, 0);
	}
	l->answer = NULL;
	l->state = PGLINE_IDLE;
	l->error[0] = l->sqlstate[0] = l->said[0] = '\0';
	/* Idle outside a pipeline libpq listens to what a server says that ends. */
	PQexitPipelineMode(l->conn);
	watch(l, EV_READ);
	l->cb(l->arg, PGLINE_ANSWERED, &news); /* L2 */
	PQclear(r);
}

/* False: the connection is lost, and that has been told. */
static bool
flush(struct pgline *l)
{
	int left = PQflush(l->conn);

	if (left < 0)
	{
		lose(l, PQerrorMessage(l->conn));
		return false;
	}
	watch(l, left > 0 ? EV_READ | EV_WRITE : EV_READ);
	return true;
}

static void
io_event(struct ev_loop *ev, ev_io *w, int revents)
{
	struct pgline *l = w->data;
	bool whole;

	(void) ev;
	if (l->state == PGLINE_CONNECTING)
	{
		connect_step(l);
		return;
	}
	/* Also when it is lost: what has come before the end counts. */
	if ((revents & EV_READ) != 0 && PQconsumeInput(l->conn) == 0)
	{
		if (l->state == PGLINE_ASKING)
			(void) take_results(l);
		lose(l, PQerrorMessage(l->conn));
		return;
	}
	if (l->state == PGLINE_IDLE)
	{
		/* Takes notices and parameters off. */
		if (PQisBusy(l->conn) != 0 || PQstatus(l->conn) == CONNECTION_BAD)
			lose(l, "unexpected message");
		return;
	}
	whole = take_results(l);
	if (PQstatus(l->conn) == CONNECTION_BAD)
		lose(l, PQerrorMessage(l->conn));
	else if (whole)
		answered(l);
	else
		(void) flush(l);
}

void
pgline_ask(struct pgline *l, const char *sql, int n, const char *const *params, uint64_t timeout_us)
{
	/* No SET: it would stay on the server of a pooler, and warn outside a transaction block. */
	static const char settings[] = "SELECT pg_catalog.set_config('statement_timeout', $1, true), "
								   "pg_catalog.set_config('synchronous_commit', 'off', true)";
	char limit[32];
	const char *setting[1] = {limit};

	assert(l->state == PGLINE_IDLE && n <= PGLINE_PARAMS_MAX);
	snprintf(limit, sizeof(limit), "%llums", (unsigned long long) (timeout_us / 1000));
	l->state = PGLINE_ASKING;
	l->error[0] = l->sqlstate[0] = l->said[0] = '\0';
	loop_after(l->loop, &l->timer, timeout_us + GRACE_US);
	if (PQenterPipelineMode(l->conn) != 1 ||
		PQsendQueryParams(l->conn, settings, 1, NULL, setting, NULL, NULL, 0) != 1 ||
		PQsendQueryParams(l->conn, sql, n, NULL, params, NULL, NULL, 0) != 1 ||
		PQpipelineSync(l->conn) != 1 || PQflush(l->conn) < 0)
	{
		/* Not from within: the timer tells. */
		note(l, PQerrorMessage(l->conn));
		loop_after(l->loop, &l->timer, 0);
		return;
	}
	watch(l, EV_READ | EV_WRITE);
}

/* ---- life ---- */

struct pgline *
pgline_new(struct loop *loop, pgline_cb cb, void *arg)
{
	struct pgline *l = mem_zalloc(sizeof(*l));

	l->loop = loop;
	l->cb = cb;
	l->arg = arg;
	loop_io_init(&l->io, io_event, -1, 0);
	ev_init(&l->timer, timed_out);
	l->io.data = l->timer.data = l;
	return l;
}

void
pgline_connect(struct pgline *l, const struct dsn *dsn, uint64_t timeout_us)
{
	assert(l->state == PGLINE_DOWN);
	l->dsn = dsn;
	l->timeout_us = timeout_us;
	l->host = 0;
	l->error[0] = l->said[0] = l->sqlstate[0] = '\0';
	try_host(l);
}

bool
pgline_is_idle(const struct pgline *l)
{
	return l->state == PGLINE_IDLE;
}

bool
pgline_is_down(const struct pgline *l)
{
	return l->state == PGLINE_DOWN;
}

void
pgline_free(struct pgline *l)
{
	if (l == NULL)
		return;
	pgline_close(l);
	free(l);
}
