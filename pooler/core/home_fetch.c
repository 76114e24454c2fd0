/*
 * home_fetch.c - see home_fetch.h.
 *
 * Whoever is told may ask again from within: lists are taken over before the first is told.
 */
#include "core/home_fetch.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "net/loop.h"

#define KEPT_US 1000000
#define WHY_MAX 512

struct asker
{
	struct list node;
	home_answer answer;
	void *arg;
};

struct fetch
{
	const char *format; /* as metrics() calls it */
	struct list waiting;
	ev_timer patience; /* of the one who waits longest */
	char *text;        /* NULL: none is kept */
	size_t n;
	uint64_t until_us;
};

static struct loop *loop;
static struct fetch fetches[] = {{.format = "prometheus"}, {.format = "openmetrics"}};

#define FETCHES (sizeof(fetches) / sizeof(fetches[0]))

static struct fetch *
fetch_of(bool openmetrics)
{
	return &fetches[openmetrics ? 1 : 0];
}

static void
tell(struct fetch *f, int status, const char *text, size_t n)
{
	struct list told;
	struct list *node;

	ev_timer_stop(loop->ev, &f->patience);
	list_init(&told);
	while ((node = list_pop(&f->waiting)) != NULL)
		list_append(&told, node);
	while ((node = list_pop(&told)) != NULL)
	{
		struct asker *a = list_entry(node, struct asker, node);

		a->answer(a->arg, status, text, n);
		free(a);
	}
}

static void
refuse(struct fetch *f, const char *why)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s\n", why);
	tell(f, 503, text, strlen(text));
}

static void
out_of_patience(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	refuse(w->data, "the database does not answer in time");
}

static void
forget_text(struct fetch *f)
{
	free(f->text);
	f->text = NULL;
}

bool
home_fetch_give(home_answer answer, void *arg, bool openmetrics)
{
	struct fetch *f = fetch_of(openmetrics);

	if (f->text == NULL || clock_now_us() >= f->until_us)
		return false;
	answer(arg, 200, f->text, f->n);
	return true;
}

void
home_fetch_wait(home_answer answer, void *arg, bool openmetrics)
{
	struct fetch *f = fetch_of(openmetrics);
	struct asker *a = mem_zalloc(sizeof(*a));

	a->answer = answer;
	a->arg = arg;
	if (list_empty(&f->waiting))
		loop_after(loop, &f->patience, HOME_PATIENCE_US);
	list_append(&f->waiting, &a->node);
}

const char *
home_fetch_wanted(void)
{
	for (size_t i = 0; i < FETCHES; i++)
	{
		if (!list_empty(&fetches[i].waiting))
			return fetches[i].format;
	}
	return NULL;
}

void
home_fetch_answered(const char *format, const char *text, size_t n, const char *error)
{
	struct fetch *f = fetch_of(strcmp(format, "openmetrics") == 0);

	if (text == NULL)
	{
		refuse(f, error != NULL ? error : "the database has no metrics");
		return;
	}
	forget_text(f);
	f->text = mem_alloc(n + 1);
	memcpy(f->text, text, n);
	f->text[n] = '\0';
	f->n = n;
	f->until_us = clock_now_us() + KEPT_US;
	tell(f, 200, f->text, f->n);
}

void
home_fetch_fail(const char *why, bool forget)
{
	for (size_t i = 0; i < FETCHES; i++)
	{
		if (forget)
			forget_text(&fetches[i]);
		refuse(&fetches[i], why);
	}
}

void
home_fetch_refuse(home_answer answer, void *arg, const char *why)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s\n", why);
	answer(arg, 503, text, strlen(text));
}

void
home_fetch_start(struct loop *l)
{
	loop = l;
	for (size_t i = 0; i < FETCHES; i++)
	{
		list_init(&fetches[i].waiting);
		ev_init(&fetches[i].patience, out_of_patience);
		fetches[i].patience.data = &fetches[i];
	}
}

void
home_fetch_stop(void)
{
	home_fetch_fail("the pooler is shutting down", true);
}
