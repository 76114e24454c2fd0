/*
 * lookup.c - see lookup.h.
 *
 *     lookup_start -> a question that is known: its answer, or its place among those who wait
 *                  \-> a new one -> its desk's queue -> the desk's line (one at a time) -> answered
 *
 * A desk is a database and the user who asks there. L1  A question is in its desk's queue, or is
 * the one being asked, or is answered. L2  Only answered ones are dropped when there
 * are too many, and the desks that nobody asks at then.
 */
#include "core/lookup.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/registry.h"

#define LOOKUP_ERROR_MAX 256
/* What a loop keeps. A desk has a connection, so clients that make names of "*" up must not have
 * many. */
#define QUESTIONS_MAX 10000
#define DESKS_MAX 100

struct desk
{
	struct list node; /* lookups->desks */
	struct shard *shard;
	char *database;
	char *as;
	struct lookup_line *line;
	struct list queue;       /* struct question */
	struct question *asked;  /* NULL: the line is free */
	int n_questions;         /* that name it */
	int telling;             /* answers of its line under way: it must stay */
	uint64_t rests_until_us; /* with this error: */
	char error[LOOKUP_ERROR_MAX];
};

struct question
{
	UT_hash_handle hh;
	char *key; /* database, as, user, query, each with a zero byte */
	size_t key_len;
	const char *user;  /* into key */
	const char *query; /* into key */
	struct desk *desk;
	struct list node;    /* desk->queue */
	struct list waiting; /* struct lookup */
	bool answered;
	bool forgotten; /* its answer is for those who wait alone */
	bool found;
	char *secret; /* wiped; NULL: none */
	uint64_t until_us;
	uint32_t serial; /* of the configuration */
};

struct lookup
{
	struct list node; /* question->waiting, or a list on its way to be told */
	lookup_reply_cb cb;
	void *arg;
};

struct lookups
{
	struct shard *shard;
	struct list desks;
	int n_desks;
	struct question *questions;
};

/* ---- questions ---- */

static void
drop_secret(struct question *q)
{
	if (q->secret != NULL)
		OPENSSL_cleanse(q->secret, strlen(q->secret));
	free(q->secret);
	q->secret = NULL;
}

static void
question_free(struct lookups *all, struct question *q)
{
	HASH_DEL(all->questions, q);
	q->desk->n_questions--;
	drop_secret(q);
	free(q->key);
	free(q);
}

static void
desk_free(struct lookups *all, struct desk *d)
{
	list_remove(&d->node);
	all->n_desks--;
	lookup_line_free(d->line);
	free(d->database);
	free(d->as);
	free(d);
}

/* Room for one more: the answers go, all at once, since they are soon too old anyway. */
static void
make_room(struct lookups *all)
{
	struct question *q;
	struct question *next;

	if (HASH_COUNT(all->questions) < QUESTIONS_MAX && all->n_desks < DESKS_MAX)
		return;
	HASH_ITER(hh, all->questions, q, next)
	{
		if (q->answered)
			question_free(all, q);
	}
	list_foreach(n, after, &all->desks)
	{
		struct desk *d = list_entry(n, struct desk, node);

		if (d->n_questions == 0 && d->telling == 0)
			desk_free(all, d);
	}
}

static char *
make_key(const struct lookup_ask *ask, size_t *len, size_t *user_at, size_t *query_at)
{
	size_t database = strlen(ask->database) + 1;
	size_t as = strlen(ask->as) + 1;
	size_t user = strlen(ask->user) + 1;
	size_t query = strlen(ask->query) + 1;
	char *key = mem_alloc(database + as + user + query);

	memcpy(key, ask->database, database);
	memcpy(key + database, ask->as, as);
	memcpy(key + database + as, ask->user, user);
	memcpy(key + database + as + user, ask->query, query);
	*user_at = database + as;
	*query_at = database + as + user;
	*len = database + as + user + query;
	return key;
}

static struct desk *
desk_of(struct lookups *all, const struct lookup_ask *ask)
{
	struct desk *d;

	list_foreach(n, next, &all->desks)
	{
		d = list_entry(n, struct desk, node);
		if (strcmp(d->database, ask->database) == 0 && strcmp(d->as, ask->as) == 0)
			return d;
	}
	d = mem_zalloc(sizeof(*d));
	d->shard = all->shard;
	d->database = mem_strdup(ask->database);
	d->as = mem_strdup(ask->as);
	d->line = lookup_line_new(all->shard, ask->database, ask->as);
	list_init(&d->queue);
	list_append(&all->desks, &d->node);
	all->n_desks++;
	return d;
}

/* The question as it stands, made when it is new. */
static struct question *
question_of(struct lookups *all, const struct lookup_ask *ask)
{
	struct question *q;
	size_t user_at;
	size_t query_at;
	size_t len;
	char *key = make_key(ask, &len, &user_at, &query_at);

	HASH_FIND(hh, all->questions, key, len, q);
	if (q != NULL)
	{
		free(key);
		return q;
	}
	make_room(all);
	q = mem_zalloc(sizeof(*q));
	q->key = key;
	q->key_len = len;
	q->user = key + user_at;
	q->query = key + query_at;
	q->desk = desk_of(all, ask);
	q->desk->n_questions++;
	q->answered = true; /* long ago */
	list_init(&q->node);
	list_init(&q->waiting);
	HASH_ADD_KEYPTR(hh, all->questions, q->key, q->key_len, q);
	return q;
}

/* ---- asking and telling ---- */

static void ask_next(struct desk *d);

/* Every one of them may do what it likes in its callback, cancel another too. */
static void
tell(struct list *waiting, const struct lookup_reply *reply)
{
	struct list *n;

	while ((n = list_pop(waiting)) != NULL)
	{
		struct lookup *l = list_entry(n, struct lookup, node);
		lookup_reply_cb cb = l->cb;
		void *arg = l->arg;

		free(l);
		cb(arg, reply);
	}
}

/* The answer to q; who waits for it is taken over. A failure is not kept. */
static void
take_answer(struct question *q, const struct lookup_reply *reply, struct list *waiting)
{
	struct list *n;

	q->answered = true;
	q->found = reply->found;
	q->secret = reply->secret == NULL ? NULL : mem_strdup(reply->secret);
	q->until_us = reply->error != NULL || q->forgotten
					  ? 0
					  : clock_now_us() + q->desk->shard->conf->auth_query_cache_time_us;
	while ((n = list_pop(&q->waiting)) != NULL)
		list_append(waiting, n);
}

/* Nobody can be asked here for a while: those in the queue need not find out one by one. */
static void
rest(struct desk *d, const struct lookup_reply *reply, struct list *waiting)
{
	struct list *n;

	d->rests_until_us = clock_now_us() + LOOKUP_REST_US;
	str_copy(d->error, sizeof(d->error), reply->error);
	while ((n = list_pop(&d->queue)) != NULL)
		take_answer(list_entry(n, struct question, node), reply, waiting);
}

static void
replied(void *arg, const struct lookup_reply *reply)
{
	struct desk *d = arg;
	struct question *q = d->asked;
	struct list waiting;

	list_init(&waiting);
	d->asked = NULL;
	take_answer(q, reply, &waiting);
	if (reply->down)
		rest(d, reply, &waiting);
	d->telling++;
	/* Before anybody is told: who hears may ask again. */
	ask_next(d);
	tell(&waiting, reply);
	d->telling--;
}

static void
ask_next(struct desk *d)
{
	struct list *n;

	if (d->asked != NULL || (n = list_pop(&d->queue)) == NULL)
		return;
	d->asked = list_entry(n, struct question, node);
	lookup_line_ask(d->line, d->asked->query, d->asked->user, replied, d);
}

struct lookup *
lookup_start(struct shard *shard, const struct lookup_ask *ask, lookup_reply_cb cb, void *arg)
{
	struct lookups *all = shard->lookups;
	struct question *q;
	struct lookup *l;

	if (all == NULL)
	{
		all = shard->lookups = mem_zalloc(sizeof(*all));
		all->shard = shard;
		list_init(&all->desks);
	}
	q = question_of(all, ask);
	if (q->answered && q->serial == shard->conf_serial && clock_now_us() < q->until_us)
	{
		const struct lookup_reply reply = {.found = q->found, .secret = q->secret};

		cb(arg, &reply);
		return NULL;
	}
	if (q->answered && clock_now_us() < q->desk->rests_until_us)
	{
		const struct lookup_reply reply = {.error = q->desk->error, .down = true};

		cb(arg, &reply);
		return NULL;
	}
	l = mem_zalloc(sizeof(*l));
	l->cb = cb;
	l->arg = arg;
	list_append(&q->waiting, &l->node);
	if (!q->answered)
		return l;
	drop_secret(q);
	q->answered = q->forgotten = false;
	q->serial = shard->conf_serial;
	list_append(&q->desk->queue, &q->node);
	ask_next(q->desk);
	return l;
}

void
lookup_cancel(struct lookup **handle)
{
	struct lookup *l = *handle;

	*handle = NULL;
	if (l == NULL)
		return;
	list_remove(&l->node);
	free(l);
}

void
lookup_forget(struct shard *shard, const struct lookup_ask *ask)
{
	struct question *q;
	size_t user_at;
	size_t query_at;
	size_t len;
	char *key;

	if (shard->lookups == NULL)
		return;
	key = make_key(ask, &len, &user_at, &query_at);
	HASH_FIND(hh, shard->lookups->questions, key, len, q);
	free(key);
	if (q == NULL)
		return;
	q->until_us = 0;
	q->forgotten = true;
}

void
lookup_fini(struct shard *shard)
{
	struct lookups *all = shard->lookups;
	struct question *q;
	struct question *next;
	struct list *n;

	if (all == NULL)
		return;
	shard->lookups = NULL;
	HASH_ITER(hh, all->questions, q, next)
	{
		while ((n = list_pop(&q->waiting)) != NULL)
			free(list_entry(n, struct lookup, node));
		question_free(all, q);
	}
	while ((n = list_first(&all->desks)) != NULL)
		desk_free(all, list_entry(n, struct desk, node));
	free(all);
}

void
lookup_each_line(struct shard *shard, void (*see)(void *arg, const struct lookup_line_view *view),
				 void *arg)
{
	struct lookup_line_view view;

	if (shard->lookups == NULL)
		return;
	list_foreach(n, next, &shard->lookups->desks)
	{
		if (lookup_line_look(list_entry(n, struct desk, node)->line, &view))
			see(arg, &view);
	}
}
