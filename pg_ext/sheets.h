/*-------------------------------------------------------------------------
 * sheets.h
 *	  What backends have counted and nobody has merged yet: two sheets a backend,
 *	  in shared memory.
 *
 * SH1 A sheet is read and written only by who has claimed it, by an atomic exchange
 *     of its first word.
 * SH2 Others than the owner claim a sheet only under the lock of the table, one at
 *     a time, and let go of it before the lock.  So one of an owner's two sheets
 *     can always be claimed at once.
 * SH3 A place in a sheet is given up by merging only.  Its counts have 16 bits: who
 *     has nearly filled one merges.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SHEETS_H
#define PERFKIT_SHEETS_H

#include "postgres.h"

#include "histogram.h"
#include "port/atomics.h"
#include "statements_table.h"
#include "tally.h"

#define PERFKIT_SHEET_PLACES 16
#define PERFKIT_SHEETS 2

/* At this count of one bucket its owner merges. */
#define PERFKIT_SHEET_FULL_COUNT (PG_UINT16_MAX - 16)

typedef struct PerfkitPlace
{
	Oid userid;
	bool toplevel;
	PerfkitTally tally;
	uint16 counts[PERFKIT_HISTOGRAM_BUCKETS]; /* as in PerfkitStatement */
} PerfkitPlace;

typedef struct PerfkitSheet
{
	pg_atomic_uint32 claimed;
	uint32 used;                          /* places; others read it to know whether to claim */
	int64 queryids[PERFKIT_SHEET_PLACES]; /* 0: free; found by probing from the queryid on */
	PerfkitPlace places[PERFKIT_SHEET_PLACES];
} PerfkitSheet;

/* For shmem.c: those of all backends, in zeroed memory. */
extern Size perfkit_sheets_memory(void);
extern void perfkit_sheets_init(void *memory);

static inline bool
perfkit_sheet_claim(PerfkitSheet *sheet)
{
	return pg_atomic_exchange_u32(&sheet->claimed, 1) == 0;
}

static inline void
perfkit_sheet_let_go(PerfkitSheet *sheet)
{
	pg_write_barrier();
	pg_atomic_write_u32(&sheet->claimed, 0);
}

/* Where the statement is in a sheet or, if it is not, would be; -1: the sheet is full. */
static inline int
perfkit_sheet_find(const PerfkitSheet *sheet, int64 queryid, Oid userid, bool toplevel)
{
	uint32 i = (uint32) queryid % PERFKIT_SHEET_PLACES;

	for (int n = 0; n < PERFKIT_SHEET_PLACES; n++)
	{
		if (sheet->queryids[i] == 0)
			return (int) i;
		if (sheet->queryids[i] == queryid && sheet->places[i].userid == userid &&
			sheet->places[i].toplevel == toplevel)
			return (int) i;
		i = (i + 1) % PERFKIT_SHEET_PLACES;
	}
	return -1;
}

/*
 * This backend's sheets, an array, its own until it exits: what is on them then is
 * merged.  NULL in processes that cannot have any, and while exiting.
 */
extern PerfkitSheet *perfkit_sheets_mine(void);

/* Merges this backend's sheets, because it has no room; false if that cannot be just now. */
extern bool perfkit_sheets_make_room(void);

/*
 * The lock of the table, exclusively, for a backend in the middle of its work: waits
 * only if it must, which is counted.  False when it holds the lock already.
 */
extern bool perfkit_sheets_lock_table(void);

/*
 * Merges the sheets of all backends of a database.  A patient caller waits a moment
 * for executions that are being counted right now.  Without the lock.
 */
extern void perfkit_sheets_merge(Oid database, bool patient);

/*
 * Forgets what was counted of these statements so far, on sheets and in the table.
 * The filter names a database.  Without the lock.
 */
extern void perfkit_sheets_reset(const PerfkitStatementFilter *filter);

#endif /* PERFKIT_SHEETS_H */
