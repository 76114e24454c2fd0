/*
 * rates.c - see rates.h.
 */
#include "core/rates.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define TELL_US 10000000

void
rates_init(struct rates *r)
{
	memset(r, 0, sizeof(*r));
	lock_init(&r->lock);
	for (int kind = 0; kind < RATE_KINDS; kind++)
		list_init(&r->left[kind]);
}

void
rates_fini(struct rates *r)
{
	for (int kind = 0; kind < RATE_KINDS; kind++)
	{
		struct rate_entry *e = r->by_name[kind];

		/* Clearing frees the table alone; the entries stay chained. */
		HASH_CLEAR(hh, r->by_name[kind]);
		while (e != NULL)
		{
			struct rate_entry *next = e->hh.next;

			free(e);
			e = next;
		}
	}
	lock_fini(&r->lock);
}

struct rate_entry *
rates_join(struct rates *r, enum rate_kind kind, const char *name)
{
	size_t len = strlen(name);
	struct rate_entry *mine = mem_zalloc(sizeof(*mine) + len + 1);
	struct rate_entry *there;

	mine->kind = kind;
	list_init(&mine->node);
	memcpy(mine->name, name, len);
	lock_acquire(&r->lock);
	HASH_FIND(hh, r->by_name[kind], name, len, there);
	if (there == NULL)
	{
		HASH_ADD_KEYPTR(hh, r->by_name[kind], mine->name, len, mine);
		there = mine;
		mine = NULL;
	}
	else if (there->clients == 0)
	{
		list_remove(&there->node);
		r->n_left[kind]--;
	}
	there->clients++;
	lock_release(&r->lock);
	free(mine);
	return there;
}

void
rates_leave(struct rates *r, struct rate_entry **e)
{
	struct rate_entry *left = *e;
	struct rate_entry *forgotten = NULL;

	if (left == NULL)
		return;
	*e = NULL;
	lock_acquire(&r->lock);
	if (--left->clients == 0)
	{
		list_append(&r->left[left->kind], &left->node);
		if (++r->n_left[left->kind] > RATES_KEPT)
		{
			forgotten = list_entry(list_pop(&r->left[left->kind]), struct rate_entry, node);
			r->n_left[left->kind]--;
			HASH_DELETE(hh, r->by_name[left->kind], forgotten);
		}
	}
	lock_release(&r->lock);
	free(forgotten);
}

/* What one costs. */
static uint64_t
interval_us(const struct rate *rate)
{
	uint64_t us = 1000000 / (uint64_t) rate->per_s;

	return us > 0 ? us : 1;
}

/* Moves the due time on by us from now at the earliest, unless it would come to lie behind latest.
 */
static bool
move_on(struct rate_entry *e, enum rate_measure m, uint64_t us, uint64_t now_us, uint64_t latest,
		uint64_t *wanted)
{
	uint64_t due = atomic_load(&e->due_us[m]);

	do
	{
		*wanted = (due > now_us ? due : now_us) + us;
		if (*wanted > latest)
			return false;
	} while (!atomic_compare_exchange_weak(&e->due_us[m], &due, *wanted));
	return true;
}

bool
rate_take(struct rates *r, struct rate_entry *e, enum rate_measure m, const struct rate *rate,
		  uint64_t now_us, uint64_t *wait_us)
{
	uint64_t one = interval_us(rate);
	uint64_t latest = now_us + (rate->burst_us > one ? rate->burst_us : one);
	uint64_t wanted;

	if (move_on(e, m, one, now_us, latest, &wanted))
		return true;
	*wait_us = wanted - latest;
	atomic_fetch_add(&e->refused[m], 1);
	atomic_fetch_add(&r->refused[e->kind][m], 1);
	atomic_store(&e->refused_wall_us, clock_wall_us());
	return false;
}

void
rate_give_back(struct rate_entry *e, enum rate_measure m, const struct rate *rate)
{
	atomic_fetch_sub(&e->due_us[m], interval_us(rate));
}

void
rate_owe(struct rate_entry *e, enum rate_measure m, const struct rate *rate, uint64_t n,
		 uint64_t now_us)
{
	uint64_t most = RATES_DEBT_MAX_US / interval_us(rate);
	uint64_t latest = now_us + RATES_DEBT_MAX_US;
	uint64_t due = atomic_load(&e->due_us[m]);
	uint64_t wanted;

	do
	{
		wanted = (due > now_us ? due : now_us) + (n < most ? n : most) * interval_us(rate);
		if (wanted > latest)
			wanted = due > latest ? due : latest;
	} while (!atomic_compare_exchange_weak(&e->due_us[m], &due, wanted));
}

bool
rate_tell(struct rate_entry *e, uint64_t now_us)
{
	uint64_t told = atomic_load(&e->told_us);

	return (told == 0 || now_us >= told + TELL_US) &&
		   atomic_compare_exchange_strong(&e->told_us, &told, now_us);
}

/* ---- SHOW ---- */

static void
copy_entry(struct rate_row *row, const struct rate_entry *e, uint64_t now_us)
{
	row->kind = e->kind;
	row->clients = e->clients;
	row->refused_wall_us = atomic_load(&e->refused_wall_us);
	for (int m = 0; m < RATE_MEASURES; m++)
	{
		uint64_t due = atomic_load(&e->due_us[m]);

		row->refused[m] = atomic_load(&e->refused[m]);
		row->ahead_us[m] = due > now_us ? due - now_us : 0;
	}
	str_copy(row->name, sizeof(row->name), e->name);
}

static int
count_entries(struct rates *r)
{
	int n = 0;

	lock_acquire(&r->lock);
	for (int kind = 0; kind < RATE_KINDS; kind++)
		n += (int) HASH_COUNT(r->by_name[kind]);
	lock_release(&r->lock);
	return n;
}

struct rate_row *
rates_rows(struct rates *r, uint64_t now_us, int *n)
{
	/* Those who come while room is made for all are seen the next time. */
	int room = count_entries(r) + RATE_KINDS;
	struct rate_row *rows = mem_zalloc((size_t) room * sizeof(*rows));

	*n = 0;
	for (int kind = 0; kind < RATE_KINDS; kind++)
	{
		rows[*n].kind = (enum rate_kind) kind;
		for (int m = 0; m < RATE_MEASURES; m++)
			rows[*n].refused[m] = atomic_load(&r->refused[kind][m]);
		(*n)++;
	}
	lock_acquire(&r->lock);
	for (int kind = 0; kind < RATE_KINDS; kind++)
		for (struct rate_entry *e = r->by_name[kind]; e != NULL && *n < room; e = e->hh.next)
		{
			copy_entry(&rows[*n], e, now_us);
			rows[kind].clients += e->clients;
			(*n)++;
		}
	lock_release(&r->lock);
	return rows;
}
