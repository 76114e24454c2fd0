/*-------------------------------------------------------------------------
 * statements.c
 *	  Counting one execution on this backend's sheets.
 *-------------------------------------------------------------------------
 */
#include "statements.h"

#include "miscadmin.h"
#include "sheets.h"
#include "statement_text.h"
#include "storage/bufmgr.h"
#include "utils/timestamp.h"

static PerfkitSheet *current = NULL; /* the sheet that was used last */

static const BufferUsage no_buffers;
static const WalUsage no_wal;


/* Its place on a sheet that is then claimed, a new one if need be; NULL, and not claimed, if full.
 */
static PerfkitPlace *
place_on(PerfkitSheet *sheet, const PerfkitStatementKey *key)
{
	int i;

	if (!perfkit_sheet_claim(sheet))
		return NULL;
	i = perfkit_sheet_find(sheet, key->queryid, key->userid, key->toplevel);
	if (i < 0)
	{
		perfkit_sheet_let_go(sheet);
		return NULL;
	}
	if (sheet->queryids[i] == 0)
	{
		sheet->queryids[i] = key->queryid;
		sheet->places[i].userid = key->userid;
		sheet->places[i].toplevel = key->toplevel;
		sheet->used++;
	}
	current = sheet;
	return &sheet->places[i];
}


static PerfkitPlace *
place_on_any(const PerfkitStatementKey *key)
{
	PerfkitSheet *sheets = perfkit_sheets_mine();
	PerfkitPlace *place = NULL;

	for (int n = 0; n < PERFKIT_SHEETS && sheets != NULL && place == NULL; n++)
		place = place_on(&sheets[n], key);
	return place;
}


/* The statement's text, if the table is to have it. */
static void
bring_text(const PerfkitExecution *e, const PerfkitStatementKey *key)
{
	PerfkitStatementText text;

	if (perfkit_statements_table_has_text(key) || !perfkit_statement_text_make(e, &text))
		return;
	if (perfkit_sheets_lock_table())
	{
		perfkit_statements_table_set_text(perfkit_statements_table_find(key, GetCurrentTimestamp()),
										  text.bytes, text.length, text.cut);
		LWLockRelease(perfkit_statements_lock);
	}
	perfkit_statement_text_free(&text);
}


/* A place where there was none at first sight; NULL, and counted as lost, only if all fails. */
static pg_noinline PerfkitPlace *
find_place(const PerfkitExecution *e)
{
	PerfkitStatementKey key = {
		.queryid = e->queryid,
		.database = MyDatabaseId,
		.userid = e->userid,
		.toplevel = e->level == 0,
	};
	PerfkitPlace *place;

	bring_text(e, &key);
	place = place_on_any(&key);
	if (place == NULL && perfkit_sheets_make_room())
		place = place_on_any(&key);
	if (place == NULL)
		pg_atomic_fetch_add_u64(&perfkit_statement_numbers->lost, 1);
	return place;
}


/* The statement's place, on the sheet `current`, which is claimed. */
static inline PerfkitPlace *
claim_place(const PerfkitExecution *e)
{
	if (likely(current != NULL && perfkit_sheet_claim(current)))
	{
		int i = perfkit_sheet_find(current, e->queryid, e->userid, e->level == 0);

		if (likely(i >= 0 && current->queryids[i] != 0))
			return &current->places[i];
		perfkit_sheet_let_go(current);
	}
	return find_place(e);
}


static int64
ns_between(instr_time from, instr_time to)
{
	return (int64) ((INSTR_TIME_GET_MILLISEC(to) - INSTR_TIME_GET_MILLISEC(from)) * 1e6);
}


static void
add_io_times(int64 *sums, const BufferUsage *from, const BufferUsage *to)
{
	sums[PERFKIT_TALLY_SHARED_READ_NS] +=
		ns_between(PERFKIT_SHARED_READ_TIME(from), PERFKIT_SHARED_READ_TIME(to));
	sums[PERFKIT_TALLY_SHARED_WRITE_NS] +=
		ns_between(PERFKIT_SHARED_WRITE_TIME(from), PERFKIT_SHARED_WRITE_TIME(to));
	if (PERFKIT_HAS_LOCAL_TIMES)
	{
		sums[PERFKIT_TALLY_LOCAL_READ_NS] +=
			ns_between(PERFKIT_LOCAL_READ_TIME(from), PERFKIT_LOCAL_READ_TIME(to));
		sums[PERFKIT_TALLY_LOCAL_WRITE_NS] +=
			ns_between(PERFKIT_LOCAL_WRITE_TIME(from), PERFKIT_LOCAL_WRITE_TIME(to));
	}
	sums[PERFKIT_TALLY_TEMP_READ_NS] +=
		ns_between(from->temp_blk_read_time, to->temp_blk_read_time);
	sums[PERFKIT_TALLY_TEMP_WRITE_NS] +=
		ns_between(from->temp_blk_write_time, to->temp_blk_write_time);
}


static void
add_jit(int64 *sums, const PerfkitJit *jit)
{
	sums[PERFKIT_TALLY_JIT_FUNCTIONS] += jit->functions;
	sums[PERFKIT_TALLY_JIT_GENERATION_NS] += (int64) (jit->generation_ms * 1e6);
	sums[PERFKIT_TALLY_JIT_INLINING_COUNT] += jit->inlining_ms > 0;
	sums[PERFKIT_TALLY_JIT_INLINING_NS] += (int64) (jit->inlining_ms * 1e6);
	sums[PERFKIT_TALLY_JIT_OPTIMIZATION_COUNT] += jit->optimization_ms > 0;
	sums[PERFKIT_TALLY_JIT_OPTIMIZATION_NS] += (int64) (jit->optimization_ms * 1e6);
	sums[PERFKIT_TALLY_JIT_EMISSION_COUNT] += jit->emission_ms > 0;
	sums[PERFKIT_TALLY_JIT_EMISSION_NS] += (int64) (jit->emission_ms * 1e6);
	sums[PERFKIT_TALLY_JIT_DEFORM_COUNT] += jit->deform_ms > 0;
	sums[PERFKIT_TALLY_JIT_DEFORM_NS] += (int64) (jit->deform_ms * 1e6);
}


/* The blocks stand in the same order in both. */
#define FIRST_BLOCKS offsetof(BufferUsage, shared_blks_hit)
#define N_BLOCKS (PERFKIT_TALLY_TEMP_BLKS_WRITTEN - PERFKIT_TALLY_SHARED_BLKS_HIT + 1)

static inline void
add_usage(int64 *restrict sums, const BufferUsage *restrict from, const BufferUsage *restrict to,
		  const WalUsage *wal_from, const WalUsage *wal_to)
{
	const int64 *restrict blocks_from = (const int64 *) ((const char *) from + FIRST_BLOCKS);
	const int64 *restrict blocks_to = (const int64 *) ((const char *) to + FIRST_BLOCKS);

	StaticAssertStmt(offsetof(BufferUsage, temp_blks_written) ==
						 FIRST_BLOCKS + (N_BLOCKS - 1) * sizeof(int64),
					 "the blocks of BufferUsage are not one array any more");
	for (int i = 0; i < N_BLOCKS; i++)
		sums[PERFKIT_TALLY_SHARED_BLKS_HIT + i] += blocks_to[i] - blocks_from[i];
	if (unlikely(track_io_timing))
		add_io_times(sums, from, to);
	if (unlikely(wal_to->wal_records != wal_from->wal_records))
	{
		sums[PERFKIT_TALLY_WAL_RECORDS] += wal_to->wal_records - wal_from->wal_records;
		sums[PERFKIT_TALLY_WAL_FPI] += wal_to->wal_fpi - wal_from->wal_fpi;
		sums[PERFKIT_TALLY_WAL_BYTES] += (int64) (wal_to->wal_bytes - wal_from->wal_bytes);
		sums[PERFKIT_TALLY_WAL_BUFFERS_FULL] += PERFKIT_WAL_BUFFERS_FULL_BETWEEN(wal_from, wal_to);
	}
}


void
perfkit_statements_count_success(const PerfkitExecution *e)
{
	PerfkitPlace *place;
	PerfkitSheet *sheet;
	int64 *sums;
	bool crowded;

	/* As pg_stat_statements: what is prepared counts when it is executed. */
	if (unlikely(e->tag == CMDTAG_PREPARE))
		return;
	place = claim_place(e);
	if (place == NULL)
		return;
	sheet = current;
	sums = place->tally.sums;
	perfkit_tally_success(&place->tally, e->active_ns);
	crowded = ++place->counts[perfkit_histogram_bucket(e->active_ns)] >= PERFKIT_SHEET_FULL_COUNT;
	if (e->rows > 0 && e->tag != CMDTAG_MOVE)
		sums[PERFKIT_TALLY_ROWS] += e->rows;
	if (e->planning_ns >= 0)
	{
		sums[PERFKIT_TALLY_PLANS]++;
		sums[PERFKIT_TALLY_PLAN_NS] += e->planning_ns;
	}

	/* What was executed in one piece has its last part, mostly all, still to be added. */
	if (e->whole)
		add_usage(sums, &e->buffers_at, &pgBufferUsage, &e->wal_at, &pgWalUsage);
	if (e->has_usage)
		add_usage(sums, &no_buffers, &e->buffers, &no_wal, &e->wal);
	if (unlikely(e->has_jit))
		add_jit(sums, &e->jit);
	if (e->workers_planned > 0)
	{
		sums[PERFKIT_TALLY_WORKERS_PLANNED] += e->workers_planned;
		sums[PERFKIT_TALLY_WORKERS_LAUNCHED] += e->workers_launched;
	}
	perfkit_sheet_let_go(sheet);
	if (unlikely(crowded))
		(void) perfkit_sheets_make_room();
}


void
perfkit_statements_count_failure(const PerfkitExecution *e)
{
	int64 ns = e->active_ns < 0 ? e->end_ns - e->begin_ns : e->active_ns;
	PerfkitPlace *place;

	if (e->tag == CMDTAG_PREPARE)
		return;
	place = claim_place(e);
	if (place == NULL)
		return;
	place->tally.sums[PERFKIT_TALLY_ERRORS]++;
	place->tally.sums[PERFKIT_TALLY_ERROR_NS] += Max(ns, 0);
	perfkit_sheet_let_go(current);
}
