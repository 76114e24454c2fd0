/*-------------------------------------------------------------------------
 * ring.c
 *	  Many writers, one reader, no lock, no waiting.
 *
 *	      tail                      head
 *	        |                         |
 *	   ...0 [len|record][len|record][0|.....] 0 0 0 ...
 *	                                 ^ reserved, being filled
 *
 * Each entry begins with one 8-byte word: the record's length, stored last.
 * Zero means "not committed".
 *
 * R1  Every byte outside [tail, head) is zero: the ring starts zeroed, and the
 *     reader zeroes what it consumes before it moves tail.  So a reserved entry
 *     reads as "not committed" until its writer says otherwise.
 * R2  Entries are consumed in order.  A writer that sleeps between reserve and
 *     commit holds up the reader, never another writer; it cannot die there
 *     without the whole server being restarted, for there is nothing but a
 *     memcpy between the two.
 * R3  Entries are multiples of 8 and so is the ring, so the word never wraps;
 *     the record behind it may.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ring.h"

#define WORD sizeof(uint64)

static inline uint64
entry_size(uint32 length)
{
	return WORD + TYPEALIGN64(WORD, length);
}


static inline pg_atomic_uint64 *
word_at(PerfkitRing *ring, uint64 position)
{
	return (pg_atomic_uint64 *) (ring->data + position % ring->size);
}


Size
perfkit_ring_memory(Size size)
{
	return MAXALIGN(offsetof(PerfkitRing, data) + size);
}


void
perfkit_ring_init(PerfkitRing *ring, Size size)
{
	pg_atomic_init_u64(&ring->head, 0);
	pg_atomic_init_u64(&ring->tail, 0);
	pg_atomic_init_u64(&ring->records, 0);
	ring->size = size - size % WORD;
	memset(ring->data, 0, ring->size);
}


/* Copies into the ring from `position`, around the end if need be. */
static void
copy_in(PerfkitRing *ring, uint64 position, const char *from, uint64 length)
{
	uint64 at = position % ring->size;
	uint64 first = Min(length, ring->size - at);

	memcpy(ring->data + at, from, first);
	memcpy(ring->data, from + first, length - first);
}


static void
copy_out(PerfkitRing *ring, uint64 position, char *to, uint64 length)
{
	uint64 at = position % ring->size;
	uint64 first = Min(length, ring->size - at);

	memcpy(to, ring->data + at, first);
	memcpy(to + first, ring->data, length - first);
}


bool
perfkit_ring_fits(const PerfkitRing *ring, uint32 length)
{
	return entry_size(length) <= ring->size;
}


PerfkitRingPut
perfkit_ring_put(PerfkitRing *ring, const void *record, uint32 length)
{
	uint64 need = entry_size(length);
	uint64 head;
	uint64 tail;

	Assert(length > 0);
	if (need > ring->size)
		return PERFKIT_RING_TOO_LARGE;

	do
	{
		/* tail first: head, read later, is never behind it */
		tail = pg_atomic_read_u64(&ring->tail);
		pg_read_barrier();
		head = pg_atomic_read_u64(&ring->head);
		if (head + need - tail > ring->size)
			return PERFKIT_RING_FULL;
	} while (!pg_atomic_compare_exchange_u64(&ring->head, &head, head + need));

	pg_atomic_fetch_add_u64(&ring->records, 1);
	copy_in(ring, head + WORD, record, length);
	pg_write_barrier();
	pg_atomic_write_u64(word_at(ring, head), length);
	return PERFKIT_RING_STORED;
}


void
perfkit_ring_start(PerfkitRing *ring, PerfkitRingCursor *cursor)
{
	cursor->position = pg_atomic_read_u64(&ring->tail);
	cursor->records = 0;
}


void
perfkit_ring_catch_up(PerfkitRing *ring, PerfkitRingCursor *cursor)
{
	cursor->position = Max(cursor->position, pg_atomic_read_u64(&ring->tail));
}


uint32
perfkit_ring_peek(PerfkitRing *ring, const PerfkitRingCursor *cursor)
{
	uint32 length;

	/* A completely full ring, read to its end: that word is the first record's again. */
	if (cursor->position - pg_atomic_read_u64(&ring->tail) >= ring->size)
		return 0;
	length = (uint32) pg_atomic_read_u64(word_at(ring, cursor->position));
	pg_read_barrier();
	return length;
}


void
perfkit_ring_next(PerfkitRing *ring, PerfkitRingCursor *cursor, void *out)
{
	copy_out(ring, cursor->position + WORD, out, perfkit_ring_peek(ring, cursor));
	perfkit_ring_skip(ring, cursor);
}


void
perfkit_ring_skip(PerfkitRing *ring, PerfkitRingCursor *cursor)
{
	uint32 length = perfkit_ring_peek(ring, cursor);

	Assert(length > 0);
	cursor->position += entry_size(length);
	cursor->records++;
}


void
perfkit_ring_consume(PerfkitRing *ring, const PerfkitRingCursor *cursor)
{
	uint64 tail = pg_atomic_read_u64(&ring->tail);
	uint64 length = cursor->position - tail;
	uint64 at = tail % ring->size;
	uint64 first = Min(length, ring->size - at);

	memset(ring->data + at, 0, first);
	memset(ring->data, 0, length - first);
	pg_atomic_fetch_sub_u64(&ring->records, (int64) cursor->records);
	pg_memory_barrier(); /* R1: zeroes before the space is offered */
	pg_atomic_write_u64(&ring->tail, cursor->position);
}


uint64
perfkit_ring_records(PerfkitRing *ring)
{
	return pg_atomic_read_u64(&ring->records);
}


uint64
perfkit_ring_used(PerfkitRing *ring)
{
	uint64 tail = pg_atomic_read_u64(&ring->tail);

	return pg_atomic_read_u64(&ring->head) - tail;
}
