/*
 * show.c - the option table for readers: SHOW CONFIG, the sample file, what a reload could not
 * apply. See conf.h.
 */
#include "conf/conf.h"

#include "base/str.h"
#include "conf/option.h"
#include "conf/snapshot.h"

#include <stdio.h>
#include <string.h>

struct heading
{
	const char *group; /* as in options.def */
	const char *title;
};

/* In the order of the sample file: what everybody sets comes first. */
static const struct heading headings[] = {
	{"LISTEN", "Where clients connect"},
	{"AUTH", "Who may connect"},
	{"POOL", "Pools and limits"},
	{"TIMEOUT", "Timeouts"},
	{"CONSOLE", "The admin console"},
	{"LOG", "Log and statistics"},
	{"PROCESS", "The process"},
	{"PROTOCOL", "Protocol"},
	{"SOCKET", "TCP"},
	{"DNS", "Host names"},
	{"TLS", "TLS"},
};

bool
conf_row(const struct conf *c, int i, struct conf_row *out)
{
	if (i < 0 || i >= option_count)
		return false;

	const struct option *o = &option_table[i];
	const char *dflt = o->dflt != NULL ? o->dflt : "";

	out->key = o->key;
	out->is_null = !option_print(o, c, out->value, sizeof out->value);
	out->default_is_null = o->dflt == NULL;
	str_copy(out->default_value, sizeof out->default_value, dflt);
	out->changeable = !o->restart;
	return true;
}

/* A text belongs to the arena of its snapshot. */
static void
keep_text(struct conf *next, const struct option *o)
{
	char *field = (char *) next + o->offset;
	const char *text;

	memcpy(&text, field, sizeof text);
	if (text == NULL)
		return;
	text = snapshot_text(next, text, strlen(text));
	memcpy(field, &text, sizeof text);
}

void
conf_keep_in_force(struct conf *next, const struct conf *now,
				   void (*report)(const char *key, void *arg), void *arg)
{
	for (int i = 0; i < option_count; i++)
	{
		const struct option *o = &option_table[i];

		if (!o->restart || option_equal(o, now, next))
			continue;
		option_copy(o, next, now);
		if (o->type == OPTION_STR || o->type == OPTION_SECRET)
			keep_text(next, o);
		if (report != NULL)
			report(o->key, arg);
	}
}

static void
print_intro(void (*line)(const char *text, void *arg), void *arg)
{
	static const char *const intro[] = {
		";; perfkit-pooler.ini: every setting with its default, commented out.",
		";; A comment stands on a line of its own. Times are in seconds unless said otherwise, and "
		"may carry a unit:",
		";; us, ms, s, min, h, d. A file made for PgBouncer can be used as it is.",
		"",
		"[databases]",
		";; name = connection string with the keys host port dbname user password pool_mode "
		"pool_size min_pool_size",
		";; reserve_pool_size max_db_connections max_db_client_connections max_client_waiting "
		"max_statement_length",
		";; server_lifetime query_wait_timeout client_encoding datestyle timezone",
		";; application_name connect_query load_balance_hosts. host may be a list. A value with "
		"blanks stands in single quotes.",
		";; The name * stands for every other database.",
		";forumdb = host=127.0.0.1 port=5432 dbname=forum",
		";* = host=/var/run/postgresql",
		"",
		"[users]",
		";; name = limits of this user with the keys pool_mode pool_size reserve_pool_size "
		"max_user_connections",
		";; max_user_client_connections max_client_waiting max_statement_length",
		";; query_timeout query_wait_timeout idle_transaction_timeout transaction_timeout "
		"client_idle_timeout.",
		";report = pool_mode=session query_timeout=600",
		"",
		"[peers]",
		";; peer_id = where another process on the same port (so_reuseport) is reached for cancel "
		"requests: host port pool_size.",
		";2 = host=/run/perfkit/2",
		"",
		"[perfkit-pooler]",
	};

	for (size_t i = 0; i < sizeof intro / sizeof intro[0]; i++)
		line(intro[i], arg);
}

static void
print_option(const struct option *o, void (*line)(const char *text, void *arg), void *arg)
{
	char text[1024];

	snprintf(text, sizeof text, ";; %s%s%s", o->doc, o->restart ? " [needs a restart]" : "",
			 o->effect ? "" : " [no effect yet]");
	line(text, arg);
	if (o->type != OPTION_STR && o->type != OPTION_SECRET)
	{
		char allowed[256];

		option_allowed(o, allowed, sizeof allowed);
		snprintf(text, sizeof text, ";; allowed: %s", allowed);
		line(text, arg);
	}
	snprintf(text, sizeof text, ";%s = %s", o->key, o->dflt != NULL ? o->dflt : "");
	line(text, arg);
}

void
conf_print_sample(void (*line)(const char *text, void *arg), void *arg)
{
	char text[128];

	print_intro(line, arg);
	for (size_t h = 0; h < sizeof headings / sizeof headings[0]; h++)
	{
		line("", arg);
		snprintf(text, sizeof text, ";;;; %s", headings[h].title);
		line(text, arg);
		for (int i = 0; i < option_count; i++)
		{
			if (strcmp(option_table[i].group, headings[h].group) == 0)
				print_option(&option_table[i], line, arg);
		}
	}
}
