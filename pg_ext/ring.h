/*-------------------------------------------------------------------------
 * ring.h
 *	  A ring of variable-length records in shared memory: many writers, one
 *	  reader, no lock.
 *
 *	  writer: reserve (compare-and-swap of head) -> fill -> commit (one store)
 *	  reader: next, next, ... -> its transaction commits -> consume (moves tail)
 *
 * Nothing here raises an error, allocates, or waits.  A full ring refuses.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_RING_H
#define PERFKIT_RING_H

#include "postgres.h"

#include "port/atomics.h"

/* The ring's own bytes follow the header; the layout is ring.c's affair. */
typedef struct PerfkitRing
{
	pg_atomic_uint64 head; /* next byte to reserve; grows for ever */
	char pad1[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint64)];
	pg_atomic_uint64 tail; /* first byte not consumed; moved by the reader only */
	char pad2[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint64)];
	pg_atomic_uint64 records; /* reserved and not consumed */
	uint64 size;              /* bytes of data, a multiple of 8 */
	char pad3[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint64) - sizeof(uint64)];
	char data[FLEXIBLE_ARRAY_MEMBER];
} PerfkitRing;

typedef enum PerfkitRingPut
{
	PERFKIT_RING_STORED,
	PERFKIT_RING_FULL,
	PERFKIT_RING_TOO_LARGE /* can never fit */
} PerfkitRingPut;

/* Where a reader stands.  Records before it are read, not yet consumed. */
typedef struct PerfkitRingCursor
{
	uint64 position;
	uint64 records;
} PerfkitRingCursor;

/* Bytes of shared memory for a ring with `size` bytes of data. */
extern Size perfkit_ring_memory(Size size);

/* Makes an empty ring; `size` is rounded down to a multiple of 8. */
extern void perfkit_ring_init(PerfkitRing *ring, Size size);

/* Whether a record of this length could ever be put in. */
extern bool perfkit_ring_fits(const PerfkitRing *ring, uint32 length);

/* Copies one record in.  Any process, any state but inside another put. */
extern PerfkitRingPut perfkit_ring_put(PerfkitRing *ring, const void *record, uint32 length);

/*
 * Starts reading at the oldest record.  Only one process may consume, and others
 * may read only while they keep it from that (standby.c).
 */
extern void perfkit_ring_start(PerfkitRing *ring, PerfkitRingCursor *cursor);

/* Steps over what was consumed since the cursor was used last. */
extern void perfkit_ring_catch_up(PerfkitRing *ring, PerfkitRingCursor *cursor);

/* Length of the record at the cursor; 0 when there is none, or it is still being filled. */
extern uint32 perfkit_ring_peek(PerfkitRing *ring, const PerfkitRingCursor *cursor);

/* Copies the record at the cursor into `out` (at least peek() bytes) and steps past it. */
extern void perfkit_ring_next(PerfkitRing *ring, PerfkitRingCursor *cursor, void *out);

/* Steps past the record at the cursor without reading it. */
extern void perfkit_ring_skip(PerfkitRing *ring, PerfkitRingCursor *cursor);

/* Gives the space of everything before the cursor back to the writers. */
extern void perfkit_ring_consume(PerfkitRing *ring, const PerfkitRingCursor *cursor);

/* Records reserved and not consumed; bytes in use. */
extern uint64 perfkit_ring_records(PerfkitRing *ring);
extern uint64 perfkit_ring_used(PerfkitRing *ring);

#endif /* PERFKIT_RING_H */
