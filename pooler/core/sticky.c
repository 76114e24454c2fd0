/*
 * sticky.c - see sticky.h.
 *
 * A simple query is looked at when it is sent; a statement of the extended protocol when it is
 * prepared, so that it is known, and again when its portal is executed, which is when it counts.
 */
#include "core/sticky.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/names.h"
#include "core/params.h"
#include "core/server.h"
#include "core/sticky_work.h"
#include "core/statement.h"
#include "core/stats.h"
#include "proto/prepared.h"
#include "proto/pgwrite.h"

/* S4: what no query can be asked about. */
#define UNASKABLE (SQLSCAN_SETTING | SQLSCAN_AUTHORIZATION | SQLSCAN_LOAD)

static const struct pgw_error not_allowed = {
	.severity = "ERROR",
	.sqlstate = "0A000",
	.message = "the statement keeps state in its session, which is refused here",
	.detail = "session_state = error, and the server connection is shared with other clients.",
	.hint = "Use pool_mode = session, or session_state = pin, for this database or user.",
};

static const struct pgw_error too_many = {
	.severity = "ERROR",
	.sqlstate = "53400",
	.message = "the statement keeps state in its session, and no server connection can be set "
			   "aside for that",
	.detail = "At most pool_size - 1 server connections of a pool are held by such clients.",
	.hint = "SHOW PINS on the console says who holds them and why. Raise pool_size, or use "
			"pool_mode = session.",
};

void
sticky_init(struct sticky *ss, const struct conf_limits *limits)
{
	ss->limits = limits;
}

void
sticky_join(struct sticky *ss, _Atomic int64_t *pool_pins, struct stats *stats)
{
	INVARIANT(!ss->reserved, "a pinned session keeps its pool");
	ss->pool_pins = pool_pins;
	ss->stats = stats;
}

bool
sticky_greet(struct sticky *ss, struct params *want, const struct params *reported)
{
	for (int i = PARAM_EXTRA; i < PARAMS; i++)
	{
		char name[SQLSCAN_NAME_MAX];
		char value[4 * PARAMS_MAX_VALUE];
		struct setting one = {.name = name, .value = value, .call = true};
		size_t n = 0;

		if (want->value[i] == NULL || reported->value[i] != NULL)
			continue;
		for (const char *p = params_name(i); *p != '\0'; p++)
			name[n++] = *p >= 'A' && *p <= 'Z' ? (char) (*p | 0x20) : *p;
		name[n] = '\0';
		if (str_quote_literal(value, sizeof(value), want->value[i]) == 0 ||
			!settings_set(&ss->settings, &one))
			return false;
		params_set(want, i, NULL);
	}
	return true;
}

int
sticky_attach(struct sticky *ss, struct server *server, char *sql, size_t cap)
{
	int n;

	if (settings_equal(&ss->settings, &server->settings))
		return 0;
	n = settings_diff(&ss->settings, &server->settings, sql, cap);
	settings_copy(&server->settings, &ss->settings);
	return n;
}

void
sticky_fini(struct sticky *ss)
{
	sticky_work_fini(ss);
	settings_fini(&ss->settings);
	free(ss->skim);
}

/* ---- pins ---- */

static uint8_t
without(unsigned states, unsigned those)
{
	return (uint8_t) (states & ~those);
}

static bool
reserve(struct sticky *ss)
{
	int64_t max = ss->limits->pool_size - 1;

	if (ss->reserved)
		return true;
	if (atomic_fetch_add(ss->pool_pins, 1) >= max)
	{
		atomic_fetch_sub(ss->pool_pins, 1);
		return false;
	}
	ss->reserved = true;
	ss->pinned_wall_us = clock_wall_us();
	return true;
}

static void
release(struct sticky *ss)
{
	ss->pins = 0;
	ss->fresh = 0;
	ss->ask = 0;
	ss->asked = 0;
	ss->bad = false;
	if (ss->reserved)
		atomic_fetch_sub(ss->pool_pins, 1);
	ss->reserved = false;
}

static void
count(struct sticky *ss, uint8_t added)
{
	struct stats *t = ss->stats;

	t->pin_listen_count += (added & SQLSCAN_LISTEN) != 0;
	t->pin_temporary_table_count += (added & SQLSCAN_TEMP) != 0;
	t->pin_advisory_lock_count += (added & SQLSCAN_ADVISORY) != 0;
	t->pin_held_cursor_count += (added & SQLSCAN_CURSOR) != 0;
	t->pin_prepared_statement_count += (added & SQLSCAN_PREPARED) != 0;
	t->pin_setting_count += (added & SQLSCAN_SETTING) != 0;
	t->pin_session_authorization_count += (added & SQLSCAN_AUTHORIZATION) != 0;
	t->pin_load_count += (added & SQLSCAN_LOAD) != 0;
}

/* What is about to be executed. False: refused, and ss->refusal says why. */
static bool
allow(struct sticky *ss, const struct sticky_seen *seen)
{
	uint8_t keep = seen->keep;

	ss->ask |= seen->end & (ss->pins | ss->fresh | keep);
	if (keep == 0)
		return true;
	switch (ss->limits->session_state)
	{
		case STATE_POLICY_IGNORE:
			return true;
		case STATE_POLICY_ERROR:
			ss->refusal = &not_allowed;
			return false;
		default:
			break;
	}
	if (!reserve(ss))
	{
		ss->refusal = &too_many;
		return false;
	}
	count(ss, without(keep, ss->pins | ss->fresh));
	ss->fresh |= keep;
	ss->ask |= seen->maybe;
	return true;
}

/* ---- texts ---- */

/* In a query that sets client_encoding too, other bytes would be read in the wrong one. */
static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((*text & 0x80) != 0)
			return false;
	return true;
}

/* Settings that cannot be remembered are held by a pin; their ops go. */
static void
check_room(struct sticky *ss, struct server *server, struct sticky_seen *seen)
{
	list_foreach(n, next, &seen->ops)
	{
		struct sticky_op *op = list_entry(n, struct sticky_op, node);
		struct setting one = {.name = op->name, .value = op->value, .call = op->call};

		if (op->kind != SQLSCAN_SET || (settings_fits(&ss->settings, &one) && is_ascii(op->value)))
			continue;
		seen->keep |= SQLSCAN_SETTING;
		if (ss->limits->session_state == STATE_POLICY_IGNORE)
			server->state_doubt = true;
		list_remove(n);
		free(op);
	}
}

/* A text is about to be executed. */
static enum sticky_verdict
execute(struct sticky *ss, struct server *server, struct sticky_seen *seen, uint32_t *tag)
{
	uint32_t watched;

	check_room(ss, server, seen);
	if (!allow(ss, seen))
	{
		sticky_seen_clear(seen);
		*tag = STICKY_TAG_REFUSED;
		return STICKY_REFUSE;
	}
	watched = sticky_work_watch(ss, server, seen);
	if (watched != 0)
		*tag = watched;
	return STICKY_PASS;
}

static enum sticky_verdict
simple_query(struct sticky *ss, struct server *server, const struct pgmsg *m, size_t there,
			 uint32_t *tag)
{
	struct sticky_seen seen;

	if (!m->whole && m->total <= STICKY_TEXT_MAX)
		return STICKY_MORE;
	if (!m->whole)
	{
		sticky_stream_begin(ss, server, m->body, there);
		return STICKY_PASS;
	}
	sticky_seen_scan(&seen, (const char *) m->body, m->body_len, server);
	return sticky_seen_matters(&seen) ? execute(ss, server, &seen, tag) : STICKY_PASS;
}

/* ---- extended protocol ---- */

static bool
standard_strings(const struct server *server)
{
	const char *standard = server->params.value[PARAM_STANDARD_CONFORMING_STRINGS];

	return standard == NULL || strcmp(standard, "off") != 0;
}

/* Whether a shared statement must be looked at when it is executed; found out once. */
static bool
matters(struct statement *st, const struct server *server)
{
	struct sticky_seen seen;
	int known = atomic_load(&st->state);

	/* Where a backslash escapes, the words of a text may be others. */
	if (known != STATEMENT_UNSEEN && standard_strings(server))
		return known == STATEMENT_MATTERS;
	sticky_seen_scan(&seen, (const char *) st->text, st->len, server);
	known = sticky_seen_matters(&seen) || seen.reported ? STATEMENT_MATTERS : STATEMENT_PLAIN;
	sticky_seen_clear(&seen);
	if (standard_strings(server))
		atomic_store(&st->state, known);
	return known == STATEMENT_MATTERS;
}

static enum sticky_verdict
parse(struct sticky *ss, struct server *server, const struct names *names, const struct pgmsg *m,
	  size_t there)
{
	struct prepared p;
	struct sticky_seen seen;
	bool here;

	if (!m->whole && m->total <= STICKY_TEXT_MAX)
		return STICKY_MORE;
	if (prepared_split(m, there, &p) != PGMSG_OK)
		return STICKY_PASS;
	if (p.name[0] == '\0' && ss->work != NULL)
		statement_drop(&ss->work->unnamed);
	if (!m->whole)
	{
		/* A named one will come again when it is whole. */
		if (p.name[0] == '\0' || names == NULL)
			sticky_stream_begin(ss, server, p.after, p.after_there);
		return STICKY_PASS;
	}
	sticky_seen_scan(&seen, (const char *) p.after, p.after_there, server);
	here = sticky_seen_matters(&seen);
	sticky_seen_clear(&seen);
	if (!here)
		return STICKY_PASS;
	if (p.name[0] == '\0')
		sticky_work(ss)->unnamed = statement_get(p.after, p.after_there);
	else if (names == NULL)
		sticky_doubt(ss, server);
	else
		sticky_work(ss)->named = true;
	return STICKY_PASS;
}

static enum sticky_verdict
execute_statement(struct sticky *ss, struct server *server, const struct statement *st,
				  uint32_t *tag)
{
	struct sticky_seen seen;

	sticky_seen_scan(&seen, (const char *) st->text, st->len, server);
	return execute(ss, server, &seen, tag);
}

static enum sticky_verdict
bind(struct sticky *ss, struct server *server, const struct names *names, const struct pgmsg *m,
	 size_t there, uint32_t *tag)
{
	struct sticky_work *w = ss->work;
	struct statement *st;
	struct prepared p;
	enum sticky_verdict verdict;
	uint32_t ignored = 0;

	if (w == NULL || (!w->named && w->unnamed == NULL && w->bound == NULL))
		return STICKY_PASS;
	if (!m->whole && m->total <= STICKY_TEXT_MAX)
		return STICKY_MORE;
	if (prepared_split(m, there, &p) != PGMSG_OK)
		return STICKY_PASS;
	st = p.name[0] == '\0' ? w->unnamed : names == NULL ? NULL : names_find(names, p.name);
	if (st != NULL && !matters(st, server))
		st = NULL;
	if (p.before_len == 1)
	{
		statement_drop(&w->bound);
		w->bound = st == NULL ? NULL : statement_use(st);
		return STICKY_PASS;
	}
	if (st == NULL)
		return STICKY_PASS;
	/* A portal with a name: whether and when it is executed is not followed. */
	verdict = execute_statement(ss, server, st, &ignored);
	if (verdict == STICKY_REFUSE)
		*tag = ignored;
	else
		sticky_doubt(ss, server);
	return m->whole ? verdict : STICKY_PASS;
}

static enum sticky_verdict
execute_portal(struct sticky *ss, struct server *server, const struct pgmsg *m, size_t there,
			   uint32_t *tag)
{
	if (ss->work == NULL || ss->work->bound == NULL)
		return STICKY_PASS;
	if (!m->whole)
		return m->total <= STICKY_TEXT_MAX ? STICKY_MORE : STICKY_PASS;
	if (there == 0 || m->body[0] != '\0')
		return STICKY_PASS;
	return execute_statement(ss, server, ss->work->bound, tag);
}

enum sticky_verdict
sticky_message(struct sticky *ss, struct server *server, const struct names *names,
			   const struct pgmsg *m, size_t there, uint32_t *tag)
{
	if (ss->limits == NULL || server->tx.skipping)
		return STICKY_PASS;
	switch (m->type)
	{
		case 'Q':
			return simple_query(ss, server, m, there, tag);
		case 'P':
			return parse(ss, server, names, m, there);
		case 'B':
			return bind(ss, server, names, m, there, tag);
		case 'E':
			return execute_portal(ss, server, m, there, tag);
		default:
			return STICKY_PASS;
	}
}

void
sticky_refuse(uint8_t type, struct pgwriter *out)
{
	if (type == 'Q')
	{
		/* Fails in every state of a transaction, since it does not parse. */
		pgw_query(out, "refused by session_state");
		return;
	}
	/* Names that nobody has. */
	pgw_begin(out, type);
	pgw_cstr(out, type == 'B' ? "" : "PERFKIT_REFUSED");
	if (type == 'B')
	{
		pgw_cstr(out, "PERFKIT_REFUSED");
		pgw_u16(out, 0);
		pgw_u16(out, 0);
		pgw_u16(out, 0);
	}
	else
		pgw_u32(out, 0);
	pgw_end(out);
}

/* ---- answers ---- */

void
sticky_complete(struct sticky *ss, struct server *server, const struct pgmsg *m, uint32_t tag)
{
	sticky_work_complete(ss, server, m, tag);
}

void
sticky_error(struct sticky *ss)
{
	ss->bad = true;
	if (ss->work != NULL)
		ss->work->failed = true;
}

void
sticky_ready(struct sticky *ss, struct server *server)
{
	sticky_work_ready(ss, server);
}

/* ---- the probe ---- */

static const struct
{
	uint8_t state;
	const char *sql;
} questions[] = {
	{SQLSCAN_LISTEN, "EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"},
	/* Whatever lives in the session's temporary schema depends on it. */
	{SQLSCAN_TEMP,
	 "EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) "
	 "'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid "
	 "OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"},
	{SQLSCAN_ADVISORY, "EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype "
					   "OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) "
					   "pg_catalog.pg_backend_pid())"},
	{SQLSCAN_CURSOR, "EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)"},
	{SQLSCAN_PREPARED, "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)"},
};

#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void
write_probe(uint8_t asked, struct pgwriter *out)
{
	char sql[1500] = "SELECT ";
	size_t n = strlen(sql);
	const char *comma = "";

	for (size_t i = 0; i < QUESTIONS; i++)
	{
		if ((asked & questions[i].state) == 0)
			continue;
		n += (size_t) snprintf(sql + n, sizeof(sql) - n, "%s%s", comma, questions[i].sql);
		comma = ", ";
	}
	pgw_query(out, sql);
}

/* What was sent since the server was last at rest has been answered. */
static void
settle(struct sticky *ss, struct server *server)
{
	uint8_t vanished = without(ss->fresh & UNASKABLE, ss->pins);

	if (ss->bad && ss->fresh != 0)
	{
		ss->ask |= ss->fresh;
		ss->fresh = without(ss->fresh, vanished);
		if (vanished != 0)
			server->state_doubt = true;
	}
	ss->pins |= ss->fresh;
	ss->fresh = 0;
	ss->bad = false;
	ss->ask &= without(ss->pins, UNASKABLE);
}

enum sticky_hold
sticky_hold(struct sticky *ss, struct server *server, struct pgwriter *probe)
{
	if (!sticky_pinned(ss))
	{
		release(ss);
		return STICKY_FREE;
	}
	settle(ss, server);
	if (ss->pins == 0)
	{
		release(ss);
		return STICKY_FREE;
	}
	if (ss->ask == 0 || ss->asked != 0)
		return STICKY_HELD;
	ss->asked = ss->ask;
	ss->ask = 0;
	write_probe(ss->asked, probe);
	return STICKY_PROBED;
}

void
sticky_probed(struct sticky *ss, const struct pgmsg *m)
{
	struct pgreader r;
	uint8_t there = 0;

	pgr_init(&r, m->body, m->body_len);
	pgr_u16(&r);
	for (size_t i = 0; i < QUESTIONS; i++)
	{
		if ((ss->asked & questions[i].state) == 0)
			continue;
		pgr_u32(&r);
		if (pgr_u8(&r) != 'f')
			there |= questions[i].state;
	}
	if (!r.bad)
		ss->pins = without(ss->pins, without(ss->asked, there));
}

void
sticky_probe_done(struct sticky *ss)
{
	ss->asked = 0;
}

/* ---- the end ---- */

void
sticky_leave(struct sticky *ss, struct server *server)
{
	struct sticky_work *w = ss->work;

	if (sticky_pinned(ss) || (w != NULL && (!list_empty(&w->watched) || !list_empty(&w->pending))))
		server->state_doubt = true;
	if (ss->limits != NULL)
		release(ss);
	sticky_work_fini(ss);
}

const char *
sticky_reasons(const struct sticky *ss, char *text, size_t cap)
{
	size_t n = 0;

	text[0] = '\0';
	for (int i = 0; i < SQLSCAN_STATES; i++)
	{
		enum sqlscan_state state = (enum sqlscan_state)(1 << i);

		if (((ss->pins | ss->fresh) & state) != 0 && n < cap)
			n += (size_t) snprintf(text + n, cap - n, "%s%s", n > 0 ? " " : "",
								   sqlscan_state_name(state));
	}
	return text;
}
