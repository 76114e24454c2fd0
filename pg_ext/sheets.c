/*-------------------------------------------------------------------------
 * sheets.c
 *	  Whose sheets are whose, and how they get into the table.
 *-------------------------------------------------------------------------
 */
#include "sheets.h"

#include "compat.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "totals.h"
#include "utils/timestamp.h"

/* How often, and for how many microseconds, a patient caller waits for owners. */
#define PATIENCE 200
#define NAP_US 500

typedef struct Desk
{
	pg_atomic_uint32 database; /* of the backend; InvalidOid: nobody's */
	PerfkitSheet sheets[PERFKIT_SHEETS];
} Desk;

/* Backends write on their desks all the time: no two share a cache line. */
typedef union PaddedDesk
{
	Desk desk;
	char pad[TYPEALIGN(PG_CACHE_LINE_SIZE, sizeof(Desk))];
} PaddedDesk;

static PaddedDesk *desks = NULL;
static Desk *mine = NULL;


Size
perfkit_sheets_memory(void)
{
	return mul_size(MaxBackends, sizeof(PaddedDesk));
}


void
perfkit_sheets_init(void *memory)
{
	desks = memory;
}


/* Empties a place; what is on it goes to the table unless it is to be discarded. */
static void
clear_place(PerfkitSheet *sheet, int i, Oid database, const PerfkitStatementFilter *discard)
{
	PerfkitPlace *place = &sheet->places[i];
	PerfkitStatementKey key = {
		.queryid = sheet->queryids[i],
		.database = database,
		.userid = place->userid,
		.toplevel = place->toplevel,
	};

	if (discard == NULL || !perfkit_statement_matches(discard, &key))
	{
		perfkit_statements_table_merge(perfkit_statements_table_find(&key, GetCurrentTimestamp()),
									   &place->tally, place->counts);
		if (key.toplevel)
			perfkit_totals_add(database, &place->tally, place->counts);
	}
	memset(place, 0, sizeof(*place));
	sheet->queryids[i] = 0;
}


/* Empties the sheets of a desk, the table's lock held; false when one is in use. */
static bool
clear_desk(Desk *desk, const PerfkitStatementFilter *discard)
{
	Oid database = pg_atomic_read_u32(&desk->database);
	bool all = true;

	for (int n = 0; n < PERFKIT_SHEETS; n++)
	{
		PerfkitSheet *sheet = &desk->sheets[n];

		if (sheet->used == 0)
			continue;
		if (!perfkit_sheet_claim(sheet))
		{
			all = false;
			continue;
		}
		for (int i = 0; i < PERFKIT_SHEET_PLACES; i++)
		{
			if (sheet->queryids[i] != 0)
				clear_place(sheet, i, database, discard);
		}
		sheet->used = 0;
		perfkit_sheet_let_go(sheet);
		pg_atomic_fetch_add_u64(&perfkit_statement_numbers->merges, 1);
	}
	return all;
}


bool
perfkit_sheets_lock_table(void)
{
	if (LWLockHeldByMe(perfkit_statements_lock))
		return false;
	if (!LWLockConditionalAcquire(perfkit_statements_lock, LW_EXCLUSIVE))
	{
		pg_atomic_fetch_add_u64(&perfkit_statement_numbers->lock_waits, 1);
		LWLockAcquire(perfkit_statements_lock, LW_EXCLUSIVE);
	}
	return true;
}


/* The backend exits: what it has counted goes to the table, and its desk to the next one. */
static void
leave(int code, Datum arg)
{
	(void) perfkit_sheets_lock_table();
	(void) clear_desk(mine, NULL);
	pg_atomic_write_u32(&mine->database, InvalidOid);
	LWLockRelease(perfkit_statements_lock);
	mine = NULL;
}


PerfkitSheet *
perfkit_sheets_mine(void)
{
	int number = MyProc != NULL ? PERFKIT_MY_PROC_NUMBER : -1;

	if (mine != NULL)
		return mine->sheets;
	if (number < 0 || number >= MaxBackends || proc_exit_inprogress)
		return NULL;
	mine = &desks[number].desk;
	pg_atomic_write_u32(&mine->database, MyDatabaseId);

	/* Behind before_shmem_exit(), where a statement that a FATAL has ended is counted. */
	on_shmem_exit(leave, (Datum) 0);
	return mine->sheets;
}


bool
perfkit_sheets_make_room(void)
{
	if (mine == NULL || !perfkit_sheets_lock_table())
		return false;
	pg_atomic_fetch_add_u64(&perfkit_statement_numbers->merges_by_need, 1);
	(void) clear_desk(mine, NULL);
	LWLockRelease(perfkit_statements_lock);
	return true;
}


static bool
has_counts(Desk *desk, Oid database)
{
	return pg_atomic_read_u32(&desk->database) == database &&
		   (desk->sheets[0].used > 0 || desk->sheets[1].used > 0);
}


void
perfkit_sheets_merge(Oid database, bool patient)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		Desk *desk = &desks[i].desk;
		int tries = patient ? PATIENCE : 1;
		bool done = !has_counts(desk, database);

		while (!done && tries-- > 0)
		{
			LWLockAcquire(perfkit_statements_lock, LW_EXCLUSIVE);

			/* Under the lock, for the desk may have got another owner. */
			done = !has_counts(desk, database) || clear_desk(desk, NULL);
			LWLockRelease(perfkit_statements_lock);
			if (!done && tries > 0)
				pg_usleep(NAP_US);
		}
	}
}


/* Lock held; false when some sheets were in use. */
static bool
clear_all(const PerfkitStatementFilter *discard)
{
	bool all = true;

	for (int i = 0; i < MaxBackends; i++)
	{
		Desk *desk = &desks[i].desk;

		if (has_counts(desk, discard->database))
			all &= clear_desk(desk, discard);
	}
	return all;
}


void
perfkit_sheets_reset(const PerfkitStatementFilter *filter)
{
	bool done = false;

	for (int tries = PATIENCE; !done && tries > 0; tries--)
	{
		LWLockAcquire(perfkit_statements_lock, LW_EXCLUSIVE);
		done = clear_all(filter);
		if (done || tries == 1)
			perfkit_statements_table_remove(filter);
		LWLockRelease(perfkit_statements_lock);
		if (!done)
			pg_usleep(NAP_US);
	}
}
