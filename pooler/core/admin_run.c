/*
 * admin_run.c - the commands of the console: who may give them, what they are given, and the tag
 * they end with. See admin_parts.h.
 *
 * The privilege is a column of the command's row and is checked here, once, for all of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/admin_parts.h"
#include "core/command.h"
#include "core/console.h"
#include "core/order.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/show.h"
#include "proto/pgwrite.h"

#define TAG_MAX (ORDER_NAME_MAX + ORDER_VALUE_MAX + 8)

enum privilege
{
	STATS,
	ADMIN
};

struct order_row
{
	const char *name;
	enum privilege privilege;
	enum order_kind kind;
};

static const struct order_row orders[] = {
#define ORDER(name, privilege, kind, args, help) {name, privilege, kind},
#include "core/commands.def"
};

/* Settings of PostgreSQL's that drivers set when they connect: taken, without effect. */
static const char *const ignored[] = {
	"application_name",   "client_encoding",     "datestyle",
	"extra_float_digits", "client_min_messages", "standard_conforming_strings",
	"timezone",
};

static bool
error(struct session *s, const char *sqlstate, const char *text)
{
	const struct pgw_error e = {.severity = "ERROR", .sqlstate = sqlstate, .message = text};

	return admin_answer_error(s, &e);
}

static bool
notify(struct session *s, const char *text)
{
	const struct pgw_error notice = {.severity = "NOTICE", .sqlstate = "00000", .message = text};
	uint8_t mem[ORDER_TEXT_MAX + 128];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_notice(&w, &notice);
	return admin_say(s, w.mem, w.len);
}

static bool
invalid(struct session *s, const struct command *c)
{
	char text[256];

	snprintf(text, sizeof(text), "invalid command '%.200s', use SHOW HELP;", c->text);
	return error(s, "42601", text);
}

static bool
may(const struct session *s, enum privilege privilege)
{
	return privilege == STATS || s->console->admin;
}

/* ---- SHOW ---- */

static bool
is_show(const struct command *c)
{
	return c->n == 2 &&
		   (str_equal_nocase(c->word[0], "SHOW") || str_equal_nocase(c->word[0], "SELECT"));
}

const char *
admin_columns(const struct command *c)
{
	const char *columns = is_show(c) ? show_columns(c->word[1]) : NULL;

	return columns != NULL && columns[0] != '\0' ? columns : NULL;
}

static bool
show_allowed(const struct session *s, const char *what)
{
	static const struct
	{
		const char *name;
		enum privilege privilege;
	} table[] = {
#define SHOW(name, privilege, fn, help) {name, privilege},
#include "core/commands.def"
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (str_equal_nocase(what, table[i].name))
			return may(s, table[i].privilege);
	return true; /* what is no row of ours tells nothing */
}

static void
show_answered(struct session *s, struct buf *answer)
{
	if (s->state != SESSION_CLOSING)
		admin_answer(s, answer);
	if (session_answered(s))
		admin_go_on(s);
}

static bool
run_show(struct session *s, const struct command *c)
{
	if (!show_allowed(s, c->word[1]))
		return error(s, "42501", "admin access needed");
	/* One for the answer, one so that the session is still there when it has come at once. */
	s->busy += 2;
	conn_read_stop(&s->conn);
	if (show_run(s, c->word[1], show_answered))
		return session_answered(s);
	s->busy -= 2;
	conn_read_start(&s->conn);
	return invalid(s, c);
}

/* ---- orders ---- */

static const char *
name_of(enum order_kind kind)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (orders[i].kind == kind)
			return orders[i].name;
	return "SHUTDOWN"; /* its other forms */
}

static void
order_answered(struct mail *mail)
{
	struct order *o = list_entry(mail, struct order, mail);
	struct session *s = o->arg;
	const struct pgw_error e = {
		.severity = "ERROR",
		.sqlstate = o->sqlstate,
		.message = o->text,
		.detail = o->detail[0] != '\0' ? o->detail : NULL,
	};
	char tag[TAG_MAX];

	if (o->kind == ORDER_SET)
		snprintf(tag, sizeof(tag), "SET %s=%s", o->name, o->value);
	else
		str_copy(tag, sizeof(tag), name_of(o->kind));
	if (s->state != SESSION_CLOSING && o->sqlstate != NULL)
		admin_answer_error(s, &e);
	else if (s->state != SESSION_CLOSING && (o->notice[0] == '\0' || notify(s, o->notice)))
		admin_answer_tag(s, tag);
	free(o);
	if (session_answered(s))
		admin_go_on(s);
}

/* SHUTDOWN's second word. */
static bool
shutdown_kind(const char *word, enum order_kind *kind)
{
	if (word[0] == '\0')
		return true;
	if (str_equal_nocase(word, "WAIT_FOR_SERVERS"))
		*kind = ORDER_SHUTDOWN_WAIT_FOR_SERVERS;
	else if (str_equal_nocase(word, "WAIT_FOR_CLIENTS"))
		*kind = ORDER_SHUTDOWN_WAIT_FOR_CLIENTS;
	else
		return false;
	return true;
}

/* An id of SHOW CLIENTS, or its ptr, which begins with 0x. */
static bool
take_client(struct order *o, const char *word)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(word, &end, 0);
	if (word[0] < '0' || word[0] > '9' || *end != '\0' || errno != 0 || value == 0)
		return false;
	if (word[0] == '0')
		o->pointer = (uintptr_t) value;
	else
		o->client = value;
	return true;
}

/* What stands behind the name; false: it does not belong there. */
static bool
take_arguments(struct order *o, const struct command *c)
{
	const char *name;
	const char *value;

	switch (o->kind)
	{
		case ORDER_RELOAD:
		case ORDER_SUSPEND:
			return c->n == 1;
		case ORDER_SHUTDOWN:
			return c->n <= 2 && shutdown_kind(c->word[1], &o->kind);
		case ORDER_SET:
			return command_is_set(c, &name, &value) && str_copy(o->name, sizeof(o->name), name) &&
				   str_copy(o->value, sizeof(o->value), value);
		case ORDER_KILL_CLIENT:
			return c->n <= 2;
		default:
			return c->n <= 2 && str_copy(o->name, sizeof(o->name), c->word[1]);
	}
}

static bool
give_order(struct session *s, const struct order_row *row, const struct command *c)
{
	struct order *o;

	if (!may(s, row->privilege))
		return error(s, "42501", "admin access needed");
	o = mem_zalloc(sizeof(*o));
	mail_init(&o->mail);
	list_init(&o->node);
	o->kind = row->kind;
	o->from = &s->shard->loop;
	o->answer = order_answered;
	o->arg = s;
	if (!take_arguments(o, c))
	{
		free(o);
		return invalid(s, c);
	}
	if (o->kind == ORDER_KILL_CLIENT && !take_client(o, c->word[1]))
	{
		free(o);
		return error(s, "22023", "invalid client pointer supplied");
	}
	s->busy++;
	conn_read_stop(&s->conn);
	loop_post(&s->shard->registry->main_loop, &o->mail, s->shard->registry->take_order);
	return true;
}

/* ---- all of them ---- */

static bool
is_ignored(const struct command *c)
{
	const char *name;
	const char *value;

	if (!command_is_set(c, &name, &value))
		return false;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (str_equal_nocase(name, ignored[i]))
			return true;
	return false;
}

static bool
ignore_set(struct session *s)
{
	return notify(s, "SET ignored") && admin_answer_tag(s, "SET");
}

bool
admin_run(struct session *s, const struct command *c)
{
	if (is_show(c))
		return run_show(s, c);
	if (is_ignored(c))
		return ignore_set(s);
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (str_equal_nocase(c->word[0], orders[i].name))
			return give_order(s, &orders[i], c);
	return invalid(s, c);
}
