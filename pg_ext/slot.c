/*-------------------------------------------------------------------------
 * slot.c
 *	  The slots of running statements and the word they are claimed by.
 *
 *	  claim:  serial (22 bits) | persisted (1) | number of the row (41)
 *
 * 41 bits number a thousand rows a second for seventy years of one server's
 * life; 22 bits of serial make it needless to think of one that comes round
 * between a reader's two looks.
 *-------------------------------------------------------------------------
 */
#include "slot.h"

#include "compat.h"
#include "execution.h"
#include "guc.h"
#include "miscadmin.h"
#include "selection.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#define SERIAL_SHIFT 42
#define SERIAL_MASK ((UINT64CONST(1) << 22) - 1)
#define PERSISTED (UINT64CONST(1) << 41)
#define NUMBER_MASK (PERSISTED - 1)

/* Backends write their slots all the time: no two share a cache line. */
typedef union PaddedSlot
{
	PerfkitSlot slot;
	char pad[TYPEALIGN(PG_CACHE_LINE_SIZE, sizeof(PerfkitSlot))];
} PaddedSlot;

static PaddedSlot *slots = NULL;
static PerfkitSlot *mine = NULL;
static uint32 my_serial = 0; /* as in the claim of mine */


static inline uint32
serial_of(uint64 claim)
{
	return (uint32) (claim >> SERIAL_SHIFT);
}


static inline uint32
next(uint32 serial)
{
	return (serial + 1) & SERIAL_MASK;
}


Size
perfkit_slot_memory(void)
{
	return mul_size(MaxBackends, sizeof(PaddedSlot));
}


void
perfkit_slot_init(void *memory, bool fresh)
{
	slots = memory;
	for (int i = 0; i < MaxBackends && fresh; i++)
	{
		pg_atomic_init_u64(&slots[i].slot.claim, 0);
		pg_atomic_init_u64(&slots[i].slot.end.sequence, 0);
	}
}


int
perfkit_slot_count(void)
{
	return MaxBackends;
}


PerfkitSlot *
perfkit_slot_at(int index)
{
	return &slots[index].slot;
}


/* Takes the slot over from the backend before, which may have died in the middle. */
static bool
take_over(void)
{
	int number = MyProc != NULL ? PERFKIT_MY_PROC_NUMBER : -1;
	uint32 serial;

	if (number < 0 || number >= MaxBackends)
		return false;
	mine = &slots[number].slot;
	serial = serial_of(pg_atomic_read_u64(&mine->claim));
	my_serial = serial & 1 ? next(serial) : serial;
	pg_atomic_write_u64(&mine->claim, (uint64) my_serial << SERIAL_SHIFT);
	pg_memory_barrier();
	mine->session.pid = MyProcPid;
	mine->session.database = MyDatabaseId;
	mine->session.threshold_ms = perfkit_slow_query_threshold;
	mine->session.track_waits = perfkit_track_waits;
	return true;
}


uint32
perfkit_slot_enter(const PerfkitExecution *e)
{
	PerfkitSlot *slot = mine;
	uint64 known = 0;
	uint32 serial;

	if (unlikely(slot == NULL))
	{
		if (!take_over())
			return 0;
		slot = mine;
	}
	if (unlikely(perfkit_selection_excluding) &&
		perfkit_selection_excluded(application_name, e->queryid))
		return 0;
	serial = my_serial;
	if (unlikely(serial & 1))
	{
		/* An error has left it behind. */
		serial = next(serial);
		pg_atomic_write_u64(&slot->claim, (uint64) serial << SERIAL_SHIFT);
		pg_write_barrier();
	}
	slot->statement = e->told;
	slot->depth = 0;

	/* A portal that goes on after a pause keeps its row. */
	if (unlikely(e->id != 0))
		known = (uint64) (e->id - perfkit_shared->boot) | (e->persisted ? PERSISTED : 0);
	pg_write_barrier();
	my_serial = serial = next(serial);
	pg_atomic_write_u64(&slot->claim, (uint64) serial << SERIAL_SHIFT | known);
	return serial;
}


/* What the worker has left in the slot; added to what was seen before a pause. */
static void
take_found(PerfkitExecution *e, uint64 claim)
{
	if ((claim & NUMBER_MASK) != 0)
		e->id = perfkit_shared->boot + (int64) (claim & NUMBER_MASK);
	if (claim & PERSISTED)
		e->persisted = true;
	if (mine->waits_serial != serial_of(claim))
		return;
	if (!e->has_waits)
		memset(e->waits, 0, sizeof(e->waits));
	e->has_waits = true;
	if (mine->blocking_pid != 0)
		e->blocking_pid = mine->blocking_pid;
	for (int i = 0; i < PERFKIT_MAX_WAITS && mine->waits[i].ms > 0; i++)
		perfkit_wait_add(e->waits, mine->waits[i].event, mine->waits[i].ms);
}


void
perfkit_slot_leave(PerfkitExecution *e)
{
	PerfkitSlot *slot = mine;
	uint32 serial = e->serial;
	uint64 old;

	e->serial = 0;
	if (unlikely(serial != my_serial))
		return;
	my_serial = next(serial);
	old = pg_atomic_exchange_u64(&slot->claim, (uint64) next(serial) << SERIAL_SHIFT);
	if (unlikely((old & (PERSISTED | NUMBER_MASK)) != 0 || slot->waits_serial == serial))
		take_found(e, old);
}


void
perfkit_slot_assign_threshold(int value, void *extra)
{
	if (mine != NULL)
		mine->session.threshold_ms = value;
}


void
perfkit_slot_assign_track_waits(bool value, void *extra)
{
	if (mine != NULL)
		mine->session.track_waits = value;
}


/* Puts a number into the claim if it still is of this serial and has none (SL2). */
static uint64
claim_number(PerfkitSlot *slot, uint32 serial, uint64 flags)
{
	uint64 number = 0;
	uint64 old = pg_atomic_read_u64(&slot->claim);
	uint64 new;

	do
	{
		if (serial_of(old) != serial)
			return 0;
		if ((old & NUMBER_MASK) == 0 && number == 0)
			number = pg_atomic_add_fetch_u64(&perfkit_shared->sequence, 1);
		new = old | flags | ((old & NUMBER_MASK) == 0 ? number : 0);
	} while (!pg_atomic_compare_exchange_u64(&slot->claim, &old, new));
	return new &NUMBER_MASK;
}


uint64
perfkit_slot_number(uint32 serial)
{
	return serial == my_serial ? claim_number(mine, serial, 0) : 0;
}


uint64
perfkit_slot_row(PerfkitSlot *slot, uint32 serial)
{
	uint64 claim = pg_atomic_read_u64(&slot->claim);

	return serial_of(claim) == serial ? claim & NUMBER_MASK : 0;
}


uint64
perfkit_slot_persist(PerfkitSlot *slot, uint32 serial)
{
	return claim_number(slot, serial, PERSISTED);
}


void
perfkit_slot_set_depth(int depth)
{
	if (mine != NULL)
		mine->depth = depth;
}


void
perfkit_slot_leave_end(const PerfkitRecord *record)
{
	PerfkitSlotEnd *end;

	if (mine == NULL)
		return;
	end = &mine->end;
	end->ended_at = record->ended_at;
	end->duration_ms = record->duration_ms;
	end->outcome = record->outcome;
	end->sqlstate = record->sqlstate;
	end->rows = record->rows;
	pg_write_barrier();
	pg_atomic_write_u64(&end->sequence, (uint64) record->sequence);
}


bool
perfkit_slot_read(PerfkitSlot *slot, PerfkitSlotView *out)
{
	out->serial = serial_of(pg_atomic_read_u64(&slot->claim));
	if ((out->serial & 1) == 0)
		return false;
	pg_read_barrier();
	out->statement = slot->statement;
	out->session = slot->session;
	pg_read_barrier();

	/* The backend may have died without leaving. */
	return perfkit_slot_same(slot, out) &&
		   GetPGProcByNumber((int) ((PaddedSlot *) slot - slots))->pid == out->session.pid;
}


bool
perfkit_slot_same(PerfkitSlot *slot, const PerfkitSlotView *view)
{
	return serial_of(pg_atomic_read_u64(&slot->claim)) == view->serial;
}


bool
perfkit_slot_holds(PerfkitSlot *slot, uint64 sequence)
{
	uint64 claim = pg_atomic_read_u64(&slot->claim);
	PerfkitSlotView view;

	return (claim & NUMBER_MASK) == sequence && perfkit_slot_read(slot, &view);
}
