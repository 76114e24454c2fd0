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
	mine->statement.pid = MyProcPid;
	mine->statement.database = MyDatabaseId;
	return true;
}


uint32
perfkit_slot_enter(const PerfkitExecution *e)
{
	PerfkitSlotStatement *s;
	uint64 known = 0;

	if (mine == NULL && !take_over())
		return 0;
	if (unlikely(perfkit_selection_excluding) &&
		perfkit_selection_excluded(application_name, e->queryid))
		return 0;
	if (my_serial & 1)
	{
		/* An error has left it behind. */
		my_serial = next(my_serial);
		pg_atomic_write_u64(&mine->claim, (uint64) my_serial << SERIAL_SHIFT);
		pg_write_barrier();
	}
	s = &mine->statement;
	s->userid = e->userid;
	s->threshold_ms = perfkit_slow_query_threshold;
	s->track_waits = perfkit_track_waits;
	s->first = e->first;
	s->tag = (int) e->tag;
	s->location = e->source == debug_query_string ? e->location : -1;
	s->length = e->length;
	s->queryid = e->queryid;
	s->begin_ns = e->begin_ns;
	s->message = e->message;
	mine->depth = 0;

	/* A portal that goes on after a pause keeps its row. */
	if (e->id != 0)
		known = (uint64) (e->id - perfkit_shared->boot) | (e->persisted ? PERSISTED : 0);
	pg_write_barrier();
	my_serial = next(my_serial);
	pg_atomic_write_u64(&mine->claim, (uint64) my_serial << SERIAL_SHIFT | known);
	return my_serial;
}


/* Adds what the worker saw to what was seen before a pause. */
static void
take_waits(PerfkitExecution *e)
{
	if (mine->blocking_pid != 0)
		e->blocking_pid = mine->blocking_pid;
	for (int i = 0; i < PERFKIT_MAX_WAITS && mine->waits[i].ms > 0; i++)
		perfkit_wait_add(e->waits, mine->waits[i].event, mine->waits[i].ms);
}


PerfkitSlotFound
perfkit_slot_leave(PerfkitExecution *e)
{
	PerfkitSlotFound found = {0, false};
	uint32 serial = e->serial;
	uint64 old;

	e->serial = 0;
	if (serial != my_serial)
		return found;
	my_serial = next(my_serial);
	old = pg_atomic_exchange_u64(&mine->claim, (uint64) my_serial << SERIAL_SHIFT);
	found.sequence = old & NUMBER_MASK;
	found.persisted = (old & PERSISTED) != 0;
	if (mine->waits_serial == serial)
		take_waits(e);
	return found;
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


uint32
perfkit_slot_read(PerfkitSlot *slot, PerfkitSlotStatement *out)
{
	uint32 serial = serial_of(pg_atomic_read_u64(&slot->claim));

	if ((serial & 1) == 0)
		return 0;
	pg_read_barrier();
	*out = slot->statement;
	pg_read_barrier();
	if (serial_of(pg_atomic_read_u64(&slot->claim)) != serial)
		return 0;

	/* The backend may have died without leaving. */
	return GetPGProcByNumber((int) ((PaddedSlot *) slot - slots))->pid == out->pid ? serial : 0;
}


bool
perfkit_slot_holds(PerfkitSlot *slot, uint64 sequence)
{
	uint64 claim = pg_atomic_read_u64(&slot->claim);
	PerfkitSlotStatement statement;

	return (claim & NUMBER_MASK) == sequence && perfkit_slot_read(slot, &statement) != 0;
}
