/*
 * admin.c - see admin.h.
 *
 * One command at a time: while its answer is gathered or an order is under way the client is not
 * read (session->busy keeps the session alive). The privilege is a column of the command's row and
 * is checked here, once, for all of them.
 */
#include "core/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/order.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/show.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

#define CONSOLE_OURS "perfkit"
#define CONSOLE_THEIRS "pgbouncer"
#define COMMAND_MAX 1024 /* bytes of a command */
#define MESSAGE_MAX                                                                                \
	65536 /* of a message; commands between the two get an error, longer ones end the session */
#define WORDS_MAX 4

enum privilege
{
	STATS,
	ADMIN
};

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

/* ---- answers ---- */

/* Sends out and, when the command is over, ReadyForQuery. False: the session is gone. */
static bool
reply(struct session *s, const void *p, size_t n, bool ready)
{
	uint8_t mem[16];
	struct pgwriter w;
	struct iovec iov[2] = {{.iov_base = (void *) p, .iov_len = n}};

	pgw_init(&w, mem, sizeof(mem));
	pgw_ready(&w, 'I');
	iov[1] = (struct iovec){.iov_base = w.mem, .iov_len = w.len};
	if (conn_sendv(&s->conn, iov, ready ? 2 : 1))
		return true;
	session_end(s, NULL, "client connection lost");
	return false;
}

static bool
reply_error(struct session *s, const char *sqlstate, const char *message, bool ready)
{
	const struct pgw_error e = {.severity = "ERROR", .sqlstate = sqlstate, .message = message};
	uint8_t mem[ORDER_TEXT_MAX + 200];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_error(&w, &e);
	return reply(s, w.mem, w.len, ready);
}

static bool
reply_tag(struct session *s, const char *tag)
{
	uint8_t mem[128];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_command_complete(&w, tag);
	return reply(s, w.mem, w.len, true);
}

/* An answer came from elsewhere: the client may be read again, and what it has sent meanwhile is
 * worked off. */
static void
go_on(struct session *s)
{
	uint8_t *p;
	size_t n;

	conn_read_start(&s->conn);
	if (s->busy == 0 && conn_saved(&s->conn, &p, &n))
		work_off(s, p, n);
}

static void
show_answered(struct session *s, struct buf *answer)
{
	if (s->state != SESSION_CLOSING)
		reply(s, buf_data(answer), buf_len(answer), true);
	if (session_answered(s))
		go_on(s);
}

static void
order_answered(struct mail *mail)
{
	struct order *o = list_entry(mail, struct order, mail);
	struct session *s = o->arg;
	static const char *const tags[] = {
		[ORDER_RELOAD] = "RELOAD",
		[ORDER_PAUSE] = "PAUSE",
		[ORDER_RESUME] = "RESUME",
		[ORDER_SHUTDOWN] = "SHUTDOWN",
		[ORDER_SHUTDOWN_WAIT_FOR_SERVERS] = "SHUTDOWN",
		[ORDER_SHUTDOWN_WAIT_FOR_CLIENTS] = "SHUTDOWN",
	};

	if (s->state != SESSION_CLOSING && o->failed)
		reply_error(s, "55000", o->text, true);
	else if (s->state != SESSION_CLOSING)
		reply_tag(s, tags[o->kind]);
	free(o);
	if (session_answered(s))
		go_on(s);
}

/* ---- commands ---- */

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

static bool
may(const struct session *s, enum privilege privilege)
{
	return privilege == STATS || s->admin;
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
	return true; /* unknown: show_run says so */
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

static bool
give_order(struct session *s, const struct order_row *row, const char *argument)
{
	struct order *o = mem_zalloc(sizeof(*o));

	mail_init(&o->mail);
	list_init(&o->node);
	o->kind = row->kind;
	o->from = &s->shard->loop;
	o->answer = order_answered;
	o->arg = s;
	if (row->kind == ORDER_SHUTDOWN ? !shutdown_kind(argument, &o->kind)
									: !str_copy(o->database, sizeof(o->database), argument))
	{
		free(o);
		return reply_error(s, "22023", "invalid argument; SHOW HELP lists the commands", true);
	}
	s->busy++;
	conn_read_stop(&s->conn);
	loop_post(&s->shard->registry->main_loop, &o->mail, s->shard->registry->take_order);
	return true;
}

static bool
invalid(struct session *s, const char *word)
{
	char text[160];

	snprintf(text, sizeof(text), "invalid command '%.80s', use SHOW HELP;", word);
	return reply_error(s, "42601", text, true);
}

static bool
run(struct session *s, char *const *words)
{
	if (words[0][0] == '\0')
		return reply_tag(s, "");
	if (words[2][0] != '\0')
		return invalid(s, words[0]);
	if (str_equal_nocase(words[0], "SHOW") || str_equal_nocase(words[0], "SELECT"))
	{
		if (!show_allowed(s, words[1]))
			return reply_error(s, "42501", "admin access needed", true);
		/* One for the answer, one so that the session is still there when it has come at once. */
		s->busy += 2;
		conn_read_stop(&s->conn);
		if (show_run(s, words[1], show_answered))
			return session_answered(s);
		s->busy -= 2;
		conn_read_start(&s->conn);
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
	{
		if (!str_equal_nocase(words[0], orders[i].name))
			continue;
		if (!may(s, orders[i].privilege))
			return reply_error(s, "42501", "admin access needed", true);
		return give_order(s, &orders[i], words[1]);
	}
	return invalid(s, words[0]);
}

/* Splits a command at blanks; a final semicolon is dropped, double quotes around a name too. */
static void
split(char *text, char **words)
{
	static char empty[] = "";
	char *rest = NULL;
	int n = 0;

	for (char *w = strtok_r(text, " \t\r\n;", &rest); w != NULL && n < WORDS_MAX;
		 w = strtok_r(NULL, " \t\r\n;", &rest))
	{
		size_t len = strlen(w);

		if (len >= 2 && w[0] == '"' && w[len - 1] == '"')
		{
			w[len - 1] = '\0';
			w++;
		}
		words[n++] = w;
	}
	while (n < WORDS_MAX)
		words[n++] = empty;
}

static bool
query(struct session *s, const struct pgmsg *m)
{
	char text[COMMAND_MAX];
	char *words[WORDS_MAX];
	struct pgreader r;
	const char *sql;

	pgr_init(&r, m->body, m->body_len);
	sql = pgr_cstr(&r);
	if (r.bad || !str_copy(text, sizeof(text), sql))
		return reply_error(s, "54000", "command is too long", true);
	split(text, words);
	return run(s, words);
}

/* ---- the client ---- */

/* One message; false when the session is gone. Extended protocol is answered by one error, then
 * skipped up to Sync. */
static bool
message(struct session *s, const struct pgmsg *m)
{
	bool first;

	switch (m->type)
	{
		case 'Q':
			return query(s, m);
		case 'X':
			session_end(s, NULL, "client close request");
			return false;
		case 'S':
			s->skipping = false;
			return reply(s, NULL, 0, true);
		case 'P':
		case 'B':
		case 'D':
		case 'E':
		case 'C':
			first = !s->skipping;
			s->skipping = true;
			return !first ||
				   reply_error(s, "0A000", "the console understands the simple query protocol only",
							   false);
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

	pgw_init(&w, mem, sizeof(mem));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		pgw_parameter_status(&w, values[i][0], values[i][1]);
	pgw_backend_key(&w, 0, no_key, sizeof(no_key));
	reply(s, w.mem, w.len, true);
}

void
admin_start(struct session *s)
{
	const struct conf *conf = s->shard->conf;

	s->admin = conf->auth_type == AUTH_ANY || conf_list_has(conf->admin_users, s->user);
	if (!s->admin && !conf_list_has(conf->stats_users, s->user))
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
	s->conn.on_event = admin_event;
	session_set_state(s, SESSION_CONSOLE);
	session_deadline(s, 0);
	welcome(s);
}
