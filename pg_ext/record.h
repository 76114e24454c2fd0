/*-------------------------------------------------------------------------
 * record.h
 *	  One captured statement as flat bytes: what goes through the ring and,
 *	  over a stop, through the state file.
 *
 * Fixed part first, texts behind it in the order of PerfkitText.  No pointers,
 * no catalog reads, no palloc: a record can be made in a doomed transaction.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_RECORD_H
#define PERFKIT_RECORD_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Raise it with every change of PerfkitRecord: old state files are then refused. */
#define PERFKIT_RECORD_VERSION 6
#define PERFKIT_RECORD_LAYOUT ((PERFKIT_RECORD_VERSION << 16) | (uint32) sizeof(PerfkitRecord))

typedef enum PerfkitOutcome
{
	PERFKIT_OK,
	PERFKIT_ERROR,
	PERFKIT_CANCEL,
	PERFKIT_STATEMENT_TIMEOUT,
	PERFKIT_LOCK_TIMEOUT,
	PERFKIT_TERMINATED,
	PERFKIT_RECOVERY_CONFLICT,
	PERFKIT_CLIENT_GONE,
	PERFKIT_RUNNING, /* of records that the worker makes */
	PERFKIT_CRASHED
} PerfkitOutcome;

typedef enum PerfkitReason
{
	PERFKIT_REASON_THRESHOLD,
	PERFKIT_REASON_ERROR,
	PERFKIT_REASON_SAMPLED,
	PERFKIT_REASON_FIRST_SEEN,
	PERFKIT_REASON_PLAN_CHANGED,
	PERFKIT_REASON_LONG_RUNNING
} PerfkitReason;

/* What column plan_kind says. */
typedef enum PerfkitPlanKind
{
	PERFKIT_PLAN_KIND_NONE,
	PERFKIT_PLAN_KIND_ESTIMATE,
	PERFKIT_PLAN_KIND_ACTUAL,
	PERFKIT_PLAN_KIND_PARTIAL
} PerfkitPlanKind;

/* What was cut or left out: bits of PerfkitRecord.truncated. */
typedef enum PerfkitTruncated
{
	PERFKIT_CUT_QUERY = 1 << 0,
	PERFKIT_CUT_TAGS = 1 << 1,
	PERFKIT_CUT_PARAMETERS = 1 << 2,
	PERFKIT_CUT_PLAN = 1 << 3
} PerfkitTruncated;

typedef enum PerfkitText
{
	PERFKIT_TEXT_USERNAME, /* empty: the writer looks the OID up */
	PERFKIT_TEXT_CLIENT_ADDR,
	PERFKIT_TEXT_APPLICATION,
	PERFKIT_TEXT_COMMAND_TAG,
	PERFKIT_TEXT_QUERY,
	PERFKIT_TEXT_MESSAGE,
	PERFKIT_TEXT_NORMALIZED,
	PERFKIT_TEXT_TAGS,       /* see tags.h */
	PERFKIT_TEXT_PARAMETERS, /* see parameters.h */
	PERFKIT_TEXT_PLAN,       /* see plan.h; the last, for it may be left out again */
	PERFKIT_N_TEXTS
} PerfkitText;

/* Block and WAL counters; times in ms, valid when track_io_timing was on. */
typedef struct PerfkitUsage
{
	int64 shared_blks[4]; /* hit, read, dirtied, written */
	int64 local_blks[4];
	int64 temp_blks[2];         /* read, written */
	double shared_blk_times[2]; /* read, write */
	double local_blk_times[2];
	double temp_blk_times[2];
	int64 wal_records;
	int64 wal_fpi;
	int64 wal_bytes;
	int64 wal_buffers_full; /* -1: not known to this PostgreSQL */
} PerfkitUsage;

/* Leader and workers together; times in ms. */
typedef struct PerfkitJit
{
	int64 functions;
	double generation_ms;
	double inlining_ms;
	double optimization_ms;
	double emission_ms;
	double deform_ms;
} PerfkitJit;

/* One kind of wait of a statement, estimated from samples. */
typedef struct PerfkitWait
{
	uint32 ms;    /* 0: this and all that follow are empty */
	uint32 event; /* as in PGPROC; 0: it was not waiting */
} PerfkitWait;

/* The last place takes what finds no other: events of several kinds together. */
#define PERFKIT_MAX_WAITS 8
#define PERFKIT_OTHER_WAITS PG_UINT32_MAX

typedef struct PerfkitRecord
{
	uint32 length; /* of everything, texts included */
	Oid database;
	Oid userid;
	int32 pid;
	int64 boot;
	int64 sequence;
	int64 id;
	int64 parent_id; /* 0: none */
	TimestampTz started_at;
	TimestampTz ended_at;
	double duration_ms;
	double planning_ms;  /* < 0: not planned in this execution */
	double execution_ms; /* < 0: it never got so far */
	double commit_ms;    /* < 0: not the last of a transaction that wrote */
	double sample_weight;
	double cpu_user_ms; /* < 0: not measured */
	double cpu_sys_ms;
	int64 queryid; /* 0: none */
	int64 plan_id; /* 0: none */
	int64 rows;    /* < 0: not known */
	int32 nesting_level;
	int32 client_port;     /* -1: none */
	int32 sqlstate;        /* encoded; 0: none */
	int32 workers_planned; /* -1: not known to this PostgreSQL */
	int32 workers_launched;
	int32 blocking_pid; /* 0: none was seen */
	PerfkitWait waits[PERFKIT_MAX_WAITS];
	uint8 outcome;       /* PerfkitOutcome */
	uint8 reason;        /* PerfkitReason */
	uint8 plan_kind;     /* PerfkitPlanKind */
	uint8 truncated;     /* PerfkitTruncated */
	bool has_parameters; /* though there may be none that could be told */
	bool replaces;       /* the row that was written while it ran */
	bool io_timing;
	bool local_io_timing;
	bool jit_deform; /* deform_ms means something */
	PerfkitUsage usage;
	PerfkitJit jit;
	uint32 text_length[PERFKIT_N_TEXTS];
	char text[FLEXIBLE_ARRAY_MEMBER];
} PerfkitRecord;

/*
 * Adds to the waits of one kind, or to the last place when there are too many kinds.
 * All of them must be zeroed before the first.
 */
extern void perfkit_wait_add(PerfkitWait waits[PERFKIT_MAX_WAITS], uint32 event, uint32 ms);

/* The word in column outcome or reason. */
extern const char *perfkit_outcome_name(PerfkitOutcome outcome);
extern const char *perfkit_reason_name(PerfkitReason reason);

/* The word in column plan_kind; NULL for none. */
extern const char *perfkit_plan_kind_name(PerfkitPlanKind kind);

/*
 * The backend's one record, empty but for zeroes; NULL when there is no
 * memory for it.  It holds a query of perfkit.max_query_size and
 * a plan of perfkit.max_plan_size.
 */
extern PerfkitRecord *perfkit_record_begin(void);

/*
 * Appends a text, in the order of PerfkitText; what does not fit is cut at a
 * character boundary.  `raw` bytes are copied as they are.
 */
extern void perfkit_record_add(PerfkitRecord *record, PerfkitText which, const char *raw,
							   Size length);

/*
 * Appends the query with its passwords redacted, cut to perfkit.max_query_size;
 * with `unparsed` the stricter rule for text that no parser has understood
 * holds.  True when it was cut.
 */
extern bool perfkit_record_add_query(PerfkitRecord *record, const char *query, Size length,
									 bool unparsed);

/* Appends an error's message with its passwords redacted, cut at 2 kB. */
extern void perfkit_record_add_message(PerfkitRecord *record, const char *message, Size length);

/* The same as for the query for the normalized text, if there is one; `query` is the statement
 * alone. */
extern bool perfkit_record_add_normalized(PerfkitRecord *record, const char *query, Size length);

/* Appends the tags in the statement's comments; true when some were left out. */
extern bool perfkit_record_add_tags(PerfkitRecord *record, const char *query, Size length);

/* Takes the plan out again. */
extern void perfkit_record_leave_plan_out(PerfkitRecord *record);

/* A text and its length; not terminated. */
extern const char *perfkit_record_text(const PerfkitRecord *record, PerfkitText which,
									   uint32 *length);

/* Whether bytes that came out of a ring or a file hold together. */
extern bool perfkit_record_valid(const PerfkitRecord *record, uint32 length);

#endif /* PERFKIT_RECORD_H */
