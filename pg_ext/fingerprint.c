/*-------------------------------------------------------------------------
 * fingerprint.c
 *	  Reading the state of tables from the catalogs and the statistics.
 *
 * No lock is taken on any of the tables: what disappears meanwhile makes a
 * difference, and that is all it has to do.
 *-------------------------------------------------------------------------
 */
#include "fingerprint.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_inherits.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "shmem.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Who has one of these means to write; VACUUM, ANALYZE and CREATE INDEX have others. */
#define WRITERS                                                                                    \
	(LOCKBIT_ON(RowExclusiveLock) | LOCKBIT_ON(ShareRowExclusiveLock) |                            \
	 LOCKBIT_ON(ExclusiveLock) | LOCKBIT_ON(AccessExclusiveLock))

#define ADD(bytes, field) appendBinaryStringInfo(bytes, (const char *) &(field), sizeof(field))


/* In a list in ascending order. */
static bool
contains(const List *sorted, Oid relation)
{
	int from = 0;
	int to = list_length(sorted);

	while (from < to)
	{
		int middle = from + (to - from) / 2;
		Oid there = list_nth_oid(sorted, middle);

		if (there == relation)
			return true;
		if (there < relation)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}


/* ---------------------------------------------------------------- relations */

static int64
counter(PGFunction function, Oid relation)
{
	return DatumGetInt64(DirectFunctionCall1(function, ObjectIdGetDatum(relation)));
}


static int64
changes_of(Oid relation)
{
	return counter(pg_stat_get_tuples_inserted, relation) +
		   counter(pg_stat_get_tuples_updated, relation) +
		   counter(pg_stat_get_tuples_deleted, relation);
}


/* Why nobody would notice a change of it; NULL if somebody would. */
static char *
unwatchable(Form_pg_class form, bool named)
{
	const char *name = NameStr(form->relname);

	if (form->oid < FirstNormalObjectId)
		return psprintf("It reads %s, which belongs to the system.", name);
	if (form->relkind == RELKIND_FOREIGN_TABLE)
		return psprintf("It reads %s, which is a foreign table.", name);
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE &&
		form->relkind != RELKIND_MATVIEW)
		return psprintf("It reads %s, which is not a table.", name);
	if (form->relkind != RELKIND_PARTITIONED_TABLE && form->relam != HEAP_TABLE_AM_OID)
		return psprintf("It reads %s, whose access method may not count its changes.", name);
	if (named && form->relrowsecurity)
		return psprintf("It reads %s, whose row security decides what is seen of it.", name);
	return NULL;
}


/*
 * Which columns there are: a row that is used as a whole (IS NOT NULL) has all of them.  And how
 * those are computed that are only when they are read.
 */
static void
add_columns(StringInfo bytes, Form_pg_class form, bool all)
{
	if (all)
		ADD(bytes, form->relnatts);
	for (AttrNumber i = 1; i <= form->relnatts; i++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(form->oid), Int16GetDatum(i));
		bool dropped = true;
		Oid expression = InvalidOid;

		if (HeapTupleIsValid(tuple))
		{
			Form_pg_attribute column = (Form_pg_attribute) GETSTRUCT(tuple);

			dropped = column->attisdropped;
			if (PERFKIT_IS_VIRTUAL(column))
				expression = GetAttrDefaultOid(form->oid, i);
			ReleaseSysCache(tuple);
		}
		if (all)
			ADD(bytes, dropped);
		ADD(bytes, expression);
	}
}


/* One relation; false, with the reason, when it cannot be watched.  One that is gone differs. */
static bool
add_relation(StringInfo bytes, Oid relation, const PerfkitLineage *lineage, char **obstacle)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;
	int64 changes = changes_of(relation);

	ADD(bytes, relation);
	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_class) GETSTRUCT(tuple);
	*obstacle = unwatchable(form, contains(lineage->tables, relation));
	ADD(bytes, form->reltablespace);
	ADD(bytes, form->relfilenode);
	ADD(bytes, form->relispopulated);
	ADD(bytes, changes);
	if (lineage->whole_rows || lineage->virtual_columns)
		add_columns(bytes, form, lineage->whole_rows);
	ReleaseSysCache(tuple);
	return *obstacle == NULL;
}


/* Another session's temporary table is nothing of ours, though it may have a parent that is. */
static bool
is_temporary(Oid relation)
{
	return get_rel_persistence(relation) == RELPERSISTENCE_TEMP;
}


/* The named ones with all below them; a partition that is being detached is not there any more. */
static List *
with_descendants(const List *named)
{
	List *all = list_copy(named);
	List *sorted;
	ListCell *lc;

	/* The list grows while it is gone through. */
	foreach (lc, all)
	{
		List *children = NIL;
		ListCell *child;

		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			children = find_inheritance_children_extended(lfirst_oid(lc), true, NoLock, NULL, NULL);
		foreach (child, children)
		{
			if (!is_temporary(lfirst_oid(child)))
				all = lappend_oid(all, lfirst_oid(child));
		}
	}
	sorted = list_copy(all);
	list_sort(sorted, list_oid_cmp);
	list_deduplicate_oid(sorted);
	return sorted;
}


/* ---------------------------------------------------------------- settings */

/* ALTER ROLE, ALTER DATABASE ... SET: what the session of a refresh begins with. */
static void
add_role_settings(StringInfo bytes, Oid database, Oid role)
{
	Relation catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TransactionId xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);

		ADD(bytes, xmin);
		ADD(bytes, tuple->t_self);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}


/* The configuration files are told by the time they were read: this process does so after those
 * that it starts could. */
static void
add_settings(StringInfo bytes, Oid owner)
{
	ADD(bytes, PgReloadTime);
	add_role_settings(bytes, MyDatabaseId, owner);
	add_role_settings(bytes, MyDatabaseId, InvalidOid);
	add_role_settings(bytes, InvalidOid, owner);
	add_role_settings(bytes, InvalidOid, InvalidOid);
}


/* ---------------------------------------------------------------- the whole */

/* F2 */
static void
add_epoch(StringInfo bytes, Oid view, Oid owner)
{
	PgStat_StatDBEntry *statistics = pgstat_fetch_stat_dbentry(MyDatabaseId);
	TimestampTz reset = statistics != NULL ? statistics->stat_reset_timestamp : 0;

	ADD(bytes, perfkit_shared->boot);
	ADD(bytes, reset);
	ADD(bytes, view);
	ADD(bytes, owner);
}


static void
digest(StringInfo bytes, PerfkitFingerprint *fingerprint)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	StaticAssertStmt(sizeof(fingerprint->digest) == PG_SHA256_DIGEST_LENGTH, "size of a digest");
	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) bytes->data, bytes->len) < 0 ||
		pg_cryptohash_final(context, fingerprint->digest, sizeof(fingerprint->digest)) < 0)
		elog(ERROR, "perfkit: cannot compute a digest: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
}


bool
perfkit_fingerprint_read(const PerfkitLineage *lineage, Oid owner, PerfkitFingerprint *fingerprint,
						 List **relations, char **obstacle)
{
	StringInfoData bytes;
	ListCell *lc;

	*obstacle = NULL;
	*relations = NIL;
	if (!pgstat_track_counts)
	{
		*obstacle = pstrdup("Changes are not counted: track_counts is off.");
		return false;
	}
	pgstat_clear_snapshot();
	initStringInfo(&bytes);
	add_epoch(&bytes, lineage->view, owner);
	for (int i = 0; i < lineage->n_definitions; i++)
	{
		ADD(&bytes, lineage->definitions[i].object);
		ADD(&bytes, lineage->definitions[i].xmin);
		ADD(&bytes, lineage->definitions[i].place);
	}
	if (lineage->settings)
		add_settings(&bytes, owner);
	*relations = with_descendants(lineage->tables);
	foreach (lc, *relations)
	{
		if (!add_relation(&bytes, lfirst_oid(lc), lineage, obstacle))
			return false;
	}
	digest(&bytes, fingerprint);
	return true;
}


bool
perfkit_fingerprint_equal(const PerfkitFingerprint *a, const PerfkitFingerprint *b)
{
	return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}


bool
perfkit_fingerprint_being_written(const List *relations)
{
	LockData *locks = GetLockStatusData();
	bool found = false;

	for (int i = 0; i < locks->nelements && !found; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];

		found = lock->locktag.locktag_type == LOCKTAG_RELATION && (lock->holdMask & WRITERS) != 0 &&
				lock->locktag.locktag_field1 == MyDatabaseId &&
				contains(relations, lock->locktag.locktag_field2);
	}
	return found;
}


bool
perfkit_fingerprint_content(Oid view, PerfkitContent *content)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	content->populated = form->relispopulated;
	content->tablespace = form->reltablespace;
	content->file = form->relfilenode;
	content->changes = changes_of(view);
	ReleaseSysCache(tuple);
	return true;
}
