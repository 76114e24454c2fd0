/*
 * assert.h - asserts as documentation.
 *
 * INVARIANT(cond, "P5") states a numbered invariant: it aborts in debug builds (PERFKIT_DEBUG) and
 * is counted and logged (once per place and second at most) in release builds, where it evaluates
 * to the truth of cond so that the caller can close the one connection concerned. Bytes from a
 * socket never reach either macro: they are BAD, not wrong.
 */
#ifndef PERFKIT_BASE_ASSERT_H
#define PERFKIT_BASE_ASSERT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* One for each use of the macro. */
struct invariant_place
{
	_Atomic(uint32_t) logged_at_s; /* second of the last log line */
};

bool invariant_failed(struct invariant_place *place, const char *name, const char *file, int line);

/* Number of invariants found broken since start (release builds); shown in SHOW STATE. */
uint64_t invariant_failures(void);

#define INVARIANT(cond, name)                                                                      \
	__extension__({                                                                                \
		static struct invariant_place invariant_here;                                              \
		(cond) ? true : invariant_failed(&invariant_here, (name), __FILE__, __LINE__);             \
	})

#endif
