/*-------------------------------------------------------------------------
 * selection.c
 *	  The lists of what is left out, and the draw of faster statements.
 *
 * A list is one block, made by the check hook and owned by guc.c: a count and
 * the entries behind it.  An empty list is no block at all.
 *
 * Statements are not drawn one by one: how many pass between two that are drawn is
 * drawn, which has the same distribution and costs each of them a count.
 *-------------------------------------------------------------------------
 */
#include "selection.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/varlena.h"

typedef struct Names
{
	int n;
	char first[FLEXIBLE_ARRAY_MEMBER]; /* each with its NUL */
} Names;

typedef struct Ids
{
	int n;
	int64 id[FLEXIBLE_ARRAY_MEMBER];
} Ids;

bool perfkit_selection_excluding = false;
int64 perfkit_selection_gap = PG_INT64_MAX;

static bool gap_drawn = false; /* in this process, for this rate */

static const Names *users = NULL;
static const Names *applications = NULL;
static const Ids *queryids = NULL;

/* Splits a copy of a setting's text at commas; the names point into it. */
typedef bool (*Split)(char *text, char separator, List **names);


static bool
parse_names(const char *value, Split split, void **extra)
{
	char *copy = pstrdup(value);
	List *list = NIL;
	Size size = offsetof(Names, first);
	Names *names;
	char *at;
	ListCell *lc;

	if (!split(copy, ',', &list))
	{
		GUC_check_errdetail("The list is names separated by commas; those with commas, blanks or "
							"capitals stand in double quotes.");
		return false;
	}
	if (list == NIL)
		return true;
	foreach (lc, list)
		size += strlen(lfirst(lc)) + 1;
	names = PERFKIT_GUC_MALLOC(size);
	if (names == NULL)
		return false;
	names->n = list_length(list);
	at = names->first;
	foreach (lc, list)
		at = stpcpy(at, lfirst(lc)) + 1;
	list_free(list);
	pfree(copy);
	*extra = names;
	return true;
}


bool
perfkit_selection_check_users(char **value, void **extra, GucSource source)
{
	return parse_names(*value, SplitIdentifierString, extra);
}


bool
perfkit_selection_check_applications(char **value, void **extra, GucSource source)
{
	return parse_names(*value, SplitGUCList, extra);
}


/* The next number of the list, and past the comma behind it; false when it is none. */
static bool
next_id(char **at, int64 *id)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(*at, &end, 10);
	if (end == *at || errno != 0 || number == 0)
		return false;
	end += strspn(end, " \t\r\n");
	if (*end != '\0' && (*end != ',' || end[1] == '\0'))
		return false;
	*id = (int64) number;
	*at = *end == ',' ? end + 1 : end;
	return true;
}


bool
perfkit_selection_check_queryids(char **value, void **extra, GucSource source)
{
	char *at = *value;
	Size most = 1;
	Ids *ids;

	for (const char *p = *value; *p != '\0'; p++)
		most += *p == ',' ? 1 : 0;
	at += strspn(at, " \t\r\n");
	if (*at == '\0')
		return true;
	ids = PERFKIT_GUC_MALLOC(offsetof(Ids, id) + most * sizeof(int64));
	if (ids == NULL)
		return false;
	ids->n = 0;
	while (*at != '\0')
	{
		if (next_id(&at, &ids->id[ids->n]))
		{
			ids->n++;
			continue;
		}
		PERFKIT_GUC_FREE(ids);
		GUC_check_errdetail("The list is numbers other than 0 separated by commas, as in column "
							"queryid.");
		return false;
	}
	*extra = ids;
	return true;
}


static void
assigned(void)
{
	perfkit_selection_excluding = users != NULL || applications != NULL || queryids != NULL;
}


void
perfkit_selection_assign_users(const char *value, void *extra)
{
	users = extra;
	assigned();
}


void
perfkit_selection_assign_applications(const char *value, void *extra)
{
	applications = extra;
	assigned();
}


void
perfkit_selection_assign_queryids(const char *value, void *extra)
{
	queryids = extra;
	assigned();
}


/* Is the name one of them, or, with `stars`, of the beginnings before a '*'? */
static bool
listed(const Names *names, const char *name, bool stars)
{
	const char *entry;

	if (names == NULL || name == NULL)
		return false;
	entry = names->first;
	for (int i = 0; i < names->n; i++)
	{
		Size length = strlen(entry);

		if (strcmp(entry, name) == 0 || (stars && length > 0 && entry[length - 1] == '*' &&
										 strncmp(entry, name, length - 1) == 0))
			return true;
		entry += length + 1;
	}
	return false;
}


bool
perfkit_selection_excluded(const char *application, int64 queryid)
{
	for (int i = 0; queryids != NULL && queryid != 0 && i < queryids->n; i++)
	{
		if (queryids->id[i] == queryid)
			return true;
	}
	return listed(applications, application, true) ||
		   (MyProcPort != NULL && listed(users, MyProcPort->user_name, false));
}


/* Failures before the next success, each with probability perfkit.sample_rate: geometric. */
static int64
next_gap(void)
{
	double gap;

	if (perfkit_sample_rate <= 0)
		return PG_INT64_MAX;
	if (perfkit_sample_rate >= 1)
		return 0;
	gap = floor(log(1 - pg_prng_double(&pg_global_prng_state)) / log1p(-perfkit_sample_rate));
	return (int64) Min(gap, 1e18);
}


void
perfkit_selection_assign_sample_rate(double value, void *extra)
{
	/* Drawn by who needs it: the postmaster's would be the same for all its children. */
	perfkit_selection_gap = value > 0 ? 0 : PG_INT64_MAX;
	gap_drawn = false;
}


bool
perfkit_selection_draw(PerfkitExecution *e)
{
	if (!gap_drawn)
	{
		gap_drawn = true;
		perfkit_selection_gap = next_gap() - 1;
	}
	e->sampled = perfkit_selection_gap < 0;
	if (e->sampled)
		perfkit_selection_gap = next_gap();
	return e->sampled;
}
