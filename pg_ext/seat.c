/*-------------------------------------------------------------------------
 * seat.c
 *	  The seats' states.
 *
 * E1  Nobody waits for a seat inside: who finds none goes on, and is woken.  Those
 *     databases take turns: one that always has more to refresh does not keep
 *     the seat that it has just given back from one that waits longer.
 * E2  A worker leaves its seat in every way a process can end; after the one it
 *     cannot notice (SIGKILL) shared memory begins anew.
 * E3  A seat that nobody comes for is given up after five minutes: a result whose
 *     scheduler is gone or held up, an order whose worker or scheduler ended
 *     before it began.  At once when its database has lost the extension.  So
 *     who comes back to a seat asks first whether it is still the same use of it.
 *-------------------------------------------------------------------------
 */
#include "seat.h"

#include <signal.h>

#include "execution.h"
#include "guc.h"
#include "miscadmin.h"
#include "schedule.h"
#include "shmem.h"
#include "storage/ipc.h"

/* Longer than any pause of a scheduler. */
#define GIVEN_UP_US (5 * USECS_PER_MINUTE)

/* A free seat waits so long for the one whose turn it is; it may have gone, or be busy. */
#define PATIENCE_NS INT64CONST(1000000000)

typedef struct Seats
{
	int n;
	bool wanted; /* somebody has found none */
	uint64 last_turn;
	int64 freed_ns; /* when one was, last */
	uint64 last_token;
	PerfkitSeat seats[FLEXIBLE_ARRAY_MEMBER];
} Seats;

static Seats *seats = NULL;
static bool may_have_turn = true; /* this process, or the one before it, waits for a seat */


Size
perfkit_seat_memory(void)
{
	return CACHELINEALIGN(add_size(offsetof(Seats, seats),
								   mul_size(perfkit_max_refresh_workers, sizeof(PerfkitSeat))));
}


void
perfkit_seat_init(void *memory)
{
	seats = memory;
	memset(seats, 0, perfkit_seat_memory());
	seats->n = perfkit_max_refresh_workers;
}


/* Lock held. */
static void
set_state(PerfkitSeat *seat, PerfkitSeatState state)
{
	seat->state = state;
	seat->since = perfkit_schedule_clock();
}


static void
wake_worker(Oid database)
{
	PerfkitDatabase *db = perfkit_shmem_find(database);

	if (db != NULL && db->worker_latch != NULL)
		SetLatch(db->worker_latch);
}


/* Lock held: a seat is free now; the schedulers of all databases may try again. */
static void
wake_who_want(void)
{
	seats->freed_ns = perfkit_clock_ns();
	if (!seats->wanted)
		return;
	seats->wanted = false;
	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];

		if (OidIsValid(pg_atomic_read_u32(&db->database)) && db->worker_latch != NULL)
			SetLatch(db->worker_latch);
	}
}


/* Lock held.  E3 */
static bool
given_up(const PerfkitSeat *seat)
{
	return (seat->state == PERFKIT_SEAT_DONE || seat->state == PERFKIT_SEAT_RESERVED) &&
		   perfkit_schedule_clock() - seat->since > GIVEN_UP_US;
}


/* What there is to tell of a run that does not come to begin. */
static void
forget_result(PerfkitRefreshResult *r)
{
	memset(r, 0, sizeof(*r));
	r->status = PERFKIT_RUN_FAILED;
	r->waited_ms = -1;
	r->rows = r->inserted = r->deleted = r->wal_bytes = r->temp_bytes = r->changes = -1;
	strlcpy(r->message, "the background worker ended before it could begin: see the server log",
			sizeof(r->message));
}


/* Lock held: one that is free, if as many are as there are databases that have waited longer. */
static PerfkitSeat *
free_seat(const PerfkitDatabase *mine)
{
	bool patient = perfkit_clock_ns() - seats->freed_ns < PATIENCE_NS;
	int ahead = 0;
	PerfkitSeat *seat = NULL;

	for (int i = 0; i < perfkit_shared->n_databases && patient; i++)
	{
		const PerfkitDatabase *other = &perfkit_shared->databases[i];

		if (other != mine && other->seat_turn != 0 && other->worker_pid != 0 &&
			(mine->seat_turn == 0 || other->seat_turn < mine->seat_turn))
			ahead++;
	}
	for (int i = 0; i < seats->n && seat == NULL; i++)
	{
		if (seats->seats[i].state != PERFKIT_SEAT_FREE && !given_up(&seats->seats[i]))
			continue;
		if (ahead-- == 0)
			seat = &seats->seats[i];
	}
	return seat;
}


PerfkitSeat *
perfkit_seat_reserve(const PerfkitRefreshOrder *order)
{
	PerfkitSeat *seat = NULL;
	PerfkitDatabase *mine;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	mine = perfkit_shmem_find(MyDatabaseId);
	if (mine != NULL)
		seat = free_seat(mine);
	if (seat != NULL)
	{
		memset(seat, 0, sizeof(*seat));
		seat->database = MyDatabaseId;
		seat->order = *order;
		seat->token = ++seats->last_token;
		forget_result(&seat->result);
		set_state(seat, PERFKIT_SEAT_RESERVED);
		mine->seat_turn = 0;
	}
	else
	{
		seats->wanted = true;
		may_have_turn = true;
		if (mine != NULL && mine->seat_turn == 0)
			mine->seat_turn = ++seats->last_turn;
	}
	LWLockRelease(perfkit_shared->lock);
	return seat;
}


void
perfkit_seat_pass(void)
{
	PerfkitDatabase *mine;

	if (!may_have_turn)
		return;
	may_have_turn = false;
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	mine = perfkit_shmem_find(MyDatabaseId);
	if (mine != NULL)
		mine->seat_turn = 0;
	LWLockRelease(perfkit_shared->lock);
}


PerfkitSeat *
perfkit_seat_find(int64 run_id)
{
	PerfkitSeat *found = NULL;

	LWLockAcquire(perfkit_shared->lock, LW_SHARED);
	for (int i = 0; i < seats->n; i++)
	{
		PerfkitSeat *seat = &seats->seats[i];

		if (seat->state != PERFKIT_SEAT_FREE && seat->database == MyDatabaseId &&
			seat->order.run_id == run_id)
			found = seat;
	}
	LWLockRelease(perfkit_shared->lock);
	return found;
}


bool
perfkit_seat_keep(PerfkitSeat *seat, uint64 token)
{
	bool ours;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	ours = seat->state != PERFKIT_SEAT_FREE && seat->token == token;
	if (ours && (seat->state == PERFKIT_SEAT_DONE || given_up(seat)))
		set_state(seat, PERFKIT_SEAT_DONE);
	LWLockRelease(perfkit_shared->lock);
	return ours;
}


void
perfkit_seat_free(PerfkitSeat *seat)
{
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	set_state(seat, PERFKIT_SEAT_FREE);
	wake_who_want();
	LWLockRelease(perfkit_shared->lock);
}


int
perfkit_seat_number(const PerfkitSeat *seat)
{
	return (int) (seat - seats->seats);
}


PerfkitSeat *
perfkit_seat_by_number(int number)
{
	return number >= 0 && number < seats->n ? &seats->seats[number] : NULL;
}


/* Lock held.  True when there is somebody to wait for. */
static bool
send_signal(PerfkitSeat *seat, int number)
{
	if (seat->state == PERFKIT_SEAT_RESERVED)
		set_state(seat, PERFKIT_SEAT_DONE);
	if (seat->state != PERFKIT_SEAT_TAKEN)
		return false;
	kill(seat->pid, number);
	return true;
}


bool
perfkit_seat_signal(PerfkitSeat *seat, int number)
{
	bool there;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	there = send_signal(seat, number);
	LWLockRelease(perfkit_shared->lock);
	return there;
}


bool
perfkit_seat_signal_all(Oid database, int number)
{
	bool there = false;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < seats->n; i++)
	{
		if (seats->seats[i].state != PERFKIT_SEAT_FREE && seats->seats[i].database == database)
			there |= send_signal(&seats->seats[i], number);
	}
	LWLockRelease(perfkit_shared->lock);
	return there;
}


/* E2 */
static void
leave(int code, Datum number)
{
	PerfkitSeat *seat = &seats->seats[DatumGetInt32(number)];
	PerfkitDatabase *db;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	db = perfkit_shmem_find(seat->database);
	if (db == NULL || db->dropped)
	{
		set_state(seat, PERFKIT_SEAT_FREE);
		wake_who_want();
	}
	else
		set_state(seat, PERFKIT_SEAT_DONE);
	LWLockRelease(perfkit_shared->lock);
	wake_worker(seat->database);
}


bool
perfkit_seat_take(PerfkitSeat *seat, uint64 token)
{
	bool mine;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	mine = seat->state == PERFKIT_SEAT_RESERVED && seat->token == token;
	if (mine)
	{
		seat->pid = MyProcPid;
		set_state(seat, PERFKIT_SEAT_TAKEN);
	}
	LWLockRelease(perfkit_shared->lock);
	if (mine)
		before_shmem_exit(leave, Int32GetDatum(perfkit_seat_number(seat)));
	return mine;
}
