/*
 * admin_extended.c - the extended protocol on the console. See admin_parts.h.
 *
 * Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Extended Query". A command runs
 * at its first Execute; what an Execute with a limit leaves over waits in the portal. Portals last
 * until Sync. After an error everything up to Sync is skipped.
 */
#include <stdio.h>
#include <string.h>

#include "core/admin_parts.h"
#include "core/command.h"
#include "core/console.h"
#include "core/rows.h"
#include "core/session.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

/* A message without a body. */
static bool
say_type(struct session *s, uint8_t type)
{
	uint8_t mem[8];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_begin(&w, type);
	pgw_end(&w);
	return admin_say(s, w.mem, w.len);
}

static bool
error(struct session *s, const char *sqlstate, const char *text)
{
	const struct pgw_error e = {.severity = "ERROR", .sqlstate = sqlstate, .message = text};

	return admin_answer_error(s, &e);
}

static bool
error_about(struct session *s, const char *sqlstate, const char *what, const char *name,
			const char *trouble)
{
	char text[160];

	snprintf(text, sizeof(text), "%s \"%.64s\" %s", what, name, trouble);
	return error(s, sqlstate, text);
}

static bool
bad(struct session *s)
{
	session_fatal(s, "08P01", "invalid message from client");
	return false;
}

static bool
parse(struct session *s, struct pgreader *r)
{
	const char *name = pgr_cstr(r);
	const char *text = pgr_cstr(r);

	if (r->bad)
		return bad(s);
	if (strlen(text) >= COMMAND_MAX)
		return error(s, "54000", "command is too long");
	if (name[0] != '\0' && console_find(s->console, CONSOLE_STATEMENT, name) != NULL)
		return error_about(s, "42P05", "prepared statement", name, "already exists");
	if (console_add(s->console, CONSOLE_STATEMENT, name, text) == NULL)
		return error(s, "54000", "too many prepared statements");
	return say_type(s, '1');
}

/* The formats of the columns; false: there are more than any answer has columns. */
static bool
take_formats(struct pgreader *r, struct rows_formats *f)
{
	int n = pgr_u16(r);

	if (n > ROWS_MAX_COLUMNS)
		return false;
	f->n = n;
	for (int i = 0; i < n; i++)
		f->binary[i] = pgr_u16(r) != 0;
	return true;
}

static bool
bind_portal(struct session *s, struct pgreader *r)
{
	const char *portal_name = pgr_cstr(r);
	const char *name = pgr_cstr(r);
	struct console_item *statement = console_find(s->console, CONSOLE_STATEMENT, name);
	struct console_item *portal;
	struct rows_formats formats = {0};

	for (int n = pgr_u16(r); n > 0 && !r->bad; n--)
		pgr_u16(r);
	if (!r->bad && pgr_u16(r) > 0)
		return error(s, "08P01", "commands of the console have no parameters");
	if (!take_formats(r, &formats) || r->bad)
		return bad(s);
	if (statement == NULL)
		return error_about(s, "26000", "prepared statement", name, "does not exist");
	if (portal_name[0] != '\0' && console_find(s->console, CONSOLE_PORTAL, portal_name) != NULL)
		return error_about(s, "42P03", "portal", portal_name, "already exists");
	portal = console_add(s->console, CONSOLE_PORTAL, portal_name, statement->text);
	if (portal == NULL)
		return error(s, "54000", "too many portals");
	portal->formats = formats;
	return say_type(s, '2');
}

static bool
no_such(struct session *s, uint8_t kind, const char *name)
{
	if (kind == CONSOLE_STATEMENT)
		return error_about(s, "26000", "prepared statement", name, "does not exist");
	return error_about(s, "34000", "portal", name, "does not exist");
}

static bool
describe(struct session *s, struct pgreader *r)
{
	uint8_t kind = pgr_u8(r);
	const char *name = pgr_cstr(r);
	struct console_item *item;
	struct command c;
	const char *columns;
	struct buf head;
	struct buf out;
	bool ok;

	if (r->bad || (kind != CONSOLE_STATEMENT && kind != CONSOLE_PORTAL))
		return bad(s);
	item = console_find(s->console, (enum console_kind) kind, name);
	if (item == NULL)
		return no_such(s, kind, name);
	if (kind == CONSOLE_STATEMENT && !admin_say(s, "t\0\0\0\6\0\0", 7))
		return false;
	columns = command_parse(&c, item->text) == COMMAND_OK ? admin_columns(&c) : NULL;
	if (columns == NULL)
		return say_type(s, 'n');
	buf_init(&head);
	buf_init(&out);
	rows_head(&head, columns);
	rows_convert(buf_data(&head), buf_len(&head), columns, &item->formats, &out);
	ok = admin_say(s, buf_data(&out), buf_len(&out));
	buf_fini(&head);
	buf_fini(&out);
	return ok;
}

/* ---- Execute ---- */

/* Up to max rows of what the portal has left (0: all), and how it ends. */
static bool
send_rest(struct session *s, struct console_item *portal, int64_t max)
{
	struct buf *rest = &portal->rest;
	struct pgmsg m;
	size_t n = 0;

	for (int64_t rows = 0; n < buf_len(rest); n += m.total)
	{
		if (pgmsg_peek(buf_data(rest) + n, buf_len(rest) - n, &m) != PGMSG_OK)
			break;
		if (m.type == 'D' && max > 0 && rows++ == max)
			break;
	}
	if (n == 0)
		return error_about(s, "55000", "portal", portal->name, "cannot be run");
	if (!admin_say(s, buf_data(rest), n))
		return false;
	buf_consume(rest, n);
	return buf_len(rest) == 0 || say_type(s, 's');
}

bool
admin_portal_answered(struct session *s, const struct buf *answer)
{
	struct console_item *portal = s->console->running;
	const uint8_t *p = buf_data(answer);
	size_t n = buf_len(answer);
	const char *columns;
	struct command c;
	struct pgmsg m;

	s->console->running = NULL;
	command_parse(&c, portal->text);
	columns = admin_columns(&c);
	/* Describe has told the columns, or nobody wants to know. */
	if (pgmsg_peek(p, n, &m) == PGMSG_OK && m.type == 'T')
	{
		p += m.total;
		n -= m.total;
	}
	rows_convert(p, n, columns != NULL ? columns : "", &portal->formats, &portal->rest);
	return send_rest(s, portal, s->console->max_rows);
}

static bool
execute(struct session *s, struct pgreader *r)
{
	const char *name = pgr_cstr(r);
	int32_t max = (int32_t) pgr_u32(r);
	struct console_item *portal = console_find(s->console, CONSOLE_PORTAL, name);
	struct command c;

	if (r->bad)
		return bad(s);
	if (portal == NULL)
		return no_such(s, CONSOLE_PORTAL, name);
	s->console->max_rows = max > 0 ? max : 0;
	if (portal->done)
		return send_rest(s, portal, s->console->max_rows);
	portal->done = true;
	switch (command_parse(&c, portal->text))
	{
		case COMMAND_EMPTY:
			return say_type(s, 'I');
		case COMMAND_TOO_LONG:
			return error(s, "54000", "command is too long");
		case COMMAND_BAD:
		case COMMAND_OK:
			break;
	}
	s->console->running = portal;
	return admin_run(s, &c);
}

static bool
close_item(struct session *s, struct pgreader *r)
{
	uint8_t kind = pgr_u8(r);
	const char *name = pgr_cstr(r);

	if (r->bad || (kind != CONSOLE_STATEMENT && kind != CONSOLE_PORTAL))
		return bad(s);
	console_drop(s->console, console_find(s->console, (enum console_kind) kind, name));
	return say_type(s, '3');
}

bool
admin_extended(struct session *s, const struct pgmsg *m)
{
	struct pgreader r;

	if (s->console->skipping)
		return true;
	pgr_init(&r, m->body, m->body_len);
	switch (m->type)
	{
		case 'P':
			return parse(s, &r);
		case 'B':
			return bind_portal(s, &r);
		case 'D':
			return describe(s, &r);
		case 'E':
			return execute(s, &r);
		default:
			return close_item(s, &r);
	}
}
