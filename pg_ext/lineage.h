/*-------------------------------------------------------------------------
 * lineage.h
 *	  What the content of a materialized view comes from: tables and other
 *	  materialized views, and what turns them into it (plain views, functions).
 *
 * A view has a lineage if its content is a function of its tables, so that it can
 * only change when they do, or what turns them into it.  All functions in its
 * query are immutable then, or built-in ones that depend on settings of the session
 * alone (dates and times as text).  What an immutable function reads behind
 * PostgreSQL's back is not seen: it has promised not to.
 *
 * All of it must be called in a transaction.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_LINEAGE_H
#define PERFKIT_LINEAGE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/itemptr.h"

/* A row of pg_rewrite or pg_proc as it was: redefined, it has another place or writer. */
typedef struct PerfkitDefinition
{
	bool is_function;
	Oid object; /* the function, or the view that the rule is of */
	TransactionId xmin;
	ItemPointerData place;
} PerfkitDefinition;

typedef struct PerfkitLineage
{
	MemoryContext memory; /* with all of it */
	Oid view;
	List *tables;         /* OIDs of the tables and materialized views that are named, ascending */
	bool settings;        /* what the session is set to has a say, too */
	bool whole_rows;      /* as have the columns that a table has, whether they are named or not */
	bool virtual_columns; /* as have the expressions of those that are not stored */
	int n_definitions;
	PerfkitDefinition *definitions;
} PerfkitLineage;

/*
 * The lineage of a view, in a context of its own below `parent`.  NULL when it has none; then
 * *obstacle says why, as a sentence in the current memory context.
 */
extern PerfkitLineage *perfkit_lineage_read(Oid view, MemoryContext parent, char **obstacle);

/* Whether all definitions are still what they were. */
extern bool perfkit_lineage_stands(const PerfkitLineage *lineage);

/* Nulls the pointer; it may be NULL already. */
extern void perfkit_lineage_free(PerfkitLineage **lineage);

#endif /* PERFKIT_LINEAGE_H */
