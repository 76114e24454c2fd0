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
#include "tcop/cmdtag.h"

typedef struct PerfkitExecution PerfkitExecution;

/*
 * What a backend tells of its statement: fields that PerfkitExecution has too,
 * so that telling is one copy of 48 bytes.
 */
#define PERFKIT_SLOT_FIELDS                                                                        \
	int64 queryid;                                                                                 \
	int64 begin_ns;      /* first work on it, planning included */                                 \
	TimestampTz message; /* start of the client's message it began in */                           \
	Oid userid;                                                                                    \
	CommandTag tag;                                                                                \
	int location; /* of the statement in its source, as in PlannedStmt */                          \
	int length;                                                                                    \
	bool first;      /* of its message: parse time counts */                                       \
	bool in_message; /* its source is the text of the client's message */

typedef struct PerfkitSlotStatement
{
	PERFKIT_SLOT_FIELDS
} PerfkitSlotStatement;

/* Who the backend is, and what its session wants; changes seldom. */
typedef struct PerfkitSlotSession
{
	int pid;
	Oid database;
	int threshold_ms; /* -1: it is not to be looked at */
	bool track_waits;
} PerfkitSlotSession;

/* Both, as a reader found them. */
typedef struct PerfkitSlotView
{
	uint32 serial;
	PerfkitSlotStatement statement;
	PerfkitSlotSession session;
} PerfkitSlotView;

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
	PerfkitSlotSession session;
	int depth;           /* of the innermost execution.  Plain */
	uint32 waits_serial; /* SL3, down to here */
	int blocking_pid;    /* 0: none */
	PerfkitWait waits[PERFKIT_MAX_WAITS];
	PerfkitSlotEnd end;
} PerfkitSlot;

/* Bytes of shared memory, and their start; for shmem.c. */
extern Size perfkit_slot_memory(void);
extern void perfkit_slot_init(void *memory, bool fresh);

/* The serial under which the statement runs from now on; 0 without a slot. */
extern uint32 perfkit_slot_enter(const PerfkitExecution *e);

/* It is over, or pauses: its id, whether it has a row, waits and blocking pid go into it. */
extern void perfkit_slot_leave(PerfkitExecution *e);

/* The settings of this session have changed; the assign hooks of guc.c. */
extern void perfkit_slot_assign_threshold(int value, void *extra);
extern void perfkit_slot_assign_track_waits(bool value, void *extra);

/* The number of the row of the statement that runs under `serial`; 0 if none does any more. */
extern uint64 perfkit_slot_number(uint32 serial);

/* How deep executions are nested now. */
extern void perfkit_slot_set_depth(int depth);

/* Leaves the numbers of a persisted row behind, for want of a record. */
extern void perfkit_slot_leave_end(const PerfkitRecord *record);

/* From here on: for those who look at the slots of others. */

extern int perfkit_slot_count(void);
extern PerfkitSlot *perfkit_slot_at(int index);

/* Whether a statement runs there; if so the view is filled. */
extern bool perfkit_slot_read(PerfkitSlot *slot, PerfkitSlotView *out);

/* Whether what a view tells of still runs. */
extern bool perfkit_slot_same(PerfkitSlot *slot, const PerfkitSlotView *view);

/* The number its row has, or will have; 0 while there is none. */
extern uint64 perfkit_slot_row(PerfkitSlot *slot, uint32 serial);

/* Marks its row as written while it runs: its number, or 0 when it has ended since. */
extern uint64 perfkit_slot_persist(PerfkitSlot *slot, uint32 serial);

/* Whether the statement with this row still runs there. */
extern bool perfkit_slot_holds(PerfkitSlot *slot, uint64 sequence);

#endif /* PERFKIT_SLOT_H */
