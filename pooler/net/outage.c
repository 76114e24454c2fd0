/*
 * outage.c - see outage.h.
 *
 * Only hosts of the configuration and their addresses come here, and those whose time is over are
 * dropped when another one is noted: so the table is a short list.
 */
#include "net/outage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

struct outage
{
	struct outage *next;
	uint64_t until_us;
	int port;
	char host[];
};

static struct lock lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct outage *away; /* lock */
static _Atomic int n_away;  /* written under the lock */

/* The link that leads to it, or the last one. */
static struct outage **
find(const char *host, int port)
{
	struct outage **at = &away;

	while (*at != NULL && ((*at)->port != port || strcmp((*at)->host, host) != 0))
		at = &(*at)->next;
	return at;
}

static struct outage *
take_out(struct outage **at)
{
	struct outage *o = *at;

	*at = o->next;
	atomic_fetch_sub(&n_away, 1);
	return o;
}

/* Those whose time is over; to be freed by the caller, without the lock. */
static struct outage *
take_old(uint64_t now_us)
{
	struct outage *old = NULL;
	struct outage **at = &away;

	while (*at != NULL)
	{
		struct outage *o;

		if (now_us < (*at)->until_us)
		{
			at = &(*at)->next;
			continue;
		}
		o = take_out(at);
		o->next = old;
		old = o;
	}
	return old;
}

static void
free_all(struct outage *o)
{
	while (o != NULL)
	{
		struct outage *next = o->next;

		free(o);
		o = next;
	}
}

void
outage_note(const char *host, int port, uint64_t until_us)
{
	size_t len = strlen(host) + 1;
	struct outage *fresh = mem_alloc(sizeof(*fresh) + len);
	struct outage *old;
	struct outage **at;

	fresh->port = port;
	fresh->until_us = until_us;
	memcpy(fresh->host, host, len);
	lock_acquire(&lock);
	old = take_old(clock_now_us());
	at = find(host, port);
	if (*at == NULL)
	{
		fresh->next = NULL;
		*at = fresh;
		fresh = NULL;
		atomic_fetch_add(&n_away, 1);
	}
	else
		(*at)->until_us = until_us;
	lock_release(&lock);
	free(fresh);
	free_all(old);
}

void
outage_over(const char *host, int port)
{
	struct outage *gone = NULL;
	struct outage **at;

	if (atomic_load(&n_away) == 0)
		return;
	lock_acquire(&lock);
	at = find(host, port);
	if (*at != NULL)
		gone = take_out(at);
	lock_release(&lock);
	free(gone);
}

bool
outage_is(const char *host, int port, uint64_t now_us)
{
	struct outage *o;
	bool yes;

	if (atomic_load(&n_away) == 0)
		return false;
	lock_acquire(&lock);
	o = *find(host, port);
	yes = o != NULL && now_us < o->until_us;
	lock_release(&lock);
	return yes;
}

void
outage_fini(void)
{
	free_all(take_old(UINT64_MAX));
}
