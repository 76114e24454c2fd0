/*-------------------------------------------------------------------------
 * guc.h
 *	  The settings of perfkit.  docs/settings.md says what each is for.
 *
 * Read the variables directly; their contexts, units and bounds stand in the
 * one table of guc.c.  A setting without an effect does not exist.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_GUC_H
#define PERFKIT_GUC_H

typedef enum PerfkitTrack
{
	PERFKIT_TRACK_NONE,
	PERFKIT_TRACK_TOP,
	PERFKIT_TRACK_ALL
} PerfkitTrack;

typedef enum PerfkitCapturePlan
{
	PERFKIT_PLAN_OFF,
	PERFKIT_PLAN_ESTIMATE,
	PERFKIT_PLAN_ACTUAL, /* rows, loops and blocks of each node */
	PERFKIT_PLAN_TIMING  /* and their times */
} PerfkitCapturePlan;

typedef enum PerfkitLogNewPlans
{
	PERFKIT_NEW_PLANS_OFF,
	PERFKIT_NEW_PLANS_CHANGED,
	PERFKIT_NEW_PLANS_ALL
} PerfkitLogNewPlans;

/* Read by every statement: hidden, so that the compiler knows where they are. */
#pragma GCC visibility push(hidden)

extern int perfkit_slow_query_threshold; /* ms; -1 off, 0 everything */
extern int perfkit_track;                /* PerfkitTrack */
extern bool perfkit_track_utility;
extern bool perfkit_log_errors;
extern int perfkit_log_errors_rate;  /* per second and database; 0 no limit */
extern int perfkit_record_rate;      /* per second and database; 0 no limit */
extern double perfkit_sample_rate;   /* 0 to 1, of the statements below the threshold */
extern char *perfkit_excluded_users; /* these three are matched by selection.h */
extern char *perfkit_excluded_applications;
extern char *perfkit_excluded_queryids;
extern int perfkit_max_query_size; /* bytes */
extern bool perfkit_capture_parameters;
extern int perfkit_max_parameter_size; /* bytes, of one value */
extern int perfkit_capture_plan;       /* PerfkitCapturePlan */
extern int perfkit_live_plan_min_cost; /* the planner's units; -1 off */
extern int perfkit_live_plan_memory;   /* kB */
extern int perfkit_max_plan_size;      /* bytes */
extern int perfkit_log_new_plans;      /* PerfkitLogNewPlans */
extern int perfkit_max_plans;          /* statements in planseen.h's table */
extern int perfkit_max_parameter_size; /* bytes, of one value */
extern bool perfkit_track_statements;
extern int perfkit_max_statements;              /* entries of the table, all databases */
extern int perfkit_statement_text_size;         /* kB, of all texts together */
extern int perfkit_statement_history_interval;  /* s; 0 none */
extern int perfkit_statement_history_retention; /* minutes; 0 for ever */
extern bool perfkit_track_cpu;
extern bool perfkit_track_waits;
extern int perfkit_wait_sample_interval;  /* ms */
extern int perfkit_persist_running_after; /* ms; -1 never */
extern bool perfkit_log_json;
extern int perfkit_flush_interval;        /* ms */
extern int perfkit_slow_query_retention;  /* minutes; 0 for ever */
extern int perfkit_slow_query_max_size;   /* kB; 0 no limit */
extern int perfkit_sample_interval;       /* s; 0 never */
extern int perfkit_performance_retention; /* minutes; 0 for ever */
extern int perfkit_rollup_minute_retention;
extern int perfkit_rollup_hour_retention;
extern int perfkit_max_refresh_workers;   /* runs at a time, of all databases */
extern int perfkit_refresh_max_block;     /* ms */
extern int perfkit_refresh_log_retention; /* minutes; 0 for ever */
extern int perfkit_refresh_log_max_runs;  /* of one view; 0 no limit */
extern int perfkit_refresh_clock_offset;  /* s, for tests */
extern int perfkit_max_databases;
extern int perfkit_ring_size;        /* kB */
extern int perfkit_max_series;       /* of applications, of one database, a day */
extern int perfkit_metric_ring_size; /* kB */

#pragma GCC visibility pop

/* Defines every setting and reserves the prefix; only while preloading. */
extern void perfkit_guc_init(void);

#endif /* PERFKIT_GUC_H */
