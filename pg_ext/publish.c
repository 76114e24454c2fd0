/*-------------------------------------------------------------------------
 * publish.c
 *	  What is worth a row, and how it gets into the ring.
 *
 *	  slow or failed? -> within the rate? -> fill the backend's record -> ring
 *
 * Runs at the end of a statement, in healthy, aborting and exiting backends
 * alike: no palloc, no catalog, no ereport, and no lock that is waited for.
 *-------------------------------------------------------------------------
 */
#include "publish.h"

#include "access/xlog.h"
#include "address.h"
#include "common/ip.h"
#include "content.h"
#include "guc.h"
#include "redact.h"
#include "miscadmin.h"
#include "source.h"
#include "selection.h"
#include "standby.h"
#include "statements.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define NS_PER_MILLISECOND 1000000.0

/* The ring is emptied every flush_interval; a worker is woken earlier when it is this full. */
#define WAKE_AT(ring) ((ring)->size / 2)


/* Numeric address and port of the client, found out once. */
static const char *
client_address(int *port)
{
	static char host[NI_MAXHOST] = "";
	static int client_port = -1;
	static bool known = false;

	if (!known && MyProcPort != NULL)
		client_port = perfkit_address_text(&MyProcPort->raddr, host, sizeof(host));
	known = true;
	*port = client_port;
	return host;
}


static void
fill_usage(PerfkitUsage *to, const BufferUsage *b, const WalUsage *w)
{
	to->shared_blks[0] = b->shared_blks_hit;
	to->shared_blks[1] = b->shared_blks_read;
	to->shared_blks[2] = b->shared_blks_dirtied;
	to->shared_blks[3] = b->shared_blks_written;
	to->local_blks[0] = b->local_blks_hit;
	to->local_blks[1] = b->local_blks_read;
	to->local_blks[2] = b->local_blks_dirtied;
	to->local_blks[3] = b->local_blks_written;
	to->temp_blks[0] = b->temp_blks_read;
	to->temp_blks[1] = b->temp_blks_written;
	to->shared_blk_times[0] = INSTR_TIME_GET_MILLISEC(PERFKIT_SHARED_READ_TIME(b));
	to->shared_blk_times[1] = INSTR_TIME_GET_MILLISEC(PERFKIT_SHARED_WRITE_TIME(b));
	to->local_blk_times[0] = INSTR_TIME_GET_MILLISEC(PERFKIT_LOCAL_READ_TIME(b));
	to->local_blk_times[1] = INSTR_TIME_GET_MILLISEC(PERFKIT_LOCAL_WRITE_TIME(b));
	to->temp_blk_times[0] = INSTR_TIME_GET_MILLISEC(b->temp_blk_read_time);
	to->temp_blk_times[1] = INSTR_TIME_GET_MILLISEC(b->temp_blk_write_time);
	to->wal_records = w->wal_records;
	to->wal_fpi = w->wal_fpi;
	to->wal_bytes = (int64) w->wal_bytes;
	to->wal_buffers_full = PERFKIT_WAL_BUFFERS_FULL(w);
}


/* Durations and the two wall-clock times, which no hot path has read. */
static void
fill_times(PerfkitRecord *record, const PerfkitExecution *e)
{
	TimestampTz wall = GetCurrentTimestamp();
	int64 now_ns = perfkit_clock_ns();
	int64 spent_ns = perfkit_publish_spent_ns(e);
	int64 end_ns = e->end_ns + Max(e->commit_ns, 0);

	record->started_at = wall - (now_ns - e->begin_ns) / 1000;
	record->ended_at = wall - (now_ns - end_ns) / 1000;
	if (e->first && e->message < record->started_at)
	{
		/* In a simple Query everything since the message came is ours: its parsing. */
		if (e->simple)
			spent_ns += (record->started_at - e->message) * 1000;
		record->started_at = e->message;
	}
	record->duration_ms = spent_ns / NS_PER_MILLISECOND;
	record->planning_ms = e->planning_ns < 0 ? -1 : e->planning_ns / NS_PER_MILLISECOND;
	record->execution_ms = e->active_ns < 0 ? -1 : e->active_ns / NS_PER_MILLISECOND;
	record->commit_ms = e->commit_ns < 0 ? -1 : e->commit_ns / NS_PER_MILLISECOND;
}


static void
fill_fixed(PerfkitRecord *record, PerfkitExecution *e, const PerfkitFailure *failure)
{
	fill_times(record, e);
	if (e->has_usage)
		fill_usage(&record->usage, &e->buffers, &e->wal);
	if (e->has_jit)
		record->jit = e->jit;
	record->cpu_user_ms = e->has_cpu ? e->cpu_ms[0] : -1;
	record->cpu_sys_ms = e->has_cpu ? e->cpu_ms[1] : -1;
	record->blocking_pid = e->blocking_pid;
	if (e->has_waits)
		memcpy(record->waits, e->waits, sizeof(record->waits));
	record->replaces = e->persisted;
	record->jit_deform = PERFKIT_HAS_JIT_DEFORM;
	record->io_timing = track_io_timing;
	record->local_io_timing = track_io_timing && PERFKIT_HAS_LOCAL_TIMES;
	record->database = MyDatabaseId;
	record->userid = e->userid;
	record->pid = MyProcPid;
	record->boot = perfkit_shared->boot;
	record->id = perfkit_execution_id(e);
	record->sequence = record->id - record->boot;
	record->parent_id = e->parent != NULL ? perfkit_execution_id(e->parent) : 0;
	record->queryid = e->queryid;
	record->rows = e->rows;
	record->nesting_level = e->level;
	record->workers_planned = e->workers_planned;
	record->workers_launched = e->workers_launched;
	record->outcome = failure != NULL ? failure->outcome : PERFKIT_OK;
	record->sqlstate = failure != NULL ? failure->sqlstate : 0;
}


static void
add_text(PerfkitRecord *record, PerfkitText which, const char *text)
{
	perfkit_record_add(record, which, text, text != NULL ? strlen(text) : 0);
}


/* The statement alone, out of the string it came in; NULL when there is none. */
static const char *
statement_text(const PerfkitExecution *e, int *length)
{
	*length = 0;
	return e->source != NULL ? perfkit_source_statement(e->source, e->location, e->length, length)
							 : NULL;
}


static bool
suspects(const char *text)
{
	return text != NULL && perfkit_secret_suspects(text, strlen(text));
}


/* The parser quotes what it does not understand: beside the word PASSWORD that may be one. */
static void
add_message(PerfkitRecord *record, const PerfkitExecution *e, const PerfkitFailure *failure)
{
	Size length;

	if (failure == NULL || failure->message == NULL)
		return;
	length = strlen(failure->message);
	if (failure->quotes && (suspects(e->source) || suspects(failure->internal)))
	{
		const char *quote = strchr(failure->message, '"');

		if (quote != NULL)
			length = quote - failure->message;
	}
	perfkit_record_add_message(record, failure->message, length);
}


static void
truncated(PerfkitDatabase *db, PerfkitRecord *record, PerfkitTruncated what, PerfkitCounter counter)
{
	record->truncated |= what;
	perfkit_count(db, counter, 1);
}


static void
fill_content(PerfkitDatabase *db, PerfkitRecord *record, const PerfkitContent *content)
{
	record->plan_id = content->plan_id;
	record->has_parameters = content->has_parameters;
	perfkit_record_add(record, PERFKIT_TEXT_PARAMETERS, content->parameters,
					   content->parameters_length);
	if (content->parameters_cut)
		truncated(db, record, PERFKIT_CUT_PARAMETERS, PERFKIT_TRUNCATED_PARAMETERS);
	perfkit_record_add(record, PERFKIT_TEXT_PLAN, content->plan, content->plan_length);
	if (record->text_length[PERFKIT_TEXT_PLAN] > 0)
		record->plan_kind = content->plan_kind;
	if (content->plan_cut || record->text_length[PERFKIT_TEXT_PLAN] < content->plan_length)
		truncated(db, record, PERFKIT_CUT_PLAN, PERFKIT_TRUNCATED_PLAN);
}


static void
fill_texts(PerfkitDatabase *db, PerfkitRecord *record, PerfkitExecution *e,
		   const PerfkitFailure *failure)
{
	bool own = MyProcPort != NULL && e->userid == GetAuthenticatedUserId();
	bool unparsed = failure != NULL && failure->unparsed;
	int length;
	const char *query = statement_text(e, &length);
	bool cut;

	add_text(record, PERFKIT_TEXT_USERNAME, own ? MyProcPort->user_name : NULL);
	add_text(record, PERFKIT_TEXT_CLIENT_ADDR, client_address(&record->client_port));
	add_text(record, PERFKIT_TEXT_APPLICATION,
			 e->has_application ? e->application : application_name);
	add_text(record, PERFKIT_TEXT_COMMAND_TAG,
			 e->tag != CMDTAG_UNKNOWN ? GetCommandTagName(e->tag) : NULL);
	cut = query != NULL && perfkit_record_add_query(record, query, length, unparsed);
	add_message(record, e, failure);
	if (query != NULL && !unparsed)
		cut |= perfkit_record_add_normalized(record, query, length);
	if (cut)
		truncated(db, record, PERFKIT_CUT_QUERY, PERFKIT_TRUNCATED_QUERY);
	if (query != NULL && !unparsed && perfkit_record_add_tags(record, query, length))
		truncated(db, record, PERFKIT_CUT_TAGS, PERFKIT_TRUNCATED_TAGS);
}


/* Sooner than it would look by itself.  On a standby it has nothing to do. */
static inline void
wake_worker(PerfkitDatabase *db, PerfkitRing *ring)
{
	if (perfkit_ring_used(ring) > WAKE_AT(ring) && db->worker_latch != NULL &&
		!RecoveryInProgress())
		SetLatch(db->worker_latch);
}


/* True when the record is in the ring; else it is counted why not. */
static bool
put_record(PerfkitDatabase *db, PerfkitRecord *record)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);
	PerfkitRingPut put;

	if (ring == NULL)
	{
		perfkit_count(db, PERFKIT_DROPPED_NO_RING, 1);
		return false;
	}
	if (record->plan_kind != PERFKIT_PLAN_KIND_NONE && !perfkit_ring_fits(ring, record->length))
	{
		perfkit_record_leave_plan_out(record);
		truncated(db, record, PERFKIT_CUT_PLAN, PERFKIT_TRUNCATED_PLAN);
	}
	put = perfkit_ring_put(ring, record, record->length);
	if (put == PERFKIT_RING_FULL && perfkit_standby_make_room(db, record->length))
		put = perfkit_ring_put(ring, record, record->length);
	switch (put)
	{
		case PERFKIT_RING_STORED:
			wake_worker(db, ring);
			return true;
		case PERFKIT_RING_FULL:
			perfkit_count(db, PERFKIT_DROPPED_RING_FULL, 1);
			break;
		case PERFKIT_RING_TOO_LARGE:
			perfkit_count(db, PERFKIT_DROPPED_TOO_LARGE, 1);
			break;
	}
	return false;
}


static inline bool
has_failed(const PerfkitFailure *failure)
{
	return failure != NULL && failure->outcome != PERFKIT_OK;
}


/* Why the statement has a row; false when it is worth none. */
static bool
find_reason(const PerfkitExecution *e, const PerfkitFailure *failure, PerfkitReason *reason)
{
	bool failed = has_failed(failure);

	if (e->persisted)
		*reason = PERFKIT_REASON_LONG_RUNNING;
	else if (perfkit_publish_slow(perfkit_publish_spent_ns(e)))
		*reason = PERFKIT_REASON_THRESHOLD;
	else if (failed && perfkit_log_errors)
		*reason = PERFKIT_REASON_ERROR;
	else if (!failed && e->news != 0)
		*reason = e->news;
	else if (!failed && e->sampled)
		*reason = PERFKIT_REASON_SAMPLED;
	else
		return false;
	return true;
}


static bool
within_errors_rate(PerfkitDatabase *db, int64 second)
{
	return perfkit_shmem_within_rate(&db->error_window, second, perfkit_log_errors_rate);
}


/*
 * Takes a permit for the record; counts the drop when there is none.  What is slow and
 * failed besides has its row for the one reason if not for the other.
 */
static bool
within_rate(PerfkitDatabase *db, PerfkitReason *reason, bool failed)
{
	int64 second = GetCurrentTimestamp() / USECS_PER_SEC;

	/* It has its row, which must not stay as it is. */
	if (*reason == PERFKIT_REASON_LONG_RUNNING)
		return true;
	if (*reason == PERFKIT_REASON_ERROR)
	{
		if (within_errors_rate(db, second))
			return true;
		perfkit_count(db, PERFKIT_DROPPED_ERRORS_RATE, 1);
		return false;
	}
	if (perfkit_shmem_within_rate(&db->record_window, second, perfkit_record_rate))
		return true;
	if (failed && perfkit_log_errors && within_errors_rate(db, second))
	{
		*reason = PERFKIT_REASON_ERROR;
		return true;
	}
	perfkit_count(db, PERFKIT_DROPPED_RATE, 1);
	return false;
}


void
perfkit_publish(PerfkitDatabase *db, PerfkitExecution *e, const PerfkitFailure *failure)
{
	PerfkitReason reason;
	PerfkitRecord *record;

	/* From here on nobody takes it for one that runs. */
	if (e->serial != 0)
		perfkit_slot_leave(e);
	if (failure != NULL)
		perfkit_statements_failure(e);
	if (!find_reason(e, failure, &reason) || perfkit_selection_left_out(e))
		return;
	perfkit_count(db, PERFKIT_CAPTURED, 1);
	if (!within_rate(db, &reason, has_failed(failure)))
		return;
	record = perfkit_record_begin();
	if (record == NULL)
	{
		perfkit_count(db, PERFKIT_DROPPED_NO_MEMORY, 1);
		return;
	}
	record->reason = reason;
	record->sample_weight = reason == PERFKIT_REASON_SAMPLED ? 1 / perfkit_sample_rate : 1;
	fill_fixed(record, e, failure);
	fill_texts(db, record, e, failure);
	if (e->content != NULL)
		fill_content(db, record, e->content);
	if (!put_record(db, record) && e->persisted)
		perfkit_slot_leave_end(record);
}
