/*
 * dns.c - see dns.h.
 *
 * Entries are only ever added, each at the head of the list, and live until dns_fini(): so the list
 * can be walked without the lock, which guards what stands in them. There are as many as the
 * configuration has names.
 */
#include "net/dns.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

struct dns_name
{
	struct dns_name *next;
	/* Under the lock: */
	struct dns_answer answer;
	uint64_t until_us;
	uint32_t turn; /* index of the address that stands first the next time */
	char name[];
};

static struct lock lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static _Atomic(struct dns_name *) names;
static _Atomic uint64_t longest_us = 15000000;
static _Atomic uint64_t longest_error_us = 15000000;
static _Atomic uint32_t moves;
static void (*on_move)(void *arg); /* set before the threads start */
static void *on_move_arg;

void
dns_limits(uint64_t max_ttl_us, uint64_t nxdomain_ttl_us)
{
	atomic_store(&longest_us, max_ttl_us);
	atomic_store(&longest_error_us, nxdomain_ttl_us);
}

void
dns_on_move(void (*moved)(void *arg), void *arg)
{
	on_move = moved;
	on_move_arg = arg;
}

uint32_t
dns_moves(void)
{
	return atomic_load_explicit(&moves, memory_order_relaxed);
}

static struct dns_name *
find(const char *name)
{
	struct dns_name *d = atomic_load(&names);

	while (d != NULL && strcmp(d->name, name) != 0)
		d = d->next;
	return d;
}

/* ---- asking ---- */

/* By turns. */
static void
copy_out(struct dns_name *d, struct dns_answer *out)
{
	const struct dns_answer *a = &d->answer;

	out->n = a->n;
	out->error = a->error;
	for (int i = 0; i < a->n; i++)
		out->addr[i] = a->addr[(d->turn + (uint32_t) i) % (uint32_t) a->n];
	d->turn++;
}

static bool
get(const char *name, bool any, struct dns_answer *out)
{
	struct dns_name *d = find(name);
	uint64_t now = clock_now_us();
	bool found;

	if (d == NULL)
		return false;
	lock_acquire(&lock);
	found = any || now < d->until_us;
	if (found)
		copy_out(d, out);
	lock_release(&lock);
	return found;
}

bool
dns_get(const char *name, struct dns_answer *out)
{
	return get(name, false, out);
}

bool
dns_get_any(const char *name, struct dns_answer *out)
{
	return get(name, true, out);
}

static bool
has(const struct dns_answer *a, const char *addr)
{
	char text[PEER_ADDR_TEXT_MAX];
	int port;

	for (int i = 0; i < a->n; i++)
	{
		peer_addr_text(&a->addr[i].ss, text, sizeof(text), &port);
		if (strcmp(text, addr) == 0)
			return true;
	}
	return false;
}

/* Perhaps there were more: what is missing in it may still stand. */
static bool
is_cut(const struct dns_answer *a)
{
	return a->n == DNS_MAX_ADDRS;
}

bool
dns_stands_for(const char *name, const char *addr)
{
	struct dns_name *d = find(name);
	struct dns_answer a;

	if (d == NULL)
		return true;
	lock_acquire(&lock);
	a = d->answer;
	lock_release(&lock);
	/* A name that has gone altogether is more likely a mistake than a move. */
	return a.n == 0 || is_cut(&a) || has(&a, addr);
}

/* ---- telling ---- */

/* Whether an address of the older answer is not in the newer one. */
static bool
lost_one(const struct dns_answer *older, const struct dns_answer *newer)
{
	char text[PEER_ADDR_TEXT_MAX];
	int port;

	if (newer->n == 0 || is_cut(newer))
		return false;
	for (int i = 0; i < older->n; i++)
	{
		peer_addr_text(&older->addr[i].ss, text, sizeof(text), &port);
		if (!has(newer, text))
			return true;
	}
	return false;
}

/* The entry of that name, added when it is new. */
static struct dns_name *
entry_of(const char *name)
{
	struct dns_name *fresh = mem_zalloc(sizeof(*fresh) + strlen(name) + 1);
	struct dns_name *d;

	strcpy(fresh->name, name);
	lock_acquire(&lock);
	d = find(name);
	if (d == NULL)
	{
		fresh->next = atomic_load(&names);
		atomic_store(&names, fresh);
		d = fresh;
		fresh = NULL;
	}
	lock_release(&lock);
	free(fresh);
	return d;
}

void
dns_put(const char *name, const struct dns_answer *answer, uint64_t ttl_us, bool certain)
{
	struct dns_name *d = entry_of(name);
	uint64_t most = atomic_load(answer->n > 0 ? &longest_us : &longest_error_us);
	uint64_t until = clock_now_us() + (answer->n > 0 && ttl_us < most ? ttl_us : most);
	struct dns_answer older;

	lock_acquire(&lock);
	older = d->answer;
	d->until_us = until;
	if (answer->n > 0 || certain || older.n == 0)
		d->answer = *answer;
	lock_release(&lock);
	if (!lost_one(&older, answer))
		return;
	log_info("%s has moved to another address", name);
	atomic_fetch_add(&moves, 1);
	if (on_move != NULL)
		on_move(on_move_arg);
}

/* ---- looking ---- */

static void
list_addrs(const struct dns_answer *a, char *out)
{
	int port;

	*out = '\0';
	for (int i = 0; i < a->n; i++)
	{
		if (i > 0)
			*out++ = ',';
		peer_addr_text(&a->addr[i].ss, out, PEER_ADDR_TEXT_MAX, &port);
		out += strlen(out);
	}
}

void
dns_rows(void (*row)(void *arg, const struct dns_row *row), void *arg)
{
	char addrs[DNS_MAX_ADDRS * (PEER_ADDR_TEXT_MAX + 1)];
	uint64_t now = clock_now_us();

	for (struct dns_name *d = atomic_load(&names); d != NULL; d = d->next)
	{
		struct dns_answer a;
		uint64_t until;
		struct dns_row r = {.name = d->name, .addrs = addrs};

		lock_acquire(&lock);
		a = d->answer;
		until = d->until_us;
		lock_release(&lock);
		list_addrs(&a, addrs);
		r.ttl_s = until > now ? (int64_t) ((until - now) / 1000000) : 0;
		row(arg, &r);
	}
}

int
dns_count(void)
{
	int n = 0;

	for (const struct dns_name *d = atomic_load(&names); d != NULL; d = d->next)
		n++;
	return n;
}

void
dns_fini(void)
{
	struct dns_name *d = atomic_exchange(&names, NULL);

	while (d != NULL)
	{
		struct dns_name *next = d->next;

		free(d);
		d = next;
	}
}
