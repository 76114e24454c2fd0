/*-------------------------------------------------------------------------
 * handsoff.c
 *	  Marks of databases that must be left alone, each with the pid that set it.
 *
 * A mark goes with the transaction that set it; one whose backend has vanished
 * is taken away by whoever reads it.
 *-------------------------------------------------------------------------
 */
#include "handsoff.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "seat.h"
#include "shmem.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#define WAIT_STEP_MS 10
#define WAIT_STEPS 500

static bool marked = false; /* by this backend, or it has tried */


static const char *
option_value(List *options, const char *name)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0)
			return option->arg != NULL ? defGetString(option) : NULL;
	}
	return NULL;
}


/* The database the statement wants for itself, or NULL. */
static const char *
wanted_database(Node *node)
{
	switch (nodeTag(node))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) node)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) node)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) node)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			if (option_value(((AlterDatabaseStmt *) node)->options, "tablespace") != NULL)
				return ((AlterDatabaseStmt *) node)->dbname;
			return NULL;
		case T_CreatedbStmt:
			return option_value(((CreatedbStmt *) node)->options, "template");
		default:
			return NULL;
	}
}


static void
mark(Oid database)
{
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PERFKIT_MAX_HANDS_OFF; i++)
	{
		PerfkitHandsOff *h = &perfkit_shared->hands_off[i];

		if (OidIsValid(h->database) && BackendPidGetProc(h->pid) != NULL)
			continue;
		h->database = database;
		h->pid = MyProcPid;
		break;
	}
	LWLockRelease(perfkit_shared->lock);
}


/* Asks the worker, and those that refresh, to go; true while one is still there. */
static bool
send_away(Oid database)
{
	PerfkitDatabase *db;
	int pid = 0;

	LWLockAcquire(perfkit_shared->lock, LW_SHARED);
	db = perfkit_shmem_find(database);
	if (db != NULL)
		pid = db->worker_pid;
	if (pid != 0)
		kill(pid, SIGTERM);
	LWLockRelease(perfkit_shared->lock);
	return perfkit_seat_signal_all(database, SIGTERM) || pid != 0;
}


Oid
perfkit_handsoff_begin(Node *statement)
{
	const char *name = wanted_database(statement);
	Oid database = name != NULL ? get_database_oid(name, true) : InvalidOid;

	if (!OidIsValid(database) || !PERFKIT_OWNS_DATABASE(database, GetUserId()))
		return InvalidOid;
	marked = true;
	mark(database);
	return database;
}


void
perfkit_handsoff_wait(Oid database)
{
	for (int i = 0; i < WAIT_STEPS && send_away(database); i++)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_STEP_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}


void
perfkit_handsoff_end(void)
{
	if (!marked)
		return;
	marked = false;
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PERFKIT_MAX_HANDS_OFF; i++)
	{
		if (perfkit_shared->hands_off[i].pid == MyProcPid)
			perfkit_shared->hands_off[i].database = InvalidOid;
	}
	LWLockRelease(perfkit_shared->lock);

	/* The database may be gone, or have another name: look before starting anything there. */
	pg_atomic_write_u32(&perfkit_shared->rescan, 1);
	perfkit_shmem_wake_launcher();
}


bool
perfkit_handsoff_stands(Oid database)
{
	bool stands = false;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PERFKIT_MAX_HANDS_OFF; i++)
	{
		PerfkitHandsOff *h = &perfkit_shared->hands_off[i];

		if (h->database != database)
			continue;
		if (BackendPidGetProc(h->pid) != NULL)
			stands = true;
		else
			h->database = InvalidOid;
	}
	LWLockRelease(perfkit_shared->lock);
	return stands;
}
