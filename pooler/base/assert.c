/*
 * assert.c - what happens when a numbered invariant is found broken.
 *
 * Debug builds (PERFKIT_DEBUG) log the place and abort. Release builds count it and log it once per
 * place and second, so that a broken invariant in a hot path does not also fill the disk; the
 * caller closes the one connection concerned.
 *
 * Threads: any. The table of places is a row of atomics; a lost race costs one line more or less.
 */
#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#define PLACES 64

static _Atomic(uint64_t) failures;

/* Per slot: the place (high half) that logged last and the second in which it did (low half). */
static _Atomic(uint64_t) last_logged[PLACES];

/* True when this place has not logged in the current second. */
static bool
may_log(const char *file, int line)
{
	struct
	{
		const char *file;
		uint64_t line;
	} place = {file, (uint64_t) line};
	uint64_t hash = hash_bytes(&place, sizeof(place));
	uint32_t second = (uint32_t) (clock_now_us() / 1000000);
	uint64_t mark = (hash & 0xffffffff00000000u) | second;

	return atomic_exchange(&last_logged[hash % PLACES], mark) != mark;
}

bool
invariant_failed(const char *name, const char *file, int line)
{
	atomic_fetch_add(&failures, 1);
	if (may_log(file, line))
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
