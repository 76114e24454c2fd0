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
#include "core/sticky.h"
#include "core/stmt_cache.h"
#include "core/undo.h"
#include "proto/pgwrite.h"
#include "proto/prepared.h"

#define TAG_USES REWRITE_TAG_USES
#define SCRATCH 1024
#define NAMES_MAX 32768       /* bytes that the names at the beginning of a message may take */
#define UNNAMED_MAX 65536     /* longest unnamed Parse whose text can be kept (W4) */
#define PROBE "PERFKIT_PROBE" /* name of a statement that lives for a moment */
#define DEALLOCATE_MAX REWRITE_DEALLOCATE_MAX

void
rewrite_init(struct rewrite *w)
{
	memset(w, 0, sizeof(*w));
	list_init(&w->ops);
}

void
rewrite_fini(struct rewrite *w)
{
	undo_clear(&w->ops);
	names_clear(&w->names);
	statement_drop(&w->unnamed);
}

enum tx_verdict
rewrite_feed(struct txstate *tx, uint8_t type, enum tx_action action, uint32_t tag)
{
	enum tx_verdict verdict = txstate_frontend(tx, type, action, tag);
	uint32_t cap = tx->cap * 2;
	struct tx_request *mem;

	if (verdict != TX_FULL)
		return verdict;
	mem = mem_alloc(cap * sizeof(*mem));
	free(txstate_grow(tx, mem, cap));
	return txstate_frontend(tx, type, action, tag);
}

/* ---- operations ---- */

static uint32_t
next_serial(struct rewrite *w)
{
	w->serial = (w->serial + 1) & (STICKY_TAG - 1);
	if (w->serial == 0)
		w->serial = 1;
	return w->serial;
}

static void
note(struct rewrite *w, enum undo_kind kind, struct statement *s, const char *name)
{
	undo_note(&w->ops, w->serial, kind, s, name);
}

void
rewrite_settle(struct rewrite *w, uint32_t serial)
{
	if (w->unnamed_tag == serial)
		w->unnamed_tag = 0;
	undo_answered(&w->ops, serial);
}

/* ---- what is put in front ---- */

static void
put(struct outgoing *out, const struct pgwriter *writer)
{
	outgoing_put(out, writer->mem, writer->len);
}

/* A Close of ours. */
static void
send_close(struct server *s, const char *name, uint32_t tag, struct outgoing *out)
{
	uint8_t mem[PREPARED_NAME_MAX + 16];
	struct pgwriter writer;

	pgw_init(&writer, mem, sizeof(mem));
	prepared_close(name, &writer);
	put(out, &writer);
	rewrite_feed(&s->tx, 'C', TX_SWALLOW, tag);
}

/* Tells the server to forget its longest unused statement when it knows too many. */
static void
make_room(struct rewrite *w, struct server *s, struct outgoing *out)
{
	struct statement *old = stmt_cache_superfluous(&s->statements, w->max);

	if (old == NULL)
		return;
	next_serial(w);
	note(w, UNDO_EVICTED, old, "");
	send_close(s, old->name, w->serial, out);
	stmt_cache_remove(&s->statements, old);
}

/* A Parse of a shared statement, under any name. */
static void
send_parse(const struct statement *st, const char *name, struct outgoing *out)
{
	uint8_t mem[PREPARED_NAME_MAX + 16];
	struct pgwriter writer;
	uint32_t name_len = (uint32_t) strlen(name) + 1;

	pgw_init(&writer, mem, sizeof(mem));
	pgw_u8(&writer, 'P');
	pgw_u32(&writer, (uint32_t) (4 + name_len + st->len));
	pgw_cstr(&writer, name);
	put(out, &writer);
	outgoing_pass(out, st->text, st->len);
}

/* W7: the server was told, but a Sync was sent since, and what it rests on may have failed by then.
 */
static bool
in_doubt(const struct rewrite *w, const struct server *s, const struct statement *st)
{
	const struct undo *note = undo_find(&w->ops, UNDO_CACHED, st, "");

	return note != NULL && txstate_synced_since(&s->tx, note->serial);
}

/* Has the server prepare what it does not know, or may not know. */
static void
tell(struct rewrite *w, struct server *s, struct statement *st, enum tx_action action,
	 struct outgoing *out)
{
	if (s->statements.uncertain || in_doubt(w, s, st) ||
		(undo_find(&w->ops, UNDO_EVICTED, st, "") != NULL &&
		 txstate_before_sync(&s->tx) < s->tx.count))
		send_close(s, st->name, 0, out);
	make_room(w, s, out);
	stmt_cache_add(&s->statements, st);
	next_serial(w);
	note(w, UNDO_CACHED, st, "");
	rewrite_feed(&s->tx, 'P', action, w->serial);
	send_parse(st, st->name, out);
	w->stats->server_parse_count++;
}

/* The server knows the statement when what follows arrives. */
static void
ensure(struct rewrite *w, struct server *s, struct statement *st, struct outgoing *out)
{
	if (!stmt_cache_touch(&s->statements, st) || in_doubt(w, s, st))
		tell(w, s, st, TX_SWALLOW, out);
}

/* W6: all are about to be deallocated, if nothing comes in between. */
static void
forget_soon(struct server *s)
{
	stmt_cache_clear(&s->statements);
	s->statements.uncertain = true;
}

/* Cheap, for every query passes here. */
static bool
maybe_deallocate(const uint8_t *sql, size_t len)
{
	return len > 0 && len <= DEALLOCATE_MAX && strchr("dD \t\n", sql[0]) != NULL;
}

/* ---- the unnamed statement (W4) ---- */

/*
 * The server has this client's unnamed statement from now on. Unless the Parse is skipped: then it
 * still has somebody else's, which the next batch, fed already, must not get.
 */
static enum rewrite_result
unnamed_parse(struct rewrite *w, struct server *s, const struct pgmsg *m, const struct prepared *p,
			  struct outgoing *out)
{
	bool skippable = txstate_may_skip(&s->tx);

	statement_drop(&w->unnamed);
	w->fresh = m->whole ? p->after : NULL;
	w->fresh_len = p->after_there;
	w->fresh_used = false;
	w->unnamed_tag = 0;
	s->unnamed_of = w->id;
	if (!skippable)
		return REWRITE_PASS;
	w->unnamed_tag = next_serial(w);
	rewrite_feed(&s->tx, 'P', TX_FORWARD, w->serial);
	outgoing_pass(out, m->body - PGMSG_HEADER, PGMSG_HEADER);
	w->stats->server_parse_count++;
	return REWRITE_DONE;
}

/*
 * W6, by the extended protocol: an unnamed Parse of DEALLOCATE. The name is gone when the Parse is
 * answered.
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

	if (!maybe_deallocate(p->after, p->after_there) || memchr(p->after, 0, p->after_there) == NULL)
		return false;
	if (prepared_discards_all((const char *) p->after))
		forget_soon(s);
	if (!prepared_deallocate_name((const char *) p->after, name, sizeof(name)) ||
		(st = names_find(&w->names, name)) == NULL)
		return false;
	statement_drop(&w->unnamed);
	ensure(w, s, st, out);
	w->unnamed_tag = next_serial(w);
	note(w, UNDO_UNNAMED, st, name);
	note(w, UNDO_EVICTED, st, "");
	snprintf(sql, sizeof(sql), "DEALLOCATE \"%s\"", st->name);
	/* Whether and when it is executed is the client's affair. */
	stmt_cache_remove(&s->statements, st);
	s->statements.uncertain = true;
	names_remove(&w->names, name);
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
	bool in_doubt = w->unnamed_tag != 0 && txstate_synced_since(&s->tx, w->unnamed_tag);

	w->fresh_used = w->fresh_used || type == 'B';
	if (s->unnamed_of == w->id && !in_doubt)
		return;
	if (w->fresh != NULL)
		w->unnamed = statement_get(w->fresh, w->fresh_len);
	w->fresh = NULL;
	w->unnamed_tag = 0;
	s->unnamed_of = w->unnamed != NULL ? w->id : 0;
	if (w->unnamed == NULL)
	{
		send_close(s, "", 0, out);
		return;
	}
	rewrite_feed(&s->tx, 'P', TX_SWALLOW, next_serial(w));
	note(w, UNDO_SENT, w->unnamed, "");
	send_parse(w->unnamed, "", out);
}

/* It is gone. */
static void
unnamed_close(struct rewrite *w, struct server *s)
{
	statement_drop(&w->unnamed);
	w->fresh = NULL;
	s->unnamed_of = 0;
}

void
rewrite_chunk_ends(struct rewrite *w)
{
	if (w->fresh != NULL && (!w->fresh_used || w->unnamed_tag != 0))
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
		note(w, UNDO_DUPLICATE, taken, p->name);
		pgw_init(&writer, mem, sizeof(mem));
		prepared_head(m, p, taken->name, &writer);
		put(out, &writer);
		rewrite_feed(&s->tx, 'P', TX_FORWARD, w->serial);
		return REWRITE_DONE;
	}
	st = statement_get(p->after, p->after_there);
	if (!stmt_cache_touch(&s->statements, st) || in_doubt(w, s, st))
		tell(w, s, st, TX_FORWARD, out);
	else if (s->tx.status == 'E' || txstate_status_unknown(&s->tx))
	{
		/* In a failed transaction only PostgreSQL knows which ones may be prepared. */
		rewrite_feed(&s->tx, 'P', TX_FORWARD, next_serial(w));
		send_parse(st, PROBE, out);
		send_close(s, PROBE, 0, out);
	}
	else
		rewrite_feed(&s->tx, 'P', TX_FAKE, next_serial(w));
	names_add(&w->names, p->name, st);
	note(w, UNDO_NAMED, st, p->name);
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

	rewrite_feed(&s->tx, 'C', TX_FAKE, next_serial(w));
	if (st != NULL)
	{
		note(w, UNDO_UNNAMED, st, p->name);
		names_remove(&w->names, p->name);
	}
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
	bool known;

	unnamed_close(w, s);
	if (m->body_len > DEALLOCATE_MAX || !maybe_deallocate(m->body, 1))
		return REWRITE_PASS;
	if (!m->whole)
		return REWRITE_MORE;
	if (m->body[m->body_len - 1] != '\0')
		return REWRITE_PASS;
	if (prepared_discards_all((const char *) m->body))
		forget_soon(s);
	if (!prepared_deallocate_name((const char *) m->body, name, sizeof(name)) ||
		(st = names_find(&w->names, name)) == NULL)
		return REWRITE_PASS;
	next_serial(w);
	note(w, UNDO_DEALLOCATE, st, name);
	/* A server that does not know it, or may not, makes another in passing, so that the answer is
	 * PostgreSQL's own in any case. */
	known = stmt_cache_touch(&s->statements, st);
	if (known)
		snprintf(sql, sizeof(sql), "DEALLOCATE \"%s\"", st->name);
	else
		str_copy(sql, sizeof(sql), "PREPARE \"" PROBE "\" AS SELECT;DEALLOCATE \"" PROBE "\"");
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

	if (s->tx.skipping)
		return REWRITE_PASS; /* W3 */
	if (m->type == 'Q' && m->body_len > 0)
		return there == 0 ? REWRITE_MORE : simple_query(w, s, m, out);
	if (m->type == 'Q')
		return REWRITE_PASS;
	if ((m->type == 'D' || m->type == 'C') && there > 0 && m->body[0] != 'S')
		return REWRITE_PASS; /* a portal */
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
	if (p.name[0] == '\0')
	{
		if (m->type == 'P' && !m->whole && m->total <= UNNAMED_MAX)
			return REWRITE_MORE;
		if (m->type == 'P' && m->whole && unnamed_deallocate(w, s, &p, out))
			return REWRITE_HIDDEN;
		if (m->type == 'P')
		{
			*taken = 0;
			return unnamed_parse(w, s, m, &p, out);
		}
		if (m->type == 'C')
			unnamed_close(w, s);
		else
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

/* The newest operation that the error takes back: the last one in front of the next Sync.
 * Operations stand in the order of their requests, the oldest of which are not answered yet. */
static struct undo *
newest_dropped(struct rewrite *w, struct server *s)
{
	const struct list *n = w->ops.next;
	uint32_t n_dropped = txstate_before_sync(&s->tx);
	struct undo *newest = NULL;

	for (uint32_t i = 0; i < n_dropped; i++)
	{
		uint32_t tag = txstate_request(&s->tx, i)->tag;

		if (tag == 0 || (tag & TAG_USES) != 0)
			continue;
		if (tag == w->unnamed_tag)
		{
			unnamed_close(w, s);
			w->unnamed_tag = 0;
		}
		for (; n != &w->ops && list_entry(n, struct undo, node)->serial == tag; n = n->next)
			newest = list_entry(n, struct undo, node);
	}
	return newest;
}

bool
rewrite_error(struct rewrite *w, struct server *s, const struct pgmsg *m, struct pgwriter *renamed)
{
	const struct tx_request *oldest = txstate_request(&s->tx, 0);
	struct undo *first = undo_oldest(&w->ops);
	struct pgerror e;
	bool rename = false;

	if (oldest == NULL || strchr("QFS", oldest->kind) != NULL)
		return false; /* X3: nothing is dropped */
	if (m->whole && pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK)
		retire(s, &e);
	if (m->whole && first != NULL && first->kind == UNDO_DUPLICATE && first->serial == oldest->tag)
	{
		prepared_rename_in_error(m, first->statement->name, first->name, renamed);
		rename = !renamed->overflow;
	}
	undo_back_from(&w->ops, newest_dropped(w, s), &w->names, &s->statements);
	if (txstate_before_sync(&s->tx) + 1 < s->tx.count)
		forget_soon(s); /* W7 */
	return rename;
}

static bool
tag_is(const struct pgmsg *m, const char *tag)
{
	size_t n = strlen(tag) + 1;

	return m->body_len == n && memcmp(m->body, tag, n) == 0;
}

/* W6: all are gone, but for what was prepared behind that. */
static void
all_deallocated(struct rewrite *w, struct server *s)
{
	stmt_cache_clear(&s->statements);
	names_clear(&w->names);
	undo_redo(&w->ops, &w->names, &s->statements);
}

bool
rewrite_command_tag(struct rewrite *w, struct server *s, const struct pgmsg *m, uint32_t tag)
{
	struct undo *op = undo_oldest(&w->ops);

	if (!m->whole || m->body_len == 0 || (m->body[0] != 'D' && m->body[0] != 'P'))
		return false;
	if (tag_is(m, "DISCARD ALL") || tag_is(m, "DEALLOCATE ALL"))
		all_deallocated(w, s);
	if (op == NULL || op->kind != UNDO_DEALLOCATE || op->serial != tag)
		return false;
	if (tag_is(m, "DEALLOCATE"))
	{
		names_remove(&w->names, op->name);
		stmt_cache_remove(&s->statements, op->statement);
	}
	return tag_is(m, "PREPARE");
}

void
rewrite_abandon(struct rewrite *w, struct server *s)
{
	/* What is outstanding may be a DEALLOCATE ALL, too; one that was not looked for may be over. */
	s->statements_lost = s->statements_lost || !list_empty(&w->ops) ||
						 (w->on ? !txstate_quiet(&s->tx) : stmt_cache_count(&s->statements) > 0);
	if (!w->on)
		s->unnamed_of = 0;
	undo_clear(&w->ops);
}
