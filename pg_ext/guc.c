/*-------------------------------------------------------------------------
 * guc.c
 *	  Every setting of perfkit, one row each, in the order of SHOW ALL's reader.
 *
 * What decides what is recorded is superuser-set: an application cannot hide
 * from the log, and ALTER ROLE/DATABASE ... SET or GRANT SET ON PARAMETER give
 * it away where wanted.  Sizes of shared memory need a restart.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "guc.h"
#include "planlive.h"
#include "selection.h"
#include "slot.h"
#include "utils/guc.h"

int perfkit_slow_query_threshold = 50;
int perfkit_track = PERFKIT_TRACK_TOP;
bool perfkit_track_utility = true;
bool perfkit_log_errors = true;
int perfkit_log_errors_rate = 100;
int perfkit_record_rate = 1000;
double perfkit_sample_rate = 0;
char *perfkit_excluded_users = "";
char *perfkit_excluded_applications = "";
char *perfkit_excluded_queryids = "";
int perfkit_max_query_size = 16 * 1024;
bool perfkit_capture_parameters = true;
int perfkit_max_parameter_size = 1024;
int perfkit_capture_plan = PERFKIT_PLAN_ESTIMATE;
int perfkit_live_plan_min_cost = 100000;
int perfkit_live_plan_memory = 1024;
int perfkit_max_plan_size = 64 * 1024;
int perfkit_log_new_plans = PERFKIT_NEW_PLANS_OFF;
int perfkit_max_plans = 5000;
bool perfkit_track_statements = true;
int perfkit_max_statements = 5000;
int perfkit_statement_text_size = 5 * 1024;
int perfkit_statement_history_interval = 10 * 60;
int perfkit_statement_history_retention = 14 * 24 * 60;
bool perfkit_track_cpu = false;
bool perfkit_track_waits = true;
int perfkit_wait_sample_interval = 100;
int perfkit_persist_running_after = 10 * 1000;
bool perfkit_log_json = false;
int perfkit_flush_interval = 1000;
int perfkit_slow_query_retention = 14 * 24 * 60;
int perfkit_slow_query_max_size = 5 * 1024 * 1024;
int perfkit_sample_interval = 10;
int perfkit_performance_retention = 2 * 24 * 60;
int perfkit_rollup_minute_retention = 30 * 24 * 60;
int perfkit_rollup_hour_retention = 400 * 24 * 60;
int perfkit_max_refresh_workers = 2;
int perfkit_refresh_max_block = 1000;
int perfkit_refresh_log_retention = 30 * 24 * 60;
int perfkit_refresh_log_max_runs = 1000;
int perfkit_refresh_clock_offset = 0;
int perfkit_max_databases = 8;
int perfkit_ring_size = 4096;
int perfkit_max_series = 2000;
int perfkit_metric_ring_size = 256;

static const struct config_enum_entry track_options[] = {
	{"top", PERFKIT_TRACK_TOP, false},
	{"all", PERFKIT_TRACK_ALL, false},
	{"none", PERFKIT_TRACK_NONE, false},
	{NULL, 0, false},
};

static const struct config_enum_entry plan_options[] = {
	{"off", PERFKIT_PLAN_OFF, false},
	{"estimate", PERFKIT_PLAN_ESTIMATE, false},
	{"actual", PERFKIT_PLAN_ACTUAL, false},
	{"timing", PERFKIT_PLAN_TIMING, false},
	{NULL, 0, false},
};

static const struct config_enum_entry new_plan_options[] = {
	{"off", PERFKIT_NEW_PLANS_OFF, false},
	{"changed", PERFKIT_NEW_PLANS_CHANGED, false},
	{"all", PERFKIT_NEW_PLANS_ALL, false},
	{NULL, 0, false},
};

typedef enum SettingKind
{
	SETTING_BOOL,
	SETTING_INT,
	SETTING_REAL,
	SETTING_ENUM,
	SETTING_STRING
} SettingKind;

typedef struct Setting
{
	const char *name;
	SettingKind kind;
	void *variable; /* bool, int, double or char *, holds the default */
	int min;
	int max;
	GucContext set_by;
	int flags;
	const struct config_enum_entry *options;
	const char *summary;
	const char *detail;
	GucStringCheckHook check; /* of a SETTING_STRING */
	GucStringAssignHook assign;
	GucIntAssignHook assign_int;
	GucRealAssignHook assign_real;
	GucBoolAssignHook assign_bool;
	GucEnumAssignHook assign_enum;
} Setting;

#define ONE_MB (1024 * 1024)

static const Setting settings[] = {
	{"perfkit.slow_query_threshold", SETTING_INT, &perfkit_slow_query_threshold, -1, INT_MAX,
	 PGC_SUSET, GUC_UNIT_MS, NULL, "Statements that take at least this long are logged.",
	 "0 logs every statement, -1 none but the failed ones.",
	 .assign_int = perfkit_slot_assign_threshold},
	{"perfkit.track", SETTING_ENUM, &perfkit_track, 0, 0, PGC_SUSET, 0, track_options,
	 "Which statements are looked at.",
	 "top: those sent by clients; all: also those inside functions and procedures; none."},
	{"perfkit.track_utility", SETTING_BOOL, &perfkit_track_utility, 0, 0, PGC_SUSET, 0, NULL,
	 "Utility statements (COPY, CALL, REFRESH, COMMIT, ...) are looked at too.", NULL},
	{"perfkit.log_errors", SETTING_BOOL, &perfkit_log_errors, 0, 0, PGC_SUSET, 0, NULL,
	 "Statements that fail are logged whatever their duration.", NULL},
	{"perfkit.log_errors_rate", SETTING_INT, &perfkit_log_errors_rate, 0, INT_MAX, PGC_SUSET, 0,
	 NULL, "Most failed statements logged per second and database.",
	 "0 means no limit; what is over it is counted as dropped_errors_rate."},
	{"perfkit.record_rate", SETTING_INT, &perfkit_record_rate, 0, INT_MAX, PGC_SUSET, 0, NULL,
	 "Most statements logged per second and database.",
	 "0 means no limit; what is over it is counted as dropped_rate."},
	{"perfkit.sample_rate", SETTING_REAL, &perfkit_sample_rate, 0, 1, PGC_SUSET, 0, NULL,
	 "Share of the statements below the threshold that are logged too.",
	 "A row so drawn has reason sampled and stands for sample_weight executions.",
	 .assign_real = perfkit_selection_assign_sample_rate},
	{"perfkit.excluded_users", SETTING_STRING, &perfkit_excluded_users, 0, 0, PGC_SUSET,
	 GUC_LIST_INPUT, NULL, "Sessions of these roles are not logged, their errors neither.",
	 "A list of names; the role is the one that logged in.", perfkit_selection_check_users,
	 perfkit_selection_assign_users},
	{"perfkit.excluded_applications", SETTING_STRING, &perfkit_excluded_applications, 0, 0,
	 PGC_SUSET, GUC_LIST_INPUT, NULL,
	 "Statements of these applications are not logged, their errors neither.",
	 "A list of application names; a * at the end of one stands for any ending.",
	 perfkit_selection_check_applications, perfkit_selection_assign_applications},
	{"perfkit.excluded_queryids", SETTING_STRING, &perfkit_excluded_queryids, 0, 0, PGC_SUSET,
	 GUC_LIST_INPUT, NULL, "Statements with these queryids are not logged, their errors neither.",
	 "A list of numbers.", perfkit_selection_check_queryids, perfkit_selection_assign_queryids},
	{"perfkit.max_query_size", SETTING_INT, &perfkit_max_query_size, 128, ONE_MB, PGC_SUSET,
	 GUC_UNIT_BYTE, NULL, "Longer query texts are cut to this size.", NULL},
	{"perfkit.capture_parameters", SETTING_BOOL, &perfkit_capture_parameters, 0, 0, PGC_SUSET, 0,
	 NULL, "Bind values of logged statements are logged too.", NULL},
	{"perfkit.max_parameter_size", SETTING_INT, &perfkit_max_parameter_size, 1, 16 * 1024,
	 PGC_SUSET, GUC_UNIT_BYTE, NULL, "Longer bind values are cut to this size.", NULL},
	{"perfkit.capture_plan", SETTING_ENUM, &perfkit_capture_plan, 0, 0, PGC_SUSET, 0, plan_options,
	 "How plans of logged statements are logged.",
	 "estimate: as planned; actual: with rows and blocks of each node; timing: with times too. The "
	 "last two make every tracked statement slower.",
	 .assign_enum = perfkit_planlive_assign_capture_plan},
	{"perfkit.live_plan_min_cost", SETTING_INT, &perfkit_live_plan_min_cost, -1, INT_MAX, PGC_SUSET,
	 0, NULL, "Plans of at least this cost are taken while their statement runs.",
	 "So there is one if it fails, with the rows of each node at the threshold. -1 turns it off.",
	 .assign_int = perfkit_planlive_assign_min_cost},
	{"perfkit.live_plan_memory", SETTING_INT, &perfkit_live_plan_memory, 0, ONE_MB, PGC_POSTMASTER,
	 GUC_UNIT_KB, NULL, "Shared memory for the plans of statements that run now.",
	 "Where there is no room active_queries has no plan, counted as live_plans_refused."},
	{"perfkit.max_plan_size", SETTING_INT, &perfkit_max_plan_size, 1024, ONE_MB, PGC_SUSET,
	 GUC_UNIT_BYTE, NULL, "Larger plans are left out.", NULL},
	{"perfkit.log_new_plans", SETTING_ENUM, &perfkit_log_new_plans, 0, 0, PGC_SUSET, 0,
	 new_plan_options, "Statements that run with a plan not seen before are logged.",
	 "changed: if the statement was seen with another plan; all: also when it is new; off."},
	{"perfkit.max_plans", SETTING_INT, &perfkit_max_plans, 8, 10 * 1000 * 1000, PGC_POSTMASTER, 0,
	 NULL, "Statements whose plans are remembered for perfkit.log_new_plans.", NULL},
	{"perfkit.track_statements", SETTING_BOOL, &perfkit_track_statements, 0, 0, PGC_SUSET, 0, NULL,
	 "Every execution is counted in the statistics of its statement.", NULL},
	{"perfkit.max_statements", SETTING_INT, &perfkit_max_statements, 16, 1000 * 1000,
	 PGC_POSTMASTER, 0, NULL, "Statements of all databases whose statistics are kept.",
	 "More make those used least give way, which is counted as statements_evicted."},
	{"perfkit.statement_text_size", SETTING_INT, &perfkit_statement_text_size, 16, INT_MAX / 1024,
	 PGC_POSTMASTER, GUC_UNIT_KB, NULL, "Shared memory for the texts of these statements.",
	 "Where there is no room the statistics have no text, counted as statement_texts_refused."},
	{"perfkit.statement_history_interval", SETTING_INT, &perfkit_statement_history_interval, 0,
	 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S, NULL,
	 "Length of the intervals of which statement_history has rows.",
	 "They end at its multiples, in UTC; 0 writes none."},
	{"perfkit.statement_history_retention", SETTING_INT, &perfkit_statement_history_retention, 0,
	 INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long rows of statement_history are kept.",
	 "A day is dropped when all of it is older; 0 keeps everything."},
	{"perfkit.track_cpu", SETTING_BOOL, &perfkit_track_cpu, 0, 0, PGC_SUSET, 0, NULL,
	 "The CPU time of statements is measured, with two system calls for each.", NULL},
	{"perfkit.track_waits", SETTING_BOOL, &perfkit_track_waits, 0, 0, PGC_SUSET, 0, NULL,
	 "Statements past the threshold have their waits sampled.", NULL,
	 .assign_bool = perfkit_slot_assign_track_waits},
	{"perfkit.wait_sample_interval", SETTING_INT, &perfkit_wait_sample_interval, 10, 60 * 1000,
	 PGC_SIGHUP, GUC_UNIT_MS, NULL, "Time between two looks at the statements that run.",
	 "While nothing runs the worker looks once per flush_interval."},
	{"perfkit.persist_running_after", SETTING_INT, &perfkit_persist_running_after, -1, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MS, NULL, "A statement still running after this time gets its row now.",
	 "Its outcome is running until it ends; -1 waits for the end."},
	{"perfkit.log_json", SETTING_BOOL, &perfkit_log_json, 0, 0, PGC_SIGHUP, 0, NULL,
	 "Each row stored is also written to the server log, as one line of JSON.", NULL},
	{"perfkit.flush_interval", SETTING_INT, &perfkit_flush_interval, 10, 60 * 60 * 1000, PGC_SIGHUP,
	 GUC_UNIT_MS, NULL, "Time between two writes of captured statements to the table.",
	 "At most this much is lost in a crash."},
	{"perfkit.slow_query_retention", SETTING_INT, &perfkit_slow_query_retention, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long rows of slow_query_log are kept.",
	 "A day is dropped when all of it is older; 0 keeps everything."},
	{"perfkit.slow_query_max_size", SETTING_INT, &perfkit_slow_query_max_size, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_KB, NULL, "How large slow_query_log may grow, indexes included.",
	 "The oldest days are dropped over it; if that is not enough new rows are counted as "
	 "dropped_max_size. 0 is no limit."},
	{"perfkit.sample_interval", SETTING_INT, &perfkit_sample_interval, 0, 60 * 60, PGC_SIGHUP,
	 GUC_UNIT_S, NULL, "Time between two measurements of the database and the server.",
	 "0 turns them off, and with them the thresholds."},
	{"perfkit.performance_retention", SETTING_INT, &perfkit_performance_retention, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long rows of performance_log are kept.",
	 "A day is dropped when all of it is older; 0 keeps everything."},
	{"perfkit.rollup_minute_retention", SETTING_INT, &perfkit_rollup_minute_retention, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long the minutes of performance_rollup are kept.",
	 "A day is dropped when all of it is older; 0 keeps everything."},
	{"perfkit.rollup_hour_retention", SETTING_INT, &perfkit_rollup_hour_retention, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long the hours of performance_rollup are kept.",
	 "Four weeks are dropped when all of them are older; 0 keeps everything."},
	{"perfkit.max_refresh_workers", SETTING_INT, &perfkit_max_refresh_workers, 1, 64,
	 PGC_POSTMASTER, 0, NULL, "Materialized views refreshed at a time, in all databases together.",
	 "Each takes one of max_worker_processes while it runs."},
	{"perfkit.refresh_max_block", SETTING_INT, &perfkit_refresh_max_block, 0, INT_MAX, PGC_SIGHUP,
	 GUC_UNIT_MS, NULL, "How long a refresh of method auto may keep readers of its view waiting.",
	 "If the last run was shorter it need not be done concurrently; 0: always concurrently."},
	{"perfkit.refresh_log_retention", SETTING_INT, &perfkit_refresh_log_retention, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_MIN, NULL, "How long rows of refresh_log are kept.",
	 "0 keeps them however old."},
	{"perfkit.refresh_log_max_runs", SETTING_INT, &perfkit_refresh_log_max_runs, 0, INT_MAX,
	 PGC_SIGHUP, 0, NULL, "Rows of refresh_log kept for each view.", "0 keeps any number."},
	{"perfkit.refresh_clock_offset", SETTING_INT, &perfkit_refresh_clock_offset, -INT_MAX, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_S | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL,
	 "Makes schedules believe that it is so much later. For tests.", NULL},
	{"perfkit.max_databases", SETTING_INT, &perfkit_max_databases, 1, 1024, PGC_POSTMASTER, 0, NULL,
	 "Databases with the extension that get a ring in shared memory.", NULL},
	{"perfkit.ring_size", SETTING_INT, &perfkit_ring_size, 16, ONE_MB, PGC_POSTMASTER, GUC_UNIT_KB,
	 NULL, "Shared memory per database for statements not yet written.",
	 "A full ring never blocks: what does not fit is counted as dropped_ring_full."},
	{"perfkit.max_series", SETTING_INT, &perfkit_max_series, 16, ONE_MB, PGC_POSTMASTER, 0, NULL,
	 "Series that the applications of a database may log in a day.",
	 "A series is a metric with its labels; measurements of others are counted as series_refused."},
	{"perfkit.metric_ring_size", SETTING_INT, &perfkit_metric_ring_size, 16, ONE_MB, PGC_POSTMASTER,
	 GUC_UNIT_KB, NULL, "Shared memory per database for measurements logged with async => true.",
	 "A full ring never blocks: what does not fit is counted as metrics_lost."},
};


void
perfkit_guc_init(void)
{
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		const Setting *s = &settings[i];

		switch (s->kind)
		{
			case SETTING_BOOL:
				DefineCustomBoolVariable(s->name, s->summary, s->detail, s->variable,
										 *(bool *) s->variable, s->set_by, s->flags, NULL,
										 s->assign_bool, NULL);
				break;
			case SETTING_INT:
				DefineCustomIntVariable(s->name, s->summary, s->detail, s->variable,
										*(int *) s->variable, s->min, s->max, s->set_by, s->flags,
										NULL, s->assign_int, NULL);
				break;
			case SETTING_REAL:
				DefineCustomRealVariable(s->name, s->summary, s->detail, s->variable,
										 *(double *) s->variable, s->min, s->max, s->set_by,
										 s->flags, NULL, s->assign_real, NULL);
				break;
			case SETTING_STRING:
				DefineCustomStringVariable(s->name, s->summary, s->detail, s->variable,
										   *(char **) s->variable, s->set_by, s->flags, s->check,
										   s->assign, NULL);
				break;
			case SETTING_ENUM:
				DefineCustomEnumVariable(s->name, s->summary, s->detail, s->variable,
										 *(int *) s->variable, s->options, s->set_by, s->flags,
										 NULL, s->assign_enum, NULL);
				break;
		}
	}
	MarkGUCPrefixReserved("perfkit");
}
