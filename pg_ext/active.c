/*-------------------------------------------------------------------------
 * active.c
 *	  perfkit._active(): the statements that run now, past the threshold of
 *	  their sessions; behind view active_queries.
 *
 * From the slots in shared memory, so it answers on a standby and while the
 * worker is away.  The text is what pg_stat_activity has, without passwords;
 * who may not see it there does not see it here, nor the plan.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "address.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "execution.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "planshare.h"
#include "redact.h"
#include "row.h"
#include "running.h"
#include "storage/proc.h"
#include "tcop/cmdtag.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define N_COLUMNS 19

PG_FUNCTION_INFO_V1(perfkit_active);

typedef struct Found
{
	int index; /* of the slot */
	PerfkitSlotView view;
} Found;

/* One row on its way. */
typedef struct Cells
{
	int n;
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS];
} Cells;


static void
put(Cells *cells, Datum value, bool null)
{
	cells->values[cells->n] = value;
	cells->nulls[cells->n++] = null;
}


static void
put_text(Cells *cells, const char *text)
{
	bool null = text == NULL || text[0] == '\0';

	put(cells, null ? (Datum) 0 : CStringGetTextDatum(text), null);
}


/* As pg_stat_activity has it. */
static bool
may_see(const PgBackendStatus *status)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		   has_privs_of_role(GetUserId(), status->st_userid);
}


static char *
redacted(const PerfkitSlotView *v, const PgBackendStatus *status)
{
	char *activity = pgstat_clip_activity(status->st_activity_raw);
	int length;
	bool cut;
	const char *text = perfkit_running_text(v, activity, &length, &cut);
	Size room = 4 * (Size) length + 64;
	PerfkitRedaction redaction = {.out = palloc(room + 1), .size = room};

	perfkit_redact(&redaction, text, length);
	redaction.out[redaction.length] = '\0';
	return redaction.out;
}


static void
put_client(Cells *cells, const PerfkitSlotView *v, const PgBackendStatus *status)
{
	char host[NI_MAXHOST];
	int port = perfkit_address_text(&status->st_clientaddr, host, sizeof(host));

	put_text(cells, host);
	put(cells, Int32GetDatum(port), port < 0);
	put_text(cells, status->st_appname);
	put_text(cells,
			 v->statement.tag != CMDTAG_UNKNOWN ? GetCommandTagName(v->statement.tag) : NULL);
	put_text(cells, redacted(v, status));
}


static void
put_waits(Cells *cells, const Found *f)
{
	const PerfkitSlot *slot = perfkit_slot_at(f->index);
	uint32 event = *(volatile uint32 *) &GetPGProcByNumber(f->index)->wait_event_info;
	bool own = slot->waits_serial == f->view.serial;
	Datum waits = own ? perfkit_row_waits(slot->waits) : (Datum) 0;

	put_text(cells, pgstat_get_wait_event_type(event));
	put_text(cells, pgstat_get_wait_event(event));
	put(cells, waits, waits == (Datum) 0);
	put(cells, Int32GetDatum(slot->blocking_pid), !own || slot->blocking_pid == 0);
}


/* What it has found out of its plan so far, if that is expensive. */
static void
put_plan(Cells *cells, const Found *f)
{
	PerfkitPlanShown plan = {0};
	bool none = !perfkit_planshare_read(f->index, f->view.serial, &plan);

	put(cells, Int64GetDatum(plan.plan_id), none || plan.plan_id == 0);
	put(cells, none ? (Datum) 0 : perfkit_row_plan(plan.text, plan.length), none);
	put_text(cells, perfkit_plan_kind_name(plan.kind));
}


/* What the server knows of a backend that runs something; NULL if it does not. */
static const PgBackendStatus *
find_status(int pid)
{
	int n = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = PERFKIT_BACKEND_STATUS(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_state == STATE_RUNNING ||
						   local->backendStatus.st_state == STATE_FASTPATH
					   ? &local->backendStatus
					   : NULL;
	}
	return NULL;
}


/* False when it does not run any more. */
static bool
fill(Cells *cells, const Found *f, int64 now_ns)
{
	const PerfkitSlotView *v = &f->view;
	PerfkitSlot *slot = perfkit_slot_at(f->index);
	const PgBackendStatus *status = find_status(v->session.pid);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz started_at = perfkit_running_started_at(v, now, now_ns);
	uint64 number = perfkit_slot_row(slot, v->serial);

	if (status == NULL || !perfkit_slot_same(slot, v))
		return false;
	cells->n = 0;
	put(cells, Int32GetDatum(v->session.pid), false);
	put(cells, TimestampTzGetDatum(started_at), false);
	put(cells, Float8GetDatum((now - started_at) / 1000.0), false);
	put(cells, Int64GetDatum(v->statement.queryid), v->statement.queryid == 0);
	put(cells, Int32GetDatum(slot->depth), false);
	put(cells, ObjectIdGetDatum(v->statement.userid), false);
	put(cells, Int64GetDatum(perfkit_shared->boot + (int64) number), number == 0);
	if (may_see(status))
	{
		put_client(cells, v, status);
		put_waits(cells, f);
		put_plan(cells, f);
		return true;
	}
	for (int i = 0; i < 4; i++)
		put(cells, (Datum) 0, true);
	put_text(cells, "<insufficient privilege>");
	while (cells->n < N_COLUMNS)
		put(cells, (Datum) 0, true);
	return true;
}


/* perfkit._active(): one row a running statement. */
Datum
perfkit_active(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64 now_ns = perfkit_clock_ns();
	Found *found = NULL;
	int n = 0;

	perfkit_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	found = palloc(perfkit_slot_count() * sizeof(Found));
	for (int i = 0; i < perfkit_slot_count(); i++)
	{
		Found *f = &found[n];

		f->index = i;
		if (perfkit_slot_read(perfkit_slot_at(i), &f->view) &&
			f->view.session.database == MyDatabaseId && perfkit_running_slow(&f->view, now_ns))
			n++;
	}

	/* Texts are read after the slots: what has the same serial afterwards is the same statement. */
	pgstat_clear_backend_activity_snapshot();
	for (int i = 0; i < n; i++)
	{
		Cells cells;

		if (fill(&cells, &found[i], now_ns))
			tuplestore_putvalues(result->setResult, result->setDesc, cells.values, cells.nulls);
	}
	return (Datum) 0;
}
