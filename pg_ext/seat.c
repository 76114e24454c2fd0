/*-------------------------------------------------------------------------
 * seat.c
 *	  The seats' states.
 *
 * E1  Nobody waits for a seat inside: who finds none goes on, and is woken.
 * E2  A worker leaves its seat in every way a process can end; after the one it
 *     cannot notice (SIGKILL) shared memory begins anew.
 * E3  A result that no scheduler has fetched is given up after a minute, or at
 *     once when its database has lost the extension.
 *-------------------------------------------------------------------------
 */
#include "seat.h"

#include <signal.h>

#include "guc.h"
#include "miscadmin.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#define UNFETCHED_MS (60 * 1000)

typedef struct Seats
{
	int n;
	bool wanted; /* somebody has found none */
	uint64 last_token;
	PerfkitSeat seats[FLEXIBLE_ARRAY_MEMBER];
} Seats;

static Seats *seats = NULL;


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
	seat->since = GetCurrentTimestamp();
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


/* Lock held. */
static bool
usable(const PerfkitSeat *seat, TimestampTz now)
{
	if (seat->state == PERFKIT_SEAT_DONE)
		return TimestampDifferenceExceeds(seat->since, now, UNFETCHED_MS); /* E3 */
	return seat->state == PERFKIT_SEAT_FREE;
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


PerfkitSeat *
perfkit_seat_reserve(const PerfkitRefreshOrder *order)
{
	TimestampTz now = GetCurrentTimestamp();
	PerfkitSeat *seat = NULL;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < seats->n && seat == NULL; i++)
	{
		if (usable(&seats->seats[i], now))
			seat = &seats->seats[i];
	}
	if (seat != NULL)
	{
		memset(seat, 0, sizeof(*seat));
		seat->database = MyDatabaseId;
		seat->order = *order;
		seat->token = ++seats->last_token;
		forget_result(&seat->result);
		set_state(seat, PERFKIT_SEAT_RESERVED);
	}
	else
		seats->wanted = true;
	LWLockRelease(perfkit_shared->lock);
	return seat;
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
