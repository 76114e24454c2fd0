/*
 * welcome.c - see welcome.h.
 */
#include "core/welcome.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

/* Where clients may want another value: so that it is looked for once, not for each of them. */
static void
find_told(struct welcome *w)
{
	struct pgmsg m;
	size_t room = 0;

	for (size_t at = 0;
		 at < w->len && pgmsg_peek(w->messages + at, w->len - at, &m) == PGMSG_OK && m.whole;
		 at += m.total)
	{
		int i = params_find((const char *) m.body);

		if (i < 0)
			continue;
		if ((size_t) w->n_told == room)
		{
			room = room == 0 ? PARAMS : 2 * room;
			w->told = mem_realloc(w->told, room * sizeof(*w->told));
		}
		w->told[w->n_told++] = (struct welcome_told){.param = i, .at = at, .len = m.total};
	}
}

static struct welcome *
welcome_new(const struct params *params, const struct buf *messages)
{
	struct welcome *w = mem_zalloc(sizeof(*w) + buf_len(messages));

	atomic_store(&w->holders, 1);
	for (int i = 0; i < PARAMS; i++)
		params_set(&w->params, i, params->value[i]);
	w->len = buf_len(messages);
	if (w->len > 0)
		memcpy(w->messages, buf_data(messages), w->len);
	find_told(w);
	return w;
}

void
welcome_release(struct welcome **w)
{
	struct welcome *mine = *w;

	*w = NULL;
	if (mine == NULL || atomic_fetch_sub(&mine->holders, 1) > 1)
		return;
	params_fini(&mine->params);
	free(mine->told);
	free(mine);
}

void
welcome_box_init(struct welcome_box *box)
{
	lock_init(&box->lock);
	box->last = NULL;
}

void
welcome_box_fini(struct welcome_box *box)
{
	welcome_release(&box->last);
	lock_fini(&box->lock);
}

void
welcome_put(struct welcome_box *box, const struct params *params, const struct buf *messages)
{
	struct welcome *fresh = welcome_new(params, messages);
	struct welcome *old;

	lock_acquire(&box->lock);
	old = box->last;
	/* Nearly always the same is said again: one copy serves all. */
	if (old != NULL && old->len == fresh->len &&
		memcmp(old->messages, fresh->messages, fresh->len) == 0)
		old = fresh;
	else
		box->last = fresh;
	lock_release(&box->lock);
	welcome_release(&old);
}

struct welcome *
welcome_take(struct welcome_box *box)
{
	struct welcome *w;

	lock_acquire(&box->lock);
	w = box->last;
	if (w != NULL)
		atomic_fetch_add(&w->holders, 1);
	lock_release(&box->lock);
	return w;
}

void
welcome_write(const struct welcome *w, const struct params *own, struct buf *out)
{
	size_t written = 0; /* of messages, those that are replaced among them */

	for (const struct welcome_told *t = w->told; t < w->told + w->n_told; t++)
	{
		const char *value = own->value[t->param];
		uint8_t mem[PARAMS_MAX_VALUE + 64];
		struct pgwriter writer;

		if (value == NULL)
			continue;
		buf_append(out, w->messages + written, t->at - written);
		pgw_init(&writer, mem, sizeof(mem));
		pgw_parameter_status(&writer, params_name(t->param), value);
		buf_append(out, writer.mem, writer.len);
		written = t->at + t->len;
	}
	buf_append(out, w->messages + written, w->len - written);
}

void
welcome_notify(const char *message, struct buf *out)
{
	const struct pgw_error notice = {.severity = "NOTICE", .sqlstate = "00000", .message = message};
	size_t room = strlen(message) + 64;
	struct pgwriter w;

	if (message[0] == '\0')
		return;
	pgw_init(&w, buf_reserve(out, room), room);
	pgw_notice(&w, &notice);
	buf_commit(out, w.overflow ? 0 : w.len);
}
