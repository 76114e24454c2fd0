/*-------------------------------------------------------------------------
 * target.h
 *	  The materialized view that one of perfkit's functions is called for: found
 *	  by the caller's search_path, the caller's own, and what is then done to its
 *	  schedule with the rights of the extension.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_TARGET_H
#define PERFKIT_TARGET_H

#include "compat.h"

/* Strings are allocated in the memory context of the call. */
typedef struct PerfkitTarget
{
	Oid view;
	Oid owner;
	char *schema;
	char *name;
} PerfkitTarget;

/*
 * The view of that name, unlocked, so that nobody waits for its refresh.  Raises 42P01 if there is
 * none (false when `missing_ok`), 42809 if it is something else, 42501 if it is somebody else's.
 */
extern bool perfkit_target_find(text *name, bool missing_ok, PerfkitTarget *target);

/* The same by OID, without looking whose it is. */
extern void perfkit_target_describe(Oid view, PerfkitTarget *target);

/* Raises 55000 when this server cannot run anything as that role (compat.h). */
extern void perfkit_target_check_owner(Oid owner);

/* One writer for each view at a time, until the transaction ends; who waits finds what it wrote. */
extern void perfkit_target_lock(Oid view);

PERFKIT_NORETURN extern void perfkit_target_no_schedule(const char *name);

/* What the caller was, between take and drop; after an error the transaction puts it back. */
typedef struct PerfkitRights
{
	Oid user;
	int context;
	int nest_level;
} PerfkitRights;

/* From here on with the rights of the extension, and within SPI. */
extern void perfkit_target_take_rights(PerfkitRights *rights);
extern void perfkit_target_drop_rights(const PerfkitRights *rights);

/* SPI_execute_with_args(), whose failures raise. */
extern void perfkit_target_run(const char *sql, int n, Oid *types, Datum *values,
							   const char *nulls);

/* The first column of the first row, a bigint; 0 when there is no row. */
extern int64 perfkit_target_answer(void);

/* The id of the view's schedule, or 0.  With the rights. */
extern int64 perfkit_target_schedule(const PerfkitTarget *target);

#endif /* PERFKIT_TARGET_H */
