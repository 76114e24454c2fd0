/*-------------------------------------------------------------------------
 * planid.c
 *	  The shape of plans as one number.
 *
 * A hash runs over the tree in the order of its execution.  Children of an
 * Append have hashes of their own: equal neighbours count once, for they are
 * partitions that only pruning tells apart.  A partition is known by the table
 * it belongs to, its index by the columns that the condition uses.
 *-------------------------------------------------------------------------
 */
#include "planid.h"

#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"

typedef struct Shape
{
	const PlannedStmt *statement;
	uint64 hash;
	int nodes;

	/* Partitions come in a row: where the last one was found, and what it has led to. */
	int last_found; /* in appendRelations */
	Index last_parent;
	Index last_root;
	Index last_mixed; /* a root, and its number among those of the same table */
	int last_number;
} Shape;

static void walk(Shape *shape, const Plan *plan);


static inline void
mix(Shape *shape, uint64 value)
{
	shape->hash = (shape->hash ^ value) * UINT64CONST(0x9E3779B97F4A7C15);
	shape->hash ^= shape->hash >> 29;
}


/* The entry of appendRelations that makes a relation a partition, or NULL. */
static const AppendRelInfo *
membership(Shape *shape, Index relation)
{
	const List *infos = shape->statement->appendRelations;
	int n = list_length(infos);

	for (int i = 0; i < n; i++)
	{
		int at = (shape->last_found + i) % n;
		const AppendRelInfo *info = list_nth(infos, at);

		if (info->child_relid != relation)
			continue;
		shape->last_found = at;

		/* A member of UNION ALL has a parent that is no relation. */
		return OidIsValid(info->parent_reloid) ? info : NULL;
	}
	return NULL;
}


/* The range table entry that stands for this one: of a partition the whole table's. */
static Index
root_of(Shape *shape, Index relation)
{
	const AppendRelInfo *info = membership(shape, relation);
	Index parent;

	if (info == NULL)
		return relation;
	parent = info->parent_relid;
	if (parent != shape->last_parent)
	{
		shape->last_root = parent;
		while ((info = membership(shape, shape->last_root)) != NULL)
			shape->last_root = info->parent_relid;
		shape->last_parent = parent;
	}
	return shape->last_root;
}


/* Tells the sides of a self-join apart: its number among the entries of the same table. */
static int
number_of(Shape *shape, Index root, Oid table)
{
	const ListCell *cell;
	Index at = 0;

	if (root == shape->last_mixed)
		return shape->last_number;
	shape->last_mixed = root;
	shape->last_number = 0;
	foreach (cell, shape->statement->rtable)
	{
		if (++at == root)
			break;
		if (((const RangeTblEntry *) lfirst(cell))->relid == table)
			shape->last_number++;
	}
	return shape->last_number;
}


static void
mix_relation(Shape *shape, Index relation)
{
	const RangeTblEntry *rte;

	relation = root_of(shape, relation);
	if (relation == 0 || (int) relation > list_length(shape->statement->rtable))
		return;
	rte = list_nth(shape->statement->rtable, (int) relation - 1);
	mix(shape, rte->rtekind);
	if (rte->rtekind != RTE_RELATION)
		return;
	mix(shape, rte->relid);
	mix(shape, number_of(shape, relation, rte->relid));
}


/* Partitions of one table come in a row. */
static void
mix_relations(Shape *shape, const List *relations)
{
	const ListCell *cell;
	Index last = 0;

	foreach (cell, relations)
	{
		Index root = root_of(shape, lfirst_int(cell));

		if (root != last)
			mix_relation(shape, root);
		last = root;
	}
}


static void
mix_set(Shape *shape, const Bitmapset *relations)
{
	int relation = -1;

	while ((relation = bms_next_member(relations, relation)) >= 0)
		mix_relation(shape, relation);
}


/* Which columns of an index a condition compares, and how. */
static void
mix_condition(Shape *shape, const List *clauses)
{
	const ListCell *cell;

	foreach (cell, clauses)
	{
		const Node *clause = lfirst(cell);
		const Node *left = NULL;

		mix(shape, nodeTag(clause));
		if (IsA(clause, OpExpr))
		{
			mix(shape, ((const OpExpr *) clause)->opno);
			left = linitial(((const OpExpr *) clause)->args);
		}
		else if (IsA(clause, ScalarArrayOpExpr))
		{
			mix(shape, ((const ScalarArrayOpExpr *) clause)->opno);
			left = linitial(((const ScalarArrayOpExpr *) clause)->args);
		}
		if (left != NULL && IsA(left, Var))
			mix(shape, ((const Var *) left)->varattno);
	}
}


static void
mix_index(Shape *shape, Index relation, Oid index, const List *condition)
{
	if (root_of(shape, relation) == relation)
		mix(shape, index);
	else
		mix_condition(shape, condition);
}


static void
walk_list(Shape *shape, const List *plans)
{
	const ListCell *cell;

	foreach (cell, plans)
		walk(shape, lfirst(cell));
}


static void
walk_members(Shape *shape, const List *plans)
{
	const ListCell *cell;
	uint64 outer = shape->hash;
	uint64 last = 0;

	foreach (cell, plans)
	{
		shape->hash = 0;
		walk(shape, lfirst(cell));
		if (shape->hash != last)
		{
			last = shape->hash;
			shape->hash = outer;
			mix(shape, last);
			outer = shape->hash;
		}
	}
	shape->hash = outer;
}


static void
mix_scan(Shape *shape, const Plan *plan)
{
	Index relation = ((const Scan *) plan)->scanrelid;

	mix_relation(shape, relation);
	switch (nodeTag(plan))
	{
		case T_IndexScan:
			mix_index(shape, relation, ((const IndexScan *) plan)->indexid,
					  ((const IndexScan *) plan)->indexqual);
			mix(shape, ((const IndexScan *) plan)->indexorderdir);
			break;
		case T_IndexOnlyScan:
			mix_index(shape, relation, ((const IndexOnlyScan *) plan)->indexid,
					  ((const IndexOnlyScan *) plan)->indexqual);
			mix(shape, ((const IndexOnlyScan *) plan)->indexorderdir);
			break;
		case T_BitmapIndexScan:
			mix_index(shape, relation, ((const BitmapIndexScan *) plan)->indexid,
					  ((const BitmapIndexScan *) plan)->indexqual);
			break;
		case T_SubqueryScan:
			walk(shape, ((const SubqueryScan *) plan)->subplan);
			break;
		case T_CteScan:
			mix(shape, ((const CteScan *) plan)->ctePlanId);
			break;
		case T_ForeignScan:
			mix_set(shape, ((const ForeignScan *) plan)->fs_relids);
			break;
		case T_CustomScan:
			mix_set(shape, ((const CustomScan *) plan)->custom_relids);
			walk_list(shape, ((const CustomScan *) plan)->custom_plans);
			break;
		default:
			break;
	}
}


/* What tells two nodes of the same kind apart, and the children that are not left or right. */
static void
mix_details(Shape *shape, const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			mix(shape, ((const Join *) plan)->jointype);
			break;
		case T_Agg:
			mix(shape, ((const Agg *) plan)->aggstrategy);
			mix(shape, ((const Agg *) plan)->aggsplit);
			break;
		case T_SetOp:
			mix(shape, ((const SetOp *) plan)->cmd);
			mix(shape, ((const SetOp *) plan)->strategy);
			break;
		case T_ModifyTable:
			mix(shape, ((const ModifyTable *) plan)->operation);
			mix_relations(shape, ((const ModifyTable *) plan)->resultRelations);
			break;
		case T_Append:
			walk_members(shape, ((const Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			walk_members(shape, ((const MergeAppend *) plan)->mergeplans);
			break;
		case T_BitmapAnd:
			walk_list(shape, ((const BitmapAnd *) plan)->bitmapplans);
			break;
		case T_BitmapOr:
			walk_list(shape, ((const BitmapOr *) plan)->bitmapplans);
			break;
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapIndexScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_TableFuncScan:
		case T_ValuesScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_ForeignScan:
		case T_CustomScan:
			mix_scan(shape, plan);
			break;
		default:
			break;
	}
}


/* As deep as the executor's own walks over it, which have succeeded. */
static void
walk(Shape *shape, const Plan *plan)
{
	if (plan == NULL)
	{
		mix(shape, 0);
		return;
	}
	shape->nodes++;
	mix(shape, ((uint64) nodeTag(plan) << 1) | plan->parallel_aware);
	mix_details(shape, plan);
	walk(shape, plan->lefttree);
	walk(shape, plan->righttree);
}


PerfkitPlanId
perfkit_planid(const PlannedStmt *statement)
{
	Shape shape = {.statement = statement, .hash = 1 + (uint64) statement->commandType};

	if (statement->planTree == NULL)
		return (PerfkitPlanId){0, 0};
	walk(&shape, statement->planTree);
	walk_list(&shape, statement->subplans);
	return (PerfkitPlanId){shape.hash != 0 ? (int64) shape.hash : 1, shape.nodes};
}
