/*-------------------------------------------------------------------------
 * compat.h
 *	  Differences between the PostgreSQL versions perfkit builds on.
 *
 * The only file that may look at PG_VERSION_NUM.  15, 17 and 18 are supported
 * and tested, 16 works, 14 and older are refused.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_COMPAT_H
#define PERFKIT_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "funcapi.h"
#include "jit/jit.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

/*
 * libpq-be.h wants GSSAPI's headers for the sake of one pointer, whose place in
 * struct Port is kept in builds without GSSAPI too.
 */
#undef ENABLE_GSS
#include "libpq/libpq-be.h"

#if PG_VERSION_NUM < 150000
#error "perfkit needs PostgreSQL 15 or newer"
#endif

/* 16 gave the macros for variable-length values a header of their own. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 puts this in front of a declaration, and dropped what went behind it. */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_NORETURN pg_noreturn
#else
#define PERFKIT_NORETURN pg_attribute_noreturn()
#endif

/* CleanQuerytext() and EnableQueryId() moved in 16. */
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif

/* Since 18 a statement's place is its first token; before, it was the end of the one before. */
#define PERFKIT_LOCATION_SKIPS_COMMENTS (PG_VERSION_NUM >= 180000)

/*
 * 18 may jumble a list of constants as one, whose length it knows, and lists the
 * parameters among the constants.  Before, a constant that stands in the tree
 * twice took two of pg_stat_statements' numbers.
 */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_CONSTANT_LENGTH(constant) ((constant)->squashed ? (constant)->length : -1)
#define PERFKIT_CONSTANT_STAYS(jumble, constant)                                                   \
	((constant)->extern_param && !(jumble)->has_squashed_lists)
#define PERFKIT_NUMBERS_DUPLICATES false
#else
#define PERFKIT_CONSTANT_LENGTH(constant) (-1)
#define PERFKIT_CONSTANT_STAYS(jumble, constant) false
#define PERFKIT_NUMBERS_DUPLICATES true
#endif

/* 18 split the header of EXPLAIN. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18 lets a module name itself. */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "perfkit", .version = "0.1")
#else
#define PERFKIT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 18 dropped execute_once from ExecutorRun. */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_RUN_PARAMETERS QueryDesc *query_desc, ScanDirection direction, uint64 count
#define PERFKIT_RUN_ARGUMENTS query_desc, direction, count
#else
#define PERFKIT_RUN_PARAMETERS                                                                     \
	QueryDesc *query_desc, ScanDirection direction, uint64 count, bool execute_once
#define PERFKIT_RUN_ARGUMENTS query_desc, direction, count, execute_once
#endif

/* 17 split the block times in shared and local; before, one pair holds both. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_SHARED_READ_TIME(usage) ((usage)->shared_blk_read_time)
#define PERFKIT_SHARED_WRITE_TIME(usage) ((usage)->shared_blk_write_time)
#define PERFKIT_HAS_LOCAL_TIMES true
#define PERFKIT_LOCAL_READ_TIME(usage) ((usage)->local_blk_read_time)
#define PERFKIT_LOCAL_WRITE_TIME(usage) ((usage)->local_blk_write_time)
#else
#define PERFKIT_SHARED_READ_TIME(usage) ((usage)->blk_read_time)
#define PERFKIT_SHARED_WRITE_TIME(usage) ((usage)->blk_write_time)
#define PERFKIT_HAS_LOCAL_TIMES false
#define PERFKIT_LOCAL_READ_TIME(usage) ((usage)->blk_read_time)
#define PERFKIT_LOCAL_WRITE_TIME(usage) ((usage)->blk_write_time)
#endif

/* 18 counts WAL buffers that were full and parallel workers; -1 means unknown. */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_HAS_WORKER_COUNTS true
#define PERFKIT_WAL_BUFFERS_FULL(usage) ((usage)->wal_buffers_full)
#define PERFKIT_WAL_BUFFERS_FULL_BETWEEN(from, to)                                                 \
	((to)->wal_buffers_full - (from)->wal_buffers_full)
#define PERFKIT_WORKERS_PLANNED(estate) ((estate)->es_parallel_workers_to_launch)
#define PERFKIT_WORKERS_LAUNCHED(estate) ((estate)->es_parallel_workers_launched)
#else
#define PERFKIT_HAS_WORKER_COUNTS false
#define PERFKIT_WAL_BUFFERS_FULL(usage) INT64CONST(-1)
#define PERFKIT_WAL_BUFFERS_FULL_BETWEEN(from, to) 0
#define PERFKIT_WORKERS_PLANNED(estate) (-1)
#define PERFKIT_WORKERS_LAUNCHED(estate) (-1)
#endif

/* 17 tells deforming apart from the rest of JIT's generation. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_HAS_JIT_DEFORM true
#define PERFKIT_JIT_DEFORM(instr) ((instr)->deform_counter)
#else
#define PERFKIT_HAS_JIT_DEFORM false
#define PERFKIT_JIT_DEFORM(instr) ((instr)->generation_counter)
#endif

/* 17 lets extensions name their wait events. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_WAIT_EVENT(name) WaitEventExtensionNew(name)
#else
#define PERFKIT_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

/* 16 has one ownership check for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define PERFKIT_OWNS_DATABASE(oid, role) object_ownercheck(DatabaseRelationId, oid, role)
#else
#define PERFKIT_OWNS_DATABASE(oid, role) pg_database_ownercheck(oid, role)
#endif

/* 16 wants what check hooks leave behind from its own allocator, which 15 keeps to itself. */
#if PG_VERSION_NUM >= 160000
#define PERFKIT_GUC_MALLOC(size) guc_malloc(LOG, size)
#define PERFKIT_GUC_FREE(pointer) guc_free(pointer)
#else
#define PERFKIT_GUC_MALLOC(size) malloc(size)
#define PERFKIT_GUC_FREE(pointer) free(pointer)
#endif

/* 17 numbers backends by their PGPROC, and 16 renamed the way to their status. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_MY_PROC_NUMBER MyProcNumber
#else
#define PERFKIT_MY_PROC_NUMBER (MyProc->pgprocno)
#endif
#if PG_VERSION_NUM >= 160000
#define PERFKIT_BACKEND_STATUS(i) pgstat_get_local_beentry_by_index(i)
#else
#define PERFKIT_BACKEND_STATUS(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* The same check for relations. */
#if PG_VERSION_NUM >= 160000
#define PERFKIT_OWNS_RELATION(oid, role) object_ownercheck(RelationRelationId, oid, role)
#else
#define PERFKIT_OWNS_RELATION(oid, role) pg_class_ownercheck(oid, role)
#endif

/* 16 tells apart who has a role's rights and who may become it. */
#if PG_VERSION_NUM >= 160000
#define PERFKIT_CHECK_MAY_BE(member, role) check_can_set_role(member, role)
#else
#define PERFKIT_CHECK_MAY_BE(member, role) check_is_member_of_role(member, role)
#endif

/* Since 17 a background worker may be a role that cannot log in. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_ROLE_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#define PERFKIT_ROLE_MUST_LOG_IN false
#else
#define PERFKIT_ROLE_FLAGS 0
#define PERFKIT_ROLE_MUST_LOG_IN true
#endif

/* 17 ends long transactions, those of background workers too. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_NO_TRANSACTION_TIMEOUT(source)                                                     \
	SetConfigOption("transaction_timeout", "0", PGC_USERSET, source)
#else
#define PERFKIT_NO_TRANSACTION_TIMEOUT(source) ((void) 0)
#endif

/* 18 has columns that are computed when they are read. */
#if PG_VERSION_NUM >= 180000
#define PERFKIT_IS_VIRTUAL(attribute) ((attribute)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define PERFKIT_IS_VIRTUAL(attribute) false
#endif

/* 17 gave checkpoints a view of their own. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_SQL_CHECKPOINTS                                                                    \
	"SELECT num_timed AS checkpoints_timed, num_requested AS checkpoints_requested,"               \
	" buffers_written AS checkpoint_buffers, write_time / 1000 AS checkpoint_write_seconds"        \
	" FROM pg_stat_checkpointer"
#else
#define PERFKIT_SQL_CHECKPOINTS                                                                    \
	"SELECT checkpoints_timed, checkpoints_req AS checkpoints_requested,"                          \
	" buffers_checkpoint AS checkpoint_buffers,"                                                   \
	" checkpoint_write_time / 1000 AS checkpoint_write_seconds FROM pg_stat_bgwriter"
#endif

/* 16 made constructors of JSON, and 17 its queries, nodes of their own. */
#if PG_VERSION_NUM >= 170000
#define PERFKIT_IS_JSON_EXPRESSION(node) (IsA(node, JsonConstructorExpr) || IsA(node, JsonExpr))
#elif PG_VERSION_NUM >= 160000
#define PERFKIT_IS_JSON_EXPRESSION(node) IsA(node, JsonConstructorExpr)
#else
#define PERFKIT_IS_JSON_EXPRESSION(node) false
#endif

#endif /* PERFKIT_COMPAT_H */
