/*
 * assert.c - what happens when a numbered invariant is found broken.
 *
 * Debug builds (PERFKIT_DEBUG) log the place and abort. Release builds count it and log it once per
 * place and second, so that a broken invariant in a hot path does not also fill the disk; the
 * caller closes the one connection concerned.
 *
 * Threads: any. Each place remembers the second in which it logged last.
 */
#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

static _Atomic(uint64_t) failures;

bool
invariant_failed(struct invariant_place *place, const char *name, const char *file, int line)
{
	uint32_t second = (uint32_t) (clock_now_us() / 1000000);

	atomic_fetch_add(&failures, 1);
	if (atomic_exchange(&place->logged_at_s, second) != second)
		log_error("invariant %s is broken at %s:%d", name, file, line);
#ifdef PERFKIT_DEBUG
	abort();
#endif
	return false;
}

uint64_t
invariant_failures(void)
{
	return atomic_load(&failures);
}
