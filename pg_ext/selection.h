/*-------------------------------------------------------------------------
 * selection.h
 *	  Which statements are left out by name, and which fast ones are drawn.
 *
 * The lists perfkit.excluded_users, excluded_applications and
 * excluded_queryids are parsed when they are set; matching neither allocates
 * nor reads a catalog, so it may happen after an error.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SELECTION_H
#define PERFKIT_SELECTION_H

#include "execution.h"
#include "guc.h"
#include "utils/guc.h"

/* Read by every statement: hidden. */
#pragma GCC visibility push(hidden)

/* Whether any of the three lists has an entry. */
extern bool perfkit_selection_excluding;

/* Private to perfkit_selection_sampled(): faster statements to let pass until one is drawn. */
extern int64 perfkit_selection_gap;

#pragma GCC visibility pop

/*
 * Is a statement of this session on one of the lists?  A user is the role that
 * logged in, compared by name; an application the name given, or a beginning
 * of it where the list has a '*' at the end; queryid 0 is on no list.
 */
extern bool perfkit_selection_excluded(const char *application, int64 queryid);

/* Is it to have no row, and so no plan either?  One that has a row already is completed. */
static inline bool
perfkit_selection_left_out(const PerfkitExecution *e)
{
	return unlikely(perfkit_selection_excluding) && !e->persisted &&
		   perfkit_selection_excluded(e->has_application ? e->application : application_name,
									  e->queryid);
}

/* Private to perfkit_selection_sampled(): the gap is over. */
extern bool perfkit_selection_draw(PerfkitExecution *e);

/*
 * A statement has ended below the threshold: is it to be logged all the same?  So with
 * probability perfkit.sample_rate, each for itself; noted in it.
 */
static inline bool
perfkit_selection_sampled(PerfkitExecution *e)
{
	return unlikely(--perfkit_selection_gap < 0) && perfkit_selection_draw(e);
}

/* The hooks of perfkit.sample_rate and of the three lists, for guc.c. */
extern void perfkit_selection_assign_sample_rate(double value, void *extra);
extern bool perfkit_selection_check_users(char **value, void **extra, GucSource source);
extern void perfkit_selection_assign_users(const char *value, void *extra);
extern bool perfkit_selection_check_applications(char **value, void **extra, GucSource source);
extern void perfkit_selection_assign_applications(const char *value, void *extra);
extern bool perfkit_selection_check_queryids(char **value, void **extra, GucSource source);
extern void perfkit_selection_assign_queryids(const char *value, void *extra);

#endif /* PERFKIT_SELECTION_H */
