/*
 * sticky_work.c - see sticky_work.h.
 */
#include "core/sticky_work.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/params.h"
#include "core/server.h"
#include "core/sticky.h"
#include "core/statement.h"
#include "proto/pgmsg.h"
#include "proto/sqlskim.h"

#define NUMBER_MAX 0x3ffffff0u               /* so that no tag is a reserved one */
#define WORK_MAX (4 * (size_t) SETTINGS_MAX) /* bytes that may wait for their COMMIT */

/* ---- what a text holds ---- */

/* Followed by core/params: the server reports it. */
static bool
is_reported(const struct server *server, const char *name)
{
	int i = params_find(name);

	return i >= 0 && server->params.value[i] != NULL;
}

static void
add_op(struct sticky_seen *seen, const struct sqlscan_found *f)
{
	const char *name = f->name != NULL ? f->name : "";
	const char *value = f->value != NULL ? f->value : "";
	size_t name_len = strlen(name) + 1;
	size_t value_len = strlen(value) + 1;
	struct sticky_op *op;

	if (seen->bytes > WORK_MAX)
		return;
	op = mem_alloc(sizeof(*op) + name_len + value_len);
	op->kind = f->kind;
	op->statement = f->statement;
	op->call = f->call;
	memcpy(op->name, name, name_len);
	memcpy(op->name + name_len, value, value_len);
	op->value = op->name + name_len;
	list_append(&seen->ops, &op->node);
	seen->bytes += name_len + value_len + sizeof(*op);
}

static void
found(void *arg, const struct sqlscan_found *f)
{
	struct sticky_seen *seen = arg;

	switch (f->kind)
	{
		case SQLSCAN_KEEP:
			seen->keep |= f->kinds;
			if (f->maybe)
				seen->maybe |= f->kinds;
			return;
		case SQLSCAN_END:
			seen->end |= f->kinds;
			return;
		case SQLSCAN_SET:
		case SQLSCAN_RESET:
			if (is_reported(seen->server, f->name))
			{
				seen->reported = true;
				return;
			}
			seen->settings = true;
			break;
		case SQLSCAN_DISCARD_ALL:
			seen->end = UINT8_MAX;
			seen->settings = true;
			break;
		case SQLSCAN_RESET_ALL:
			seen->settings = true;
			break;
		default:
			break;
	}
	add_op(seen, f);
}

void
sticky_seen_scan(struct sticky_seen *seen, const char *sql, size_t n, const struct server *server)
{
	const char *standard = server->params.value[PARAM_STANDARD_CONFORMING_STRINGS];

	memset(seen, 0, sizeof(*seen));
	list_init(&seen->ops);
	seen->server = server;
	if (sqlskim_is_clean(sql, n))
		return;
	sqlscan(sql, n, standard == NULL || strcmp(standard, "off") != 0, found, seen);
}

static void
clear(struct list *ops)
{
	struct list *n;

	while ((n = list_first(ops)) != NULL)
	{
		list_remove(n);
		free(list_entry(n, struct sticky_op, node));
	}
}

void
sticky_seen_clear(struct sticky_seen *seen)
{
	clear(&seen->ops);
}

bool
sticky_seen_matters(const struct sticky_seen *seen)
{
	return (seen->keep | seen->end) != 0 || !list_empty(&seen->ops);
}

/* ---- life ---- */

struct sticky_work *
sticky_work(struct sticky *ss)
{
	if (ss->work == NULL)
	{
		ss->work = mem_zalloc(sizeof(*ss->work));
		list_init(&ss->work->watched);
		list_init(&ss->work->pending);
	}
	return ss->work;
}

void
sticky_work_tidy(struct sticky *ss)
{
	struct sticky_work *w = ss->work;

	if (w == NULL || w->named || w->unnamed != NULL || w->bound != NULL || w->failed ||
		!list_empty(&w->watched) || !list_empty(&w->pending))
		return;
	free(w);
	ss->work = NULL;
}

void
sticky_work_fini(struct sticky *ss)
{
	struct sticky_work *w = ss->work;

	if (w == NULL)
		return;
	clear(&w->watched);
	clear(&w->pending);
	statement_drop(&w->unnamed);
	statement_drop(&w->bound);
	free(w);
	ss->work = NULL;
}

uint32_t
sticky_work_watch(struct sticky *ss, struct server *server, struct sticky_seen *seen)
{
	struct sticky_work *w = ss->work;
	bool waits = w != NULL && (!list_empty(&w->watched) || !list_empty(&w->pending));
	struct list *n;

	/* A savepoint matters only when something stands in front of it that it may keep. */
	if (list_empty(&seen->ops) || (!seen->settings && !waits))
	{
		sticky_seen_clear(seen);
		return 0;
	}
	w = sticky_work(ss);
	if (w->bytes + seen->bytes > WORK_MAX)
	{
		sticky_seen_clear(seen);
		server->state_doubt = true;
		return 0;
	}
	w->bytes += seen->bytes;
	w->number = w->number < NUMBER_MAX ? w->number + 1 : 1;
	while ((n = list_first(&seen->ops)) != NULL)
	{
		list_remove(n);
		list_entry(n, struct sticky_op, node)->watch = w->number;
		list_append(&w->watched, n);
	}
	return STICKY_TAG | w->number;
}

/* ---- the transaction ---- */

static void
forget(struct sticky_work *w)
{
	clear(&w->pending);
	if (list_empty(&w->watched))
		w->bytes = 0;
}

static void
commit(struct sticky *ss, struct server *server)
{
	struct sticky_work *w = ss->work;
	struct list *n;

	if (list_empty(&w->pending))
		return;
	while ((n = list_first(&w->pending)) != NULL)
	{
		struct sticky_op *op = list_entry(n, struct sticky_op, node);

		list_remove(n);
		if (op->kind == SQLSCAN_SET)
		{
			struct setting one = {.name = op->name, .value = op->value, .call = op->call};

			if (!settings_set(&ss->settings, &one))
				server->state_doubt = true;
		}
		else if (op->kind == SQLSCAN_RESET)
			settings_remove(&ss->settings, op->name);
		else if (op->kind == SQLSCAN_RESET_ALL)
		{
			settings_reset_all(&ss->settings);
			if (list_empty(&w->watched))
				ss->pins &= (uint8_t) ~SQLSCAN_SETTING;
		}
		free(op);
	}
	forget(w);
	if (!settings_equal(&server->settings, &ss->settings))
		settings_copy(&server->settings, &ss->settings);
}

/* The newest marker of a savepoint that is pending, or NULL: the savepoint is older than all that
 * is. */
static struct list *
marker(struct sticky_work *w, const char *name)
{
	for (struct list *n = w->pending.prev; n != &w->pending; n = n->prev)
	{
		const struct sticky_op *op = list_entry(n, struct sticky_op, node);

		if (op->kind == SQLSCAN_SAVEPOINT && strcmp(op->name, name) == 0)
			return n;
	}
	return NULL;
}

static void
drop_behind(struct sticky_work *w, const struct list *mark)
{
	while (w->pending.prev != &w->pending && w->pending.prev != mark)
	{
		struct list *n = w->pending.prev;

		list_remove(n);
		free(list_entry(n, struct sticky_op, node));
	}
}

static void
discard_all(struct sticky *ss, struct server *server)
{
	struct sticky_work *w = ss->work;

	settings_fini(&ss->settings);
	settings_fini(&server->settings);
	/* Unless something behind it is on its way already. */
	if (server->tx.count <= 1)
		server->state_doubt = false;
	forget(w);
	if (list_empty(&w->watched))
		ss->pins &= (uint8_t) ~(SQLSCAN_SETTING | SQLSCAN_AUTHORIZATION);
}

/* ---- answers ---- */

static bool
tag_begins(const struct pgmsg *m, const char *with)
{
	size_t n = strlen(with);

	return m->body_len > n && memcmp(m->body, with, n) == 0;
}

static const char *
expected(const struct sticky_op *op)
{
	switch (op->kind)
	{
		case SQLSCAN_SET:
			return op->call ? "SELECT" : "SET";
		case SQLSCAN_RESET:
			return "SET";
		case SQLSCAN_RESET_ALL:
			return "RESET";
		case SQLSCAN_DISCARD_ALL:
			return "DISCARD ALL";
		case SQLSCAN_SAVEPOINT:
			return "SAVEPOINT";
		case SQLSCAN_RELEASE:
			return "RELEASE";
		default:
			return "ROLLBACK";
	}
}

static bool
is_expected(const struct sticky_op *op, const struct pgmsg *m)
{
	/* SET name TO DEFAULT is a RESET that calls itself SET. */
	return tag_begins(m, expected(op)) || (op->kind == SQLSCAN_RESET && tag_begins(m, "RESET"));
}

/* It was done. Takes the op. */
static void
done(struct sticky *ss, struct server *server, struct sticky_op *op)
{
	struct sticky_work *w = ss->work;
	struct list *mark;

	switch (op->kind)
	{
		case SQLSCAN_SAVEPOINT:
		case SQLSCAN_SET:
		case SQLSCAN_RESET:
		case SQLSCAN_RESET_ALL:
			list_append(&w->pending, &op->node);
			return;
		case SQLSCAN_RELEASE:
			mark = marker(w, op->name);
			if (mark != NULL)
			{
				list_remove(mark);
				free(list_entry(mark, struct sticky_op, node));
			}
			break;
		case SQLSCAN_ROLLBACK_TO:
			drop_behind(w, marker(w, op->name));
			w->failed = false;
			ss->bad = true;
			break;
		default:
			discard_all(ss, server);
			break;
	}
	free(op);
}

/*
 * Requests older than this one (0: all) have been answered or skipped. What was skipped is
 * forgotten; but a portal that was suspended looks the same, and that one has done its work (S3).
 */
static void
drop_older(struct sticky_work *w, struct server *server, uint32_t number)
{
	struct list *n;

	while ((n = list_first(&w->watched)) != NULL &&
		   (number == 0 || list_entry(n, struct sticky_op, node)->watch != number))
	{
		if (list_entry(n, struct sticky_op, node)->kind < SQLSCAN_SAVEPOINT)
			server->state_doubt = true;
		list_remove(n);
		free(list_entry(n, struct sticky_op, node));
	}
}

static bool
has_watch(const struct sticky_work *w, uint32_t number)
{
	list_foreach(n, next, &w->watched) if (list_entry(n, struct sticky_op, node)->watch ==
										   number) return true;
	return false;
}

/* True: it was a ROLLBACK TO. */
static bool
answer(struct sticky *ss, struct server *server, const struct pgmsg *m, uint32_t number)
{
	struct sticky_work *w = ss->work;
	bool back_to = false;
	struct list *n;

	if (w->answering != number)
		w->answers = 0;
	w->answering = number;
	w->answers++;
	if (!has_watch(w, number))
		return false;
	drop_older(w, server, number);
	while ((n = list_first(&w->watched)) != NULL)
	{
		struct sticky_op *op = list_entry(n, struct sticky_op, node);

		if (op->watch != number || op->statement > w->answers)
			break;
		list_remove(n);
		if (is_expected(op, m))
		{
			back_to = op->kind == SQLSCAN_ROLLBACK_TO;
			done(ss, server, op);
			continue;
		}
		free(op); /* S3 */
		server->state_doubt = true;
	}
	return back_to;
}

void
sticky_work_complete(struct sticky *ss, struct server *server, const struct pgmsg *m, uint32_t tag)
{
	struct sticky_work *w = ss->work;
	bool back_to = false;

	if (w == NULL)
	{
		ss->bad = ss->bad || tag_begins(m, "ROLLBACK");
		return;
	}
	if ((tag & ~(STICKY_TAG - 1)) == STICKY_TAG)
		back_to = answer(ss, server, m, tag & (STICKY_TAG - 1));
	if (tag_begins(m, "ROLLBACK") && !back_to && !tag_begins(m, "ROLLBACK PREPARED"))
	{
		forget(w);
		w->failed = false;
		ss->bad = true;
	}
	else if (tag_begins(m, "PREPARE TRANSACTION") ||
			 (tag_begins(m, "COMMIT") && !tag_begins(m, "COMMIT PREPARED")))
		commit(ss, server);
}

void
sticky_work_ready(struct sticky *ss, struct server *server)
{
	struct sticky_work *w = ss->work;

	if (w == NULL)
		return;
	w->answering = 0;
	if (txstate_quiet(&server->tx) && w->failed && server->tx.status == 'I')
		clear(&w->watched); /* whatever was done has been rolled back */
	else if (txstate_quiet(&server->tx))
		drop_older(w, server, 0);
	if (server->tx.status == 'I' && w->failed)
		forget(w);
	else if (server->tx.status == 'I')
		commit(ss, server);
	if (server->tx.status == 'I')
		w->failed = false;
	if (list_empty(&w->watched) && list_empty(&w->pending))
		w->bytes = 0;
	sticky_work_tidy(ss);
}
