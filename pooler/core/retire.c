/*
 * retire.c - see retire.h.
 *
 * Between its connection and its startup packet a client is no client yet (n_clients); the console
 * never is one. So the sessions that are neither are waited for, but not for ever: they may be
 * silent.
 */
#include "core/retire.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "core/porter.h"
#include "core/registry.h"
#include "net/listen.h"

#define LOGIN_GRACE_US 5000000

static uint64_t grace_over_us;

void
retire_start(struct registry *r)
{
	atomic_store(&r->serving_arrived, r->conf->so_reuseport);
	atomic_store(&r->shutting_down, true);
	grace_over_us = r->conf->so_reuseport ? clock_now_us() + LOGIN_GRACE_US : 0;
	listen_retire(&r->main_loop, porter_bring, r);
}

static int64_t
sessions(struct registry *r)
{
	int64_t n = 0;

	for (int i = 0; i < r->n_shards; i++)
		n += atomic_load(&r->shards[i].n_sessions);
	return n;
}

bool
retire_done(struct registry *r)
{
	if (listen_is_retiring() || atomic_load(&r->n_clients) > 0)
		return false;
	return sessions(r) <= atomic_load(&r->n_consoles) || clock_now_us() >= grace_over_us;
}
