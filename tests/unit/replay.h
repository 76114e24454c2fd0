/*
 * replay.h - scripts of messages for the relay: what clients and servers say, what must arrive.
 *
 * Two clients (a, b) and two servers (1, 2), each a real conn over a socketpair whose other end is
 * in the test's hand. A script is a list of lines:
 *
 *   "a@1"              client a is given server 1
 *   "a^set x to 1"     settings that go in front of a's next bytes
 *   "a: P(s|select 1) B(|s) E S"    a sends
 *   "1> P(#1|select 1) B(|#1) E S"  this and nothing else has come to server 1 since the last look
 *   "1: 1 2 C(SELECT 1) Z(I)"       server 1 says
 *   "a> 1 2 C(SELECT 1) Z(I)"       this and nothing else has come to a
 *   "1[ Z(I)", "1]"    all but the last three bytes of it; then these
 *   "a= names=1 ops=0 end=go_on"    what must be true of a (of a server: known=, quiet=, doubt=)
 *   "a@-"              a gives its server back, which must be fit for that; it keeps it when
 *                      something pins it
 *   "a!"               a leaves in the middle of its work
 *
 * Messages are written as replay_text.h says. Each script runs with every line in one piece, then
 * with every line cut in two at each place, then byte by byte: the outcome must be the same.
 */
#ifndef PERFKIT_TEST_REPLAY_H
#define PERFKIT_TEST_REPLAY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "core/meter.h"
#include "core/params.h"
#include "core/relay.h"
#include "core/server.h"
#include "core/statement.h"
#include "core/stats.h"
#include "net/conn.h"
#include "proto/pgwrite.h"
#include "replay_text.h"
#include "turning.h"

/* session_state, of the scripts that follow. */
static enum state_policy replay_policy = STATE_POLICY_PIN;

#define REPLAY_PACKET_MAX (256 * 1024 * 1024)

/* One of the four. */
struct replay_peer
{
	struct conn *conn;
	int fd;             /* our end */
	struct buf arrived; /* since the last look */
	struct buf held;    /* behind "1[" */
	char prefix[512];   /* of a client's next bytes */
	enum relay_end end; /* of a client's relay, last */
};

struct replay
{
	struct loop *loop;
	struct relay relays[2];
	struct conn clients[2];
	struct server servers[2];
	struct params params[2];
	struct stats stats;
	struct meter meter;
	struct conf_limits limits; /* of both */
	_Atomic int64_t pins;
	struct replay_peer peers[4]; /* a b 1 2 */
	struct replay_names names;
	size_t cut;          /* each line in two at this place; 0: not */
	unsigned statements; /* that were there before */
	bool byte_wise;
	const char *line; /* for messages */
};

/* ---- running ---- */

static inline struct replay_peer *
replay_peer(struct replay *t, char who)
{
	assert_non_null(strchr("ab12", who));
	return &t->peers[strchr("ab12", who) - "ab12"];
}

static inline struct server *
replay_server(struct replay *t, char who)
{
	return &t->servers[who - '1'];
}

/* Takes in all that has come to our ends. */
static inline void
replay_collect(struct replay *t)
{
	static uint8_t mem[65536];
	bool more = true;

	while (more)
	{
		more = false;
		for (int i = 0; i < 4; i++)
		{
			struct replay_peer *p = &t->peers[i];
			ssize_t n = p->fd < 0 ? 0 : recv(p->fd, mem, sizeof(mem), MSG_DONTWAIT);

			if (n > 0)
				replay_put(&p->arrived, mem, (size_t) n);
			if (conn_blocked(p->conn) && p->fd >= 0)
				turn_once(t->loop);
			more = more || n > 0 || (conn_blocked(p->conn) && p->fd >= 0);
		}
	}
}

/* What a client's relay has kept back is shown to it again. */
static inline void
replay_show_again(struct replay *t, struct relay *r)
{
	struct replay_peer *peer = replay_peer(t, r == &t->relays[0] ? 'a' : 'b');
	uint8_t nothing = 0;
	uint8_t *data = &nothing;
	size_t n = 0;

	conn_saved(peer->conn, &data, &n);
	peer->end = relay_from_client(r, data, n, NULL, REPLAY_PACKET_MAX);
}

/* Bytes come to the conn of one of them, and the relay sees them. */
static inline void
replay_feed(struct replay *t, char who, const uint8_t *p, size_t n)
{
	struct replay_peer *peer = replay_peer(t, who);
	bool client = who == 'a' || who == 'b';
	uint8_t mem[600];
	struct pgwriter w;
	uint8_t *data;
	size_t there;

	while (n > 0)
	{
		size_t some = n < 60000 ? n : 60000;

		assert_int_equal(send(peer->fd, p, some, MSG_NOSIGNAL), (ssize_t) some);
		assert_int_equal(conn_recv(peer->conn, &data, &there), CONN_OK);
		p += some;
		n -= some;
		if (client)
		{
			struct relay_prefix prefix = {.bytes = mem};

			assert_non_null(t->relays[who - 'a'].server);
			pgw_init(&w, mem, sizeof(mem));
			if (peer->prefix[0] != '\0')
				pgw_query(&w, peer->prefix);
			peer->prefix[0] = '\0';
			prefix.len = w.len;
			peer->end =
				relay_from_client(&t->relays[who - 'a'], data, there, &prefix, REPLAY_PACKET_MAX);
		}
		else
		{
			struct relay *r = replay_server(t, who)->link;

			assert_non_null(r);
			replay_peer(t, r == &t->relays[0] ? 'a' : 'b')->end = relay_from_server(r, data, there);
			if (r->held)
				replay_show_again(t, r);
		}
		replay_collect(t);
	}
}

/* The same in the pieces that this run wants. */
static inline void
replay_send(struct replay *t, char who, const struct buf *b)
{
	size_t n = buf_len(b);
	size_t step = t->byte_wise ? 1 : n;
	size_t first = t->cut > 0 && t->cut < n ? t->cut : step;

	for (size_t done = 0; done < n;)
	{
		size_t some = done == 0 ? first : step;

		some = some < n - done ? some : n - done;
		replay_feed(t, who, buf_data(b) + done, some);
		done += some;
	}
}

static inline void
replay_says(struct replay *t, char who, char how, const char *text)
{
	struct replay_peer *peer = replay_peer(t, who);
	struct buf b;
	size_t now;

	buf_init(&b);
	replay_encode(&t->names, text, who == 'a' || who == 'b', &b);
	now = buf_len(&b) - (how == '[' ? 3 : 0);
	replay_put(&peer->held, buf_data(&b) + now, buf_len(&b) - now);
	buf_fini(&b);
	buf_init(&b);
	replay_encode(&t->names, text, who == 'a' || who == 'b', &b);
	b.end -= buf_len(&b) - now;
	replay_send(t, who, &b);
	buf_fini(&b);
}

static inline void
replay_expect(struct replay *t, char who, const char *text)
{
	struct replay_peer *peer = replay_peer(t, who);
	struct buf shown;

	replay_collect(t);
	buf_init(&shown);
	replay_decode(&t->names, &peer->arrived, who == '1' || who == '2', t->line, &shown);
	if (strcmp((const char *) buf_data(&shown), text + strspn(text, " ")) != 0)
		fail_msg("cut at %zu%s, line %s\n  has come: %.2000s", t->cut,
				 t->byte_wise ? " (byte by byte)" : "", t->line, (const char *) buf_data(&shown));
	buf_fini(&shown);
	buf_consume(&peer->arrived, buf_len(&peer->arrived));
}

static inline const char *
replay_end_name(enum relay_end end)
{
	static const char *const names[] = {
		"go_on",      "releasable",  "doubtful",   "terminate",       "client_lost",
		"client_bad", "server_lost", "server_bad", "setting_refused",
	};

	return names[end];
}

/* Every "name=value" of the line must be true. */
static inline void
replay_state(struct replay *t, char who, const char *text)
{
	char state[300];
	char wanted[300];
	char *rest = NULL;

	if (who == 'a' || who == 'b')
	{
		const struct relay *r = &t->relays[who - 'a'];
		int ops = 0;

		list_foreach(n, next, &r->rewrite.ops) ops++;
		char pins[STICKY_REASONS_MAX];
		int n;

		sticky_reasons(&r->sticky, pins, sizeof(pins));
		for (char *p = pins; *p != '\0'; p++)
			*p = *p == ' ' ? ',' : *p;
		n = snprintf(state, sizeof(state), " names=%zu ops=%d unnamed=%d end=%s sqlstate=%s ",
					 names_count(&r->rewrite.names), ops, r->rewrite.unnamed != NULL,
					 replay_end_name(replay_peer(t, who)->end), r->sqlstate);
		snprintf(state + n, sizeof(state) - (size_t) n, "pins=%s work=%d set=%zu ", pins,
				 r->sticky.work != NULL, r->sticky.settings.len);
	}
	else
	{
		const struct server *s = replay_server(t, who);

		snprintf(state, sizeof(state), " known=%zu quiet=%d releasable=%d lost=%d doubt=%d ",
				 stmt_cache_count(&s->statements), txstate_quiet(&s->tx),
				 txstate_releasable(&s->tx), s->statements_lost, s->state_doubt);
	}
	snprintf(wanted, sizeof(wanted), "%s", text);
	for (char *w = strtok_r(wanted, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
	{
		char one[310];

		snprintf(one, sizeof(one), " %s ", w);
		if (strstr(state, one) == NULL)
			fail_msg("cut at %zu, line %s\n  is:%s", t->cut, t->line, state);
	}
}

/* Given, given back. */
static inline void
replay_attach(struct replay *t, char who, char server)
{
	struct relay *r = &t->relays[who - 'a'];

	if (server == '-')
	{
		assert_non_null(r->server);
		if (replay_peer(t, who)->end != RELAY_RELEASABLE || !txstate_releasable(&r->server->tx))
			fail_msg("cut at %zu, line %s: not releasable, end is %s", t->cut, t->line,
					 replay_end_name(replay_peer(t, who)->end));
		/* What it asks first may be outstanding now: then "a@-" comes once more. */
		if (relay_keeps_server(r))
			return;
		r->server->link = NULL;
		r->server = NULL;
		return;
	}
	assert_null(r->server);
	assert_null(replay_server(t, server)->link);
	r->server = replay_server(t, server);
	r->server->link = r;
	sticky_attach(&r->sticky, r->server, replay_peer(t, who)->prefix, sizeof(t->peers[0].prefix));
}

static inline void
replay_line(struct replay *t, const char *line)
{
	char who = line[0];
	struct relay *r = &t->relays[who == 'b'];

	t->line = line;
	switch (line[1])
	{
		case ':':
		case '[':
			replay_says(t, who, line[1], line + 2);
			break;
		case ']':
			replay_send(t, who, &replay_peer(t, who)->held);
			buf_fini(&replay_peer(t, who)->held);
			buf_init(&replay_peer(t, who)->held);
			break;
		case '>':
			replay_expect(t, who, line + 2);
			break;
		case '=':
			replay_state(t, who, line + 2);
			break;
		case '@':
			replay_attach(t, who, line[2]);
			break;
		case '^':
			snprintf(replay_peer(t, who)->prefix, sizeof(t->peers[0].prefix), "%s", line + 2);
			break;
		case '!':
			r->server->link = NULL;
			relay_abandon(r);
			break;
		default:
			fail_msg("no such line: %s", line);
	}
}

static inline void
replay_no_event(struct conn *c, int revents)
{
	(void) c;
	(void) revents;
}

static inline void
replay_open(struct replay *t, int i, struct conn *c)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	conn_open(c, t->loop, nonblocking(fds[0]), replay_no_event);
	conn_read_stop(c);
	t->peers[i].conn = c;
	t->peers[i].fd = fds[1];
	buf_init(&t->peers[i].arrived);
	buf_init(&t->peers[i].held);
}

static inline void
replay_init(struct replay *t, struct loop *loop, size_t max_statements)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->limits.pool_size = 2;
	t->limits.session_state = replay_policy;
	t->statements = statement_count();
	for (int i = 0; i < 2; i++)
	{
		replay_open(t, i, &t->clients[i]);
		replay_open(t, 2 + i, &t->servers[i].conn);
		txstate_init(&t->servers[i].tx);
		relay_init(&t->relays[i]);
		t->relays[i].client = &t->clients[i];
		t->relays[i].params = &t->params[i];
		t->relays[i].stats = &t->stats;
		t->relays[i].meter = &t->meter;
		t->relays[i].rewrite.stats = &t->stats;
		t->relays[i].rewrite.id = (uint64_t) i + 1;
		t->relays[i].rewrite.max = max_statements;
		t->relays[i].rewrite.on = max_statements > 0;
		sticky_init(&t->relays[i].sticky, &t->limits);
		sticky_join(&t->relays[i].sticky, &t->pins, &t->stats);
	}
}

static inline void
replay_fini(struct replay *t)
{
	for (int i = 0; i < 2; i++)
	{
		relay_fini(&t->relays[i]);
		stmt_cache_clear(&t->servers[i].statements);
		settings_fini(&t->servers[i].settings);
		if (t->servers[i].tx.queue != t->servers[i].tx.inline_queue)
			free(t->servers[i].tx.queue);
	}
	for (int i = 0; i < 4; i++)
	{
		conn_close(t->peers[i].conn);
		close(t->peers[i].fd);
		buf_fini(&t->peers[i].arrived);
		buf_fini(&t->peers[i].held);
	}
	meter_fini(&t->meter);
	assert_int_equal(statement_count(), t->statements);
}

/* Length of the longest line that is sent. */
static inline size_t
replay_longest(struct loop *loop, const char *const *script)
{
	struct replay *t = calloc(1, sizeof(*t));
	size_t longest = 0;

	assert_non_null(t);
	t->loop = loop;
	t->names.n = REPLAY_NAMES;
	for (; *script != NULL; script++)
	{
		struct buf b;

		if (strchr(":[", (*script)[1]) == NULL)
			continue;
		buf_init(&b);
		replay_encode(&t->names, *script + 2, (*script)[0] >= 'a', &b);
		longest = buf_len(&b) > longest ? buf_len(&b) : longest;
		buf_fini(&b);
	}
	free(t);
	return longest;
}

static inline void
replay_once(struct loop *loop, const char *const *script, size_t max_statements, size_t cut,
			bool byte_wise)
{
	struct replay *t = malloc(sizeof(*t));

	assert_non_null(t);
	replay_init(t, loop, max_statements);
	t->cut = cut;
	t->byte_wise = byte_wise;
	for (; *script != NULL; script++)
		replay_line(t, *script);
	/* Nothing has come that the script did not look at. */
	for (const char *who = "ab12"; *who != '\0'; who++)
	{
		t->line = "(end of the script)";
		replay_expect(t, *who, "");
	}
	replay_fini(t);
	free(t);
}

/* In one piece only: what follows depends on what comes in one breath, or is too long. */
static inline void
replay_whole(struct loop *loop, const char *const *script, size_t max_statements)
{
	replay_once(loop, script, max_statements, 0, false);
}

static inline void
replay_every_way(struct loop *loop, const char *const *script, size_t max_statements)
{
	size_t longest = replay_longest(loop, script);

	for (size_t cut = 0; cut < longest; cut++)
		replay_once(loop, script, max_statements, cut, false);
	replay_once(loop, script, max_statements, 0, true);
}

/* ---- for the tests ---- */

static struct loop loop;

static inline int
set_up(void **state)
{
	(void) state;
	return loop_init(&loop, 0, NULL) ? 0 : -1;
}

static inline int
tear_down(void **state)
{
	(void) state;
	loop_fini(&loop);
	return 0;
}

#define SCRIPT(...)                                                                                \
	(const char *const[])                                                                          \
	{                                                                                              \
		__VA_ARGS__, NULL                                                                          \
	}

#endif
