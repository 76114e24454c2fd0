/*
 * rewrite.c - see rewrite.h.
 */
#include "core/rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/outgoing.h"
#include "core/server.h"
#include "core/statement.h"
#include "core/stats.h"
#include "core/stmt_cache.h"
#include "proto/pgwrite.h"
#include "proto/prepared.h"

/* Tags: an operation's serial, or a statement in use (so that an error can tell which one it was).
 */
#define TAG_USES 0x80000000u
#define SCRATCH 1024
#define NAMES_MAX 32768    /* bytes that the names at the beginning of a message may take */
#define UNNAMED_MAX 65536  /* longest unnamed Parse whose text can be kept (W4) */
#define DEALLOCATE_MAX 256 /* bytes of a simple query that may be a DEALLOCATE of a name */

enum op_kind
{
	OP_NAMED,     /* a name was given; undo: forget it */
	OP_UNNAMED,   /* a name was taken away; undo: give it back */
	OP_CACHED,    /* the server was told a statement; undo: it does not know it */
	OP_EVICTED,   /* the server was told to forget one; undo: it still knows it */
	OP_DUPLICATE, /* W2: nothing to undo, but an error to put right */
	OP_DEALLOCATE /* W6: both, when the command tag comes */
};

struct op
{
	struct list node;
	uint32_t serial;
	enum op_kind kind;
	struct statement *statement;
	char name[]; /* the client's */
};

void
rewrite_init(struct rewrite *w)
{
	memset(w, 0, sizeof(*w));
	list_init(&w->ops);
}

static void
free_op(struct op *op)
{
	list_remove(&op->node);
	statement_drop(&op->statement);
	free(op);
}

void
rewrite_fini(struct rewrite *w)
{
	struct list *n;

	while ((n = list_first(&w->ops)) != NULL)
		free_op(list_entry(n, struct op, node));
	names_clear(&w->names);
	statement_drop(&w->unnamed);
	statement_drop(&w->deallocating);
}

enum tx_verdict
rewrite_feed(struct txstate *tx, uint8_t type, enum tx_action action, uint32_t tag)
{
	if (txstate_full(tx))
	{
		uint32_t cap = tx->cap * 2;
		struct tx_request *mem = mem_alloc(cap * sizeof(*mem));

		free(txstate_grow(tx, mem, cap));
	}
	return txstate_frontend(tx, type, action, tag);
}

/* ---- operations ---- */

static uint32_t
next_serial(struct rewrite *w)
{
	w->serial = (w->serial + 1) & ~TAG_USES;
	if (w->serial == 0)
		w->serial = 1;
	return w->serial;
}

static void
note(struct rewrite *w, enum op_kind kind, struct statement *s, const char *name)
{
	size_t len = strlen(name);
	struct op *op = mem_zalloc(sizeof(*op) + len + 1);

	op->serial = w->serial;
	op->kind = kind;
	op->statement = statement_use(s);
	memcpy(op->name, name, len + 1);
	list_append(&w->ops, &op->node);
}

static void
undo(struct rewrite *w, struct server *s, struct op *op)
{
	switch (op->kind)
	{
		case OP_NAMED:
			names_remove(&w->names, op->name);
			break;
		case OP_UNNAMED:
			names_add(&w->names, op->name, op->statement);
			break;
		case OP_CACHED:
			stmt_cache_remove(&s->statements, op->statement);
			break;
		case OP_EVICTED:
			stmt_cache_add(&s->statements, op->statement);
			break;
		case OP_DUPLICATE:
		case OP_DEALLOCATE:
			break;
	}
	free_op(op);
}

void
rewrite_answered(struct rewrite *w, uint32_t tag)
{
	struct list *n;

	if (tag == 0 || (tag & TAG_USES) != 0)
		return;
	while ((n = list_first(&w->ops)) != NULL && list_entry(n, struct op, node)->serial == tag)
		free_op(list_entry(n, struct op, node));
}

/* ---- what is put in front ---- */

static void
put(struct outgoing *out, const struct pgwriter *writer)
{
	outgoing_put(out, writer->mem, writer->len);
}

/* Tells the server to forget its longest unused statement when it knows too many. */
static void
make_room(struct rewrite *w, struct server *s, struct outgoing *out)
{
	struct statement *old = stmt_cache_superfluous(&s->statements, w->max);
	uint8_t mem[PREPARED_NAME_MAX + 16];
	struct pgwriter writer;

	if (old == NULL)
		return;
	pgw_init(&writer, mem, sizeof(mem));
	prepared_close(old->name, &writer);
	put(out, &writer);
	next_serial(w);
	note(w, OP_EVICTED, old, "");
	rewrite_feed(&s->tx, 'C', TX_SWALLOW, w->serial);
	stmt_cache_remove(&s->statements, old);
}

/* A Parse of a shared statement, under any name. */
static void
send_parse(struct server *s, const struct statement *st, const char *name, struct outgoing *out)
{
	uint8_t mem[PREPARED_NAME_MAX + 16];
	struct pgwriter writer;
	uint32_t name_len = (uint32_t) strlen(name) + 1;

	(void) s;
	pgw_init(&writer, mem, sizeof(mem));
	pgw_u8(&writer, 'P');
	pgw_u32(&writer, (uint32_t) (4 + name_len + st->len));
	pgw_cstr(&writer, name);
	put(out, &writer);
	outgoing_pass(out, st->text, st->len);
}

/* The server knows the statement when what follows arrives. */
static void
ensure(struct rewrite *w, struct server *s, struct statement *st, struct outgoing *out)
{
	if (stmt_cache_touch(&s->statements, st))
		return;
	make_room(w, s, out);
	stmt_cache_add(&s->statements, st);
	next_serial(w);
	note(w, OP_CACHED, st, "");
	rewrite_feed(&s->tx, 'P', TX_SWALLOW, w->serial);
	send_parse(s, st, st->name, out);
	w->stats->server_parse_count++;
}

/* ---- the unnamed statement (W4) ---- */

static void
unnamed_parse(struct rewrite *w, struct server *s, const struct pgmsg *m, const struct prepared *p)
{
	statement_drop(&w->unnamed);
	w->fresh = m->whole ? p->after : NULL;
	w->fresh_len = p->after_there;
	s->unnamed_of = w->id;
}

/*
 * W6, by the extended protocol: an unnamed Parse of DEALLOCATE. The name is gone when the Parse is
 * answered, the server's statement when the command is.
 */
static bool
unnamed_deallocate(struct rewrite *w, struct server *s, const struct prepared *p,
				   struct outgoing *out)
{
	char name[DEALLOCATE_MAX];
	char sql[PREPARED_NAME_MAX + 32];
	uint8_t mem[sizeof(sql) + 16];
	struct pgwriter writer;
	struct statement *st;

	if (w->names.by_name == NULL || p->after_there == 0 || p->after_there > DEALLOCATE_MAX ||
		strchr("dD \t\n", p->after[0]) == NULL || memchr(p->after, 0, p->after_there) == NULL ||
		!prepared_deallocate_name((const char *) p->after, name, sizeof(name)) ||
		(st = names_find(&w->names, name)) == NULL)
		return false;
	ensure(w, s, st, out);
	next_serial(w);
	note(w, OP_UNNAMED, st, name);
	statement_drop(&w->deallocating);
	w->deallocating = statement_use(st);
	names_remove(&w->names, name);
	snprintf(sql, sizeof(sql), "DEALLOCATE \"%s\"", st->name);
	pgw_init(&writer, mem, sizeof(mem));
	pgw_begin(&writer, 'P');
	pgw_cstr(&writer, "");
	pgw_cstr(&writer, sql);
	pgw_u16(&writer, 0);
	pgw_end(&writer);
	put(out, &writer);
	rewrite_feed(&s->tx, 'P', TX_FORWARD, w->serial);
	s->unnamed_of = w->id;
	w->fresh = NULL;
	return true;
}

/* Bind or Describe of it: it must be this client's that the server has. */
static void
unnamed_use(struct rewrite *w, struct server *s, uint8_t type, struct outgoing *out)
{
	uint8_t mem[32];
	struct pgwriter writer;

	if (type == 'B')
		w->fresh = NULL;
	if (s->unnamed_of == w->id)
		return;
	s->unnamed_of = w->unnamed != NULL ? w->id : 0;
	if (w->unnamed != NULL)
	{
		rewrite_feed(&s->tx, 'P', TX_SWALLOW, 0);
		send_parse(s, w->unnamed, "", out);
		return;
	}
	pgw_init(&writer, mem, sizeof(mem));
	prepared_close("", &writer);
	put(out, &writer);
	rewrite_feed(&s->tx, 'C', TX_SWALLOW, 0);
}

void
rewrite_chunk_ends(struct rewrite *w)
{
	if (w->fresh != NULL)
		w->unnamed = statement_get(w->fresh, w->fresh_len);
	w->fresh = NULL;
}

/* ---- messages ---- */

static enum rewrite_result
parse(struct rewrite *w, struct server *s, const struct pgmsg *m, const struct prepared *p,
	  struct outgoing *out)
{
	struct statement *taken = names_find(&w->names, p->name);
	struct statement *st;
	uint8_t mem[SCRATCH];
	struct pgwriter writer;

	if (taken != NULL)
	{
		ensure(w, s, taken, out); /* W2 */
		next_serial(w);
		note(w, OP_DUPLICATE, taken, p->name);
		pgw_init(&writer, mem, sizeof(mem));
		prepared_head(m, p, taken->name, &writer);
		put(out, &writer);
		rewrite_feed(&s->tx, 'P', TX_FORWARD, w->serial);
		return REWRITE_DONE;
	}
	st = statement_get(p->after, p->after_there);
	if (stmt_cache_touch(&s->statements, st))
	{
		next_serial(w);
		rewrite_feed(&s->tx, 'P', TX_FAKE, w->serial);
	}
	else
	{
		make_room(w, s, out);
		stmt_cache_add(&s->statements, st);
		next_serial(w);
		note(w, OP_CACHED, st, "");
		rewrite_feed(&s->tx, 'P', TX_FORWARD, w->serial);
		send_parse(s, st, st->name, out);
		w->stats->server_parse_count++;
	}
	names_add(&w->names, p->name, st);
	note(w, OP_NAMED, st, p->name);
	statement_drop(&st);
	return REWRITE_HIDDEN;
}

static enum rewrite_result
bind_or_describe(struct rewrite *w, struct server *s, const struct pgmsg *m,
				 const struct prepared *p, struct outgoing *out)
{
	struct statement *st = names_find(&w->names, p->name);
	uint8_t mem[SCRATCH];
	struct pgwriter writer;

	if (st == NULL || p->before_len > SCRATCH - 2 * PREPARED_NAME_MAX)
		return REWRITE_PASS; /* W1 */
	ensure(w, s, st, out);
	pgw_init(&writer, mem, sizeof(mem));
	prepared_head(m, p, st->name, &writer);
	put(out, &writer);
	rewrite_feed(&s->tx, m->type, TX_FORWARD, TAG_USES | st->id);
	return REWRITE_DONE;
}

static enum rewrite_result
close_statement(struct rewrite *w, struct server *s, const struct prepared *p)
{
	struct statement *st = names_find(&w->names, p->name);

	next_serial(w);
	if (st != NULL)
	{
		note(w, OP_UNNAMED, st, p->name);
		names_remove(&w->names, p->name);
	}
	rewrite_feed(&s->tx, 'C', TX_FAKE, w->serial);
	return REWRITE_HIDDEN;
}

/* A simple query ends the unnamed statement; it may be a DEALLOCATE of a name (W6). */
static enum rewrite_result
simple_query(struct rewrite *w, struct server *s, const struct pgmsg *m, struct outgoing *out)
{
	char name[DEALLOCATE_MAX];
	char sql[2 * PREPARED_NAME_MAX + 64];
	uint8_t mem[sizeof(sql) + 16];
	struct pgwriter writer;
	struct statement *st;

	statement_drop(&w->unnamed);
	w->fresh = NULL;
	s->unnamed_of = 0;
	if (w->names.by_name == NULL || m->body_len > DEALLOCATE_MAX ||
		strchr("dD \t\n", m->body[0]) == NULL)
		return REWRITE_PASS;
	if (!m->whole)
		return REWRITE_MORE;
	if (m->body[m->body_len - 1] != '\0' ||
		!prepared_deallocate_name((const char *) m->body, name, sizeof(name)) ||
		(st = names_find(&w->names, name)) == NULL)
		return REWRITE_PASS;
	next_serial(w);
	note(w, OP_DEALLOCATE, st, name);
	/* A server that does not know it makes one in passing, so that the answer is PostgreSQL's own
	 * in any case. */
	snprintf(sql, sizeof(sql), "%s%s%sDEALLOCATE \"%s\"",
			 stmt_cache_touch(&s->statements, st) ? "" : "PREPARE \"",
			 stmt_cache_touch(&s->statements, st) ? "" : st->name,
			 stmt_cache_touch(&s->statements, st) ? "" : "\" AS SELECT;", st->name);
	pgw_init(&writer, mem, sizeof(mem));
	pgw_query(&writer, sql);
	put(out, &writer);
	rewrite_feed(&s->tx, 'Q', TX_FORWARD, w->serial);
	return REWRITE_HIDDEN;
}

enum rewrite_result
rewrite_message(struct rewrite *w, struct server *s, const struct pgmsg *m, size_t there,
				struct outgoing *out, size_t *taken)
{
	enum rewrite_result result;
	struct prepared p;

	if (s->tx.skipping && m->type != 'Q')
		return REWRITE_PASS; /* W3 */
	if (m->type == 'Q')
		return m->body_len == 0 || there == 0 ? REWRITE_PASS : simple_query(w, s, m, out);
	switch (prepared_split(m, there, &p))
	{
		case PGMSG_NEED_MORE:
			return there < NAMES_MAX ? REWRITE_MORE : REWRITE_BAD;
		case PGMSG_BAD:
			return REWRITE_PASS; /* PostgreSQL finds the words for it */
		case PGMSG_OK:
			break;
	}
	*taken = (size_t) (p.after - m->body);
	if (m->type != 'B' && m->type != 'P' && p.before[0] != 'S')
		return REWRITE_PASS;
	if (p.name[0] == '\0')
	{
		if (m->type == 'P' && !m->whole && m->total <= UNNAMED_MAX)
			return REWRITE_MORE;
		if (m->type == 'P' && m->whole && unnamed_deallocate(w, s, &p, out))
			return REWRITE_HIDDEN;
		if (m->type == 'P')
			unnamed_parse(w, s, m, &p);
		else if (m->type != 'C')
			unnamed_use(w, s, m->type, out);
		return REWRITE_PASS;
	}
	if ((m->type == 'P' || m->type == 'C') && !m->whole)
		return REWRITE_MORE;
	if (m->type == 'P')
		result = parse(w, s, m, &p, out);
	else if (m->type == 'C')
		result = close_statement(w, s, &p);
	else
		result = bind_or_describe(w, s, m, &p, out);
	return result;
}

/* ---- answers ---- */

/* W5: which statement's result type has changed. */
static void
retire(struct server *s, const struct pgerror *e)
{
	const struct tx_request *oldest = txstate_request(&s->tx, 0);
	struct statement *st;

	if (oldest == NULL || (oldest->tag & TAG_USES) == 0 || strcmp(e->sqlstate, "0A000") != 0 ||
		strcmp(e->routine, "RevalidateCachedQuery") != 0)
		return;
	st = stmt_cache_find(&s->statements, oldest->tag & ~TAG_USES);
	if (st != NULL)
		statement_retire(st);
}

/* The newest operation that the error takes back: the last one in front of the next Sync. */
static struct op *
newest_dropped(struct rewrite *w, const struct txstate *tx)
{
	struct op *newest = NULL;
	uint32_t last = 0;

	for (uint32_t i = 0; i < tx->count && txstate_request(tx, i)->kind != 'S'; i++)
	{
		uint32_t tag = txstate_request(tx, i)->tag;

		if (tag != 0 && (tag & TAG_USES) == 0)
			last = tag;
	}
	if (last == 0)
		return NULL;
	list_foreach(n, next, &w->ops)
	{
		struct op *op = list_entry(n, struct op, node);

		if (op->serial == last)
			newest = op;
	}
	return newest;
}

bool
rewrite_error(struct rewrite *w, struct server *s, const struct pgmsg *m, struct pgwriter *renamed)
{
	const struct tx_request *oldest = txstate_request(&s->tx, 0);
	struct op *first = list_empty(&w->ops) ? NULL : list_entry(w->ops.next, struct op, node);
	struct op *op;
	struct pgerror e;
	bool rename = false;

	if (oldest == NULL || strchr("QFS", oldest->kind) != NULL)
		return false; /* X3: nothing is dropped */
	if (m->whole && pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK)
		retire(s, &e);
	if (m->whole && first != NULL && first->kind == OP_DUPLICATE && first->serial == oldest->tag)
	{
		prepared_rename_in_error(m, first->statement->name, first->name, renamed);
		rename = !renamed->overflow;
	}
	op = newest_dropped(w, &s->tx);
	while (op != NULL)
	{
		struct op *before =
			op->node.prev == &w->ops ? NULL : list_entry(op->node.prev, struct op, node);

		undo(w, s, op);
		op = before;
	}
	return rename;
}

static bool
tag_is(const struct pgmsg *m, const char *tag)
{
	size_t n = strlen(tag) + 1;

	return m->body_len == n && memcmp(m->body, tag, n) == 0;
}

void
rewrite_command_tag(struct rewrite *w, struct server *s, const struct pgmsg *m, uint32_t tag)
{
	if (!m->whole || m->body_len == 0 || m->body[0] != 'D')
		return;
	if (tag_is(m, "DISCARD ALL") || tag_is(m, "DEALLOCATE ALL"))
	{
		stmt_cache_clear(&s->statements);
		names_clear(&w->names);
		statement_drop(&w->unnamed);
		s->unnamed_of = 0;
		return;
	}
	if (tag_is(m, "DEALLOCATE") && w->deallocating != NULL)
	{
		stmt_cache_remove(&s->statements, w->deallocating);
		statement_drop(&w->deallocating);
		return;
	}
	if (!tag_is(m, "DEALLOCATE") || tag == 0 || (tag & TAG_USES) != 0)
		return;
	list_foreach(n, next, &w->ops)
	{
		struct op *op = list_entry(n, struct op, node);

		if (op->serial != tag || op->kind != OP_DEALLOCATE)
			continue;
		names_remove(&w->names, op->name);
		stmt_cache_remove(&s->statements, op->statement);
	}
}

void
rewrite_abandon(struct rewrite *w, struct server *s)
{
	struct list *n;

	s->statements_lost = s->statements_lost || !list_empty(&w->ops);
	while ((n = list_first(&w->ops)) != NULL)
		free_op(list_entry(n, struct op, node));
}
