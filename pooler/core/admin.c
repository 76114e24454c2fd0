/*
 * admin.c - see admin.h. Here: the protocol; the commands are in admin_run.c, the extended protocol
 * in admin_extended.c.
 *
 * One command at a time: while its answer is gathered or an order is under way the client is not
 * read (session->busy keeps the session alive).
 */
#include "core/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/admin_parts.h"
#include "core/command.h"
#include "core/console.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/welcome.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

#define CONSOLE_OURS "perfkit"
#define CONSOLE_THEIRS "pgbouncer"
#define MESSAGE_MAX                                                                                \
	65536 /* of a message; commands between the two get an error, longer ones end the session */
#define ERROR_MAX 4096

static void admin_event(struct conn *c, int revents);
static void work_off(struct session *s, uint8_t *p, size_t n);

bool
admin_is_console(const struct conf *conf, const char *database)
{
	const struct conf_database *db;

	if (strcmp(database, CONSOLE_THEIRS) == 0)
		return true;
	if (strcmp(database, CONSOLE_OURS) != 0)
		return false;
	db = conf_find_database(conf, CONSOLE_OURS);
	return db == NULL || strcmp(db->name, CONSOLE_OURS) != 0;
}

bool
admin_is_owner_name(const char *user)
{
	return strcmp(user, CONSOLE_OURS) == 0 || strcmp(user, CONSOLE_THEIRS) == 0;
}

/* ---- answers ---- */

bool
admin_say(struct session *s, const void *p, size_t n)
{
	if (conn_send(&s->conn, p, n))
		return true;
	session_end(s, NULL, "client connection lost");
	return false;
}

/* The answer to a simple query: ReadyForQuery goes with it. */
static bool
say_and_ready(struct session *s, const void *p, size_t n)
{
	uint8_t mem[16];
	struct pgwriter w;
	struct iovec iov[2] = {{.iov_base = (void *) p, .iov_len = n}};

	pgw_init(&w, mem, sizeof(mem));
	pgw_ready(&w, 'I');
	iov[1] = (struct iovec){.iov_base = w.mem, .iov_len = w.len};
	if (conn_sendv(&s->conn, iov, 2))
		return true;
	session_end(s, NULL, "client connection lost");
	return false;
}

bool
admin_answer(struct session *s, const struct buf *answer)
{
	if (s->console->running != NULL)
		return admin_portal_answered(s, answer);
	return say_and_ready(s, buf_data(answer), buf_len(answer));
}

bool
admin_answer_tag(struct session *s, const char *tag)
{
	uint8_t mem[ERROR_MAX];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_command_complete(&w, tag);
	if (s->console->running == NULL)
		return say_and_ready(s, w.mem, w.len);
	s->console->running = NULL;
	return admin_say(s, w.mem, w.len);
}

bool
admin_answer_error(struct session *s, const struct pgw_error *e)
{
	uint8_t mem[ERROR_MAX];
	struct pgwriter w;
	char label[200];

	if (s->shard->conf->log_pooler_errors)
		log_warning("%s: pooler error: %s", session_label(s, label, sizeof(label)), e->message);
	pgw_init(&w, mem, sizeof(mem));
	pgw_error(&w, e);
	if (!s->console->extended)
		return say_and_ready(s, w.mem, w.len);
	s->console->running = NULL;
	s->console->skipping = true;
	return admin_say(s, w.mem, w.len);
}

void
admin_go_on(struct session *s)
{
	uint8_t *p;
	size_t n;

	conn_read_start(&s->conn);
	if (s->busy == 0 && conn_saved(&s->conn, &p, &n))
		work_off(s, p, n);
}

/* ---- the client ---- */

static bool
query(struct session *s, const struct pgmsg *m)
{
	const struct pgw_error too_long = {
		.severity = "ERROR", .sqlstate = "54000", .message = "command is too long"};
	struct command c;
	struct pgreader r;
	const char *sql;

	pgr_init(&r, m->body, m->body_len);
	sql = pgr_cstr(&r);
	switch (r.bad ? COMMAND_TOO_LONG : command_parse(&c, sql))
	{
		case COMMAND_TOO_LONG:
			return admin_answer_error(s, &too_long);
		case COMMAND_EMPTY:
			return say_and_ready(s, "I\0\0\0\4", 5);
		case COMMAND_BAD:
		case COMMAND_OK:
			break;
	}
	return admin_run(s, &c);
}

/* One message; false when the session is gone. */
static bool
message(struct session *s, const struct pgmsg *m)
{
	s->console->extended = m->type != 'Q';
	switch (m->type)
	{
		case 'Q':
			s->console->skipping = false;
			return query(s, m);
		case 'X':
			session_end(s, NULL, "client close request");
			return false;
		case 'S':
			s->console->skipping = false;
			console_drop_portals(s->console);
			return say_and_ready(s, NULL, 0);
		case 'P':
		case 'B':
		case 'D':
		case 'E':
		case 'C':
			return admin_extended(s, m);
		case 'H':
			return true;
		default:
			session_fatal(s, "08P01", "invalid message from client");
			return false;
	}
}

static void
work_off(struct session *s, uint8_t *p, size_t n)
{
	struct pgmsg m;

	/* Answers from elsewhere come by mail or at once; in between nothing is worked off. */
	while (n > 0 && s->busy == 0)
	{
		enum pgmsg_result r = pgmsg_peek(p, n, &m);

		if (r == PGMSG_BAD || (r == PGMSG_OK && m.total > MESSAGE_MAX))
		{
			session_fatal(s, "08P01", "invalid message from client");
			return;
		}
		if (r == PGMSG_NEED_MORE || !m.whole)
			break;
		if (!message(s, &m))
			return;
		p += m.total;
		n -= m.total;
	}
	conn_save(&s->conn, p, n);
}

static void
admin_event(struct conn *c, int revents)
{
	struct session *s = list_entry(c, struct session, conn);
	uint8_t *p;
	size_t n;
	enum conn_io io;

	if ((revents & EV_READ) == 0)
		return;
	io = conn_recv(c, &p, &n);
	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
	{
		session_end(s, NULL, io == CONN_EOF ? "client unexpected eof" : strerror(errno));
		return;
	}
	work_off(s, p, n);
}

static void
welcome(struct session *s)
{
	const struct conf *conf = s->shard->conf;
	static const char *const values[][2] = {
		{"server_version", "1.26.0/perfkit-pooler"},
		{"client_encoding", "UTF8"},
		{"server_encoding", "UTF8"},
		{"DateStyle", "ISO"},
		{"TimeZone", "GMT"},
		{"standard_conforming_strings", "on"},
		{"is_superuser", "on"},
	};
	const uint8_t no_key[4] = {0};
	uint8_t mem[1024];
	struct pgwriter w;
	struct buf out;

	pgw_init(&w, mem, sizeof(mem));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		pgw_parameter_status(&w, values[i][0], values[i][1]);
	pgw_backend_key(&w, 0, no_key, sizeof(no_key));
	buf_init(&out);
	buf_append(&out, w.mem, w.len);
	welcome_notify(conf->login_notify_message, &out);
	say_and_ready(s, buf_data(&out), buf_len(&out));
	buf_fini(&out);
}

void
admin_start(struct session *s)
{
	const struct conf *conf = s->shard->conf;

	bool admin =
		s->is_owner || conf->auth_type == AUTH_ANY || conf_list_has(conf->admin_users, s->user);

	if (!admin && !conf_list_has(conf->stats_users, s->user))
	{
		session_fatal(s, "42501",
					  "not allowed: the user is neither in admin_users nor in stats_users");
		return;
	}
	if (!conn_uncork(&s->conn))
	{
		session_end(s, NULL, "client connection lost");
		return;
	}
	s->console = console_new(admin);
	s->conn.on_event = admin_event;
	session_set_state(s, SESSION_CONSOLE);
	session_deadline(s, 0);
	welcome(s);
}
