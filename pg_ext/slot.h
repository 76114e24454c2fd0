/*-------------------------------------------------------------------------
 * slot.h
 *	  What each backend is executing now, in shared memory: one slot a backend.
 *
 *	  backend: enter (plain stores) ---------------------> leave (one exchange)
 *	  worker:           looks, adds waits, persists the row
 *
 * The claim of a slot is one atomic word: the serial of the statement (odd
 * while one runs), the number of its row and whether that row was written
 * while it ran.  It is what makes the row of a running statement and that of
 * its end the same row.
 *
 * SL1 A backend changes its fields only while its claim is even; who reads
 *     them compares the serial before and after.
 * SL2 The number of a row is put into the claim by compare-and-swap, from
 *     either side, so that both agree; a serial that has moved on refuses it.
 * SL3 Waits belong to the worker, and say the serial they are of; a backend
 *     reads them when it leaves, and can at worst miss the last sample.
 *
 * Only statements of the client (level 0) that could give a row are entered.
 * Nothing here allocates, waits or raises.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SLOT_H
#define PERFKIT_SLOT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "record.h"

typedef struct PerfkitExecution PerfkitExecution;

/* What a backend tells of its statement. */
typedef struct PerfkitSlotStatement
{
	Oid database;
	int pid;
	Oid userid;
	int threshold_ms; /* of this session; -1: it is not to be looked at */
	bool track_waits; /* of this session */
	bool first;       /* of its message, at which it began */
	int tag;          /* CommandTag */
	int location;     /* in the text of the client's message, as in PlannedStmt */
	int length;
	int64 queryid;
	int64 begin_ns;
	TimestampTz message;
} PerfkitSlotStatement;

/* The numbers of a persisted statement whose last record found no room. */
typedef struct PerfkitSlotEnd
{
	pg_atomic_uint64 sequence; /* of the row; 0: nothing here.  Written last */
	TimestampTz ended_at;
	double duration_ms;
	int outcome;
	int sqlstate;
	int64 rows;
} PerfkitSlotEnd;

typedef struct PerfkitSlot
{
	pg_atomic_uint64 claim;
	PerfkitSlotStatement statement; /* SL1 */
	int depth;                      /* of the innermost execution.  Plain */
	uint32 waits_serial;            /* SL3, down to here */
	int blocking_pid;               /* 0: none */
	PerfkitWait waits[PERFKIT_MAX_WAITS];
	PerfkitSlotEnd end;
} PerfkitSlot;

/* What leaving found in the slot. */
typedef struct PerfkitSlotFound
{
	uint64 sequence; /* 0: no number was given */
	bool persisted;
} PerfkitSlotFound;

/* Bytes of shared memory, and their start; for shmem.c. */
extern Size perfkit_slot_memory(void);
extern void perfkit_slot_init(void *memory, bool fresh);

/* The serial under which the statement runs from now on; 0 without a slot. */
extern uint32 perfkit_slot_enter(const PerfkitExecution *e);

/* It is over, or pauses; waits and blocking pid go into it. */
extern PerfkitSlotFound perfkit_slot_leave(PerfkitExecution *e);

/* The number of the row of the statement that runs under `serial`; 0 if none does any more. */
extern uint64 perfkit_slot_number(uint32 serial);

/* How deep executions are nested now. */
extern void perfkit_slot_set_depth(int depth);

/* Leaves the numbers of a persisted row behind, for want of a record. */
extern void perfkit_slot_leave_end(const PerfkitRecord *record);

/* From here on: for those who look at the slots of others. */

extern int perfkit_slot_count(void);
extern PerfkitSlot *perfkit_slot_at(int index);

/* The serial if a statement runs there, `out` filled; else 0. */
extern uint32 perfkit_slot_read(PerfkitSlot *slot, PerfkitSlotStatement *out);

/* The number its row has, or will have; 0 while there is none. */
extern uint64 perfkit_slot_row(PerfkitSlot *slot, uint32 serial);

/* Marks its row as written while it runs: its number, or 0 when it has ended since. */
extern uint64 perfkit_slot_persist(PerfkitSlot *slot, uint32 serial);

/* Whether the statement with this row still runs there. */
extern bool perfkit_slot_holds(PerfkitSlot *slot, uint64 sequence);

#endif /* PERFKIT_SLOT_H */
