/*
 * greet.c - see greet.h.
 *
 * The happy path: [SSLRequest 'S' and a TLS handshake, or 'N'] [GSSENCRequest 'N'] StartupMessage
 * -> [NegotiateProtocolVersion]
 * -> authentication -> AuthenticationOk -> serve_start(), or admin_start() for the console.
 * client_login_timeout covers all of it.
 *
 * The database is looked at after the password: who may not log in does not learn which databases
 * there are.
 */
#include "core/greet.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/admin.h"
#include "core/admit.h"
#include "core/auth.h"
#include "core/credentials.h"
#include "core/greet_cancel.h"
#include "core/greet_name.h"
#include "core/greet_params.h"
#include "core/greet_tls.h"
#include "core/registry.h"
#include "core/replicate.h"
#include "core/serve.h"
#include "core/session.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/startup.h"

#define PROTOCOL_NEWEST_MINOR 2
#define PROTOCOL(minor) ((3u << 16) | (minor))
#define NAME_MAX_LEN 63 /* PostgreSQL's identifiers */

static void authentication_event(struct conn *c, int revents);
static void authentication_input(struct session *s, const uint8_t *p, size_t n);
static enum conn_io receive(struct session *s, uint8_t **p, size_t *n);

/* ---- startup packet ---- */

static bool
send_writer(struct session *s, const struct pgwriter *w)
{
	if (!w->overflow && conn_send(&s->conn, w->mem, w->len))
		return true;
	session_end(s, NULL, "client connection lost");
	return false;
}

static bool
take_names(struct session *s, const struct startup *packet)
{
	const char *user = startup_param(packet, "user");
	const char *database = startup_param(packet, "database");

	if (user == NULL || user[0] == '\0')
	{
		session_fatal(s, "28000", "no username supplied");
		return false;
	}
	if (database == NULL || database[0] == '\0')
		database = user;
	if (strlen(user) > NAME_MAX_LEN || strlen(database) > NAME_MAX_LEN)
	{
		session_fatal(s, "08P01",
					  strlen(user) > NAME_MAX_LEN ? "username too long" : "database name too long");
		return false;
	}
	s->user = mem_strdup(user);
	s->database = mem_strdup(database);
	return true;
}

/* The newest protocol that both sides speak; unknown options are named. */
static void
negotiate(struct session *s, const struct startup *packet, struct pgwriter *w)
{
	s->minor = packet->minor < PROTOCOL_NEWEST_MINOR ? packet->minor : PROTOCOL_NEWEST_MINOR;
	if (packet->minor > PROTOCOL_NEWEST_MINOR || packet->n_pq_options > 0)
		pgw_negotiate(w, PROTOCOL(s->minor), packet->pq_options, packet->n_pq_options);
}

/* False: one too many; the session has been ended. */
static bool
within_rate(struct session *s, const struct conf_limits *limits, enum rate_kind kind)
{
	struct throttle_error error;

	if (throttle_connection(&s->throttle, limits, kind, &error))
		return true;
	session_end(s, &error.e, error.message);
	return false;
}

/* Before anything is looked up or proved. */
static bool
address_may_come(struct session *s)
{
	const struct conf *conf = s->shard->conf;
	struct conf_limits limits;

	if (admin_is_console(conf, s->database))
		return true;
	throttle_init(&s->throttle, &s->shard->registry->rates, s->user, s->port == 0 ? NULL : s->addr);
	conf_limits(conf, conf_find_database(conf, s->database), s->user, &limits);
	return within_rate(s, &limits, RATE_ADDRESS);
}

/* A place among max_client_conn; the console has room always. */
static bool
take_place(struct session *s)
{
	struct registry *r = s->shard->registry;

	if (admin_is_console(s->shard->conf, s->database))
		return true;
	if (atomic_load(&r->shutting_down) && (s->port == 0 || !atomic_load(&r->serving_arrived)))
	{
		session_fatal(s, "57P03", "the pooler is shutting down");
		return false;
	}
	s->counted = true;
	if (atomic_fetch_add(&r->n_clients, 1) < s->shard->conf->max_client_conn)
		return true;
	session_fatal(s, "53300", "no more connections allowed (max_client_conn)");
	return false;
}

/* ---- authentication ---- */

/* A place among the clients of its database and of its user. */
static bool
take_shared_places(struct session *s, const struct conf *conf, const struct conf_limits *limits)
{
	const int64_t most[] = {limits->max_db_client_connections, limits->max_user_client_connections};
	const char *const names[] = {s->database, s->user};
	static const char *const texts[] = {
		"client connections exceeded (max_db_client_connections)",
		"client connections exceeded (max_user_client_connections)",
	};

	for (int i = 0; i < 2; i++)
	{
		struct quota *q = registry_quota(s->shard->registry, conf, (enum quota_kind) i, names[i]);

		if (!quota_take_client(q, most[i]))
		{
			registry_quota_leave(s->shard->registry, &q);
			session_fatal(s, "53300", texts[i]);
			return false;
		}
		s->client_of[i] = q;
	}
	return true;
}

static void
authenticated(struct session *s)
{
	const struct conf *conf = s->shard->conf;
	const struct conf_database *db;
	struct conf_limits limits;
	struct pool *pool;
	uint8_t keys[2][SCRAM_KEY_LEN];
	bool has_keys;
	char text[200];

	has_keys = auth_keys(s->auth, keys[0], keys[1]);
	if (auth_password(s->auth) != NULL)
	{
		session_forget_secret(s);
		s->secret = mem_strdup(auth_password(s->auth));
	}
	auth_free(s->auth);
	s->auth = NULL;
	if (admin_is_console(conf, s->database))
	{
		admin_start(s);
		return;
	}
	db = conf_find_database(conf, s->database);
	if (db == NULL)
	{
		snprintf(text, sizeof(text), "no such database: %s", s->database);
		session_fatal(s, "3D000", text);
		return;
	}
	if (registry_is_disabled(s->shard->registry, s->database))
	{
		snprintf(text, sizeof(text), "database \"%s\" is disabled", s->database);
		session_fatal(s, "57P03", text);
		return;
	}
	if (conf->auth_type == AUTH_ANY && db->user == NULL)
	{
		session_fatal(s, "28000", "bouncer config error"); /* conf/check.c says at start which */
		return;
	}
	conf_limits(conf, db, s->user, &limits);
	if (!within_rate(s, &limits, RATE_USER) || !take_shared_places(s, conf, &limits))
		return;
	pool = s->replicate != NULL
			   ? registry_replication_pool(s->shard->registry, conf, db, s->database, s->user)
			   : registry_pool(s->shard->registry, conf, db, s->database, s->user);
	/* Who logs in to the server as somebody else proves nothing for that one. */
	if (db->user == NULL && has_keys)
		credentials_set_keys(registry_credentials(pool), keys[0], keys[1]);
	else if (db->user == NULL && s->secret != NULL)
		credentials_set_password(registry_credentials(pool), s->secret);
	OPENSSL_cleanse(keys, sizeof(keys));
	session_forget_secret(s);
	serve_start(s, pool);
}

/* Sends what the step produced, then acts on its result. */
static void
after_step(struct session *s, enum auth_result result, struct pgwriter *w)
{
	char text[200];
	uint8_t *p;
	size_t n;

	if (result == AUTH_OK)
	{
		/* It leaves with the greeting, where that is at hand. */
		conn_cork(&s->conn);
		pgw_auth_ok(w);
	}
	if (w->len > 0 && !send_writer(s, w))
		return;
	switch (result)
	{
		case AUTH_MORE:
			/* What came behind the message before is looked at now: no event will tell of it. */
			if (conn_saved(&s->conn, &p, &n))
				authentication_input(s, p, n);
			break;
		case AUTH_OK:
			authenticated(s);
			break;
		case AUTH_FAILED:
			admit_failed(s);
			snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", s->user);
			session_fatal(s, "28P01", text);
			break;
		case AUTH_NO_USER:
			session_fatal(s, "28000", "\"trust\" authentication failed");
			break;
		case AUTH_BAD:
			session_fatal(s, "08P01", "invalid authentication message");
			break;
	}
}

/* The client has nothing to say while its user is looked up, but may leave. */
static void
lookup_event(struct conn *c, int revents)
{
	struct session *s = list_entry(c, struct session, conn);
	uint8_t *p;
	size_t n;

	if ((revents & EV_READ) == 0 || receive(s, &p, &n) != CONN_OK)
		return;
	conn_save(c, p, n);
	if (n > STARTUP_MAX_LEN)
		session_fatal(s, "08P01", "invalid authentication message");
}

/* It is known what the client has to prove. */
static void
admitted(struct session *s, const struct auth_who *who)
{
	uint8_t mem[2048];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	s->auth = auth_new(s->shard->conf, who, s->shard->registry->mock_key);
	s->conn.on_event = authentication_event;
	after_step(s, auth_begin(s->auth, &w), &w);
}

static void
started(struct session *s, const struct startup *packet)
{
	uint8_t mem[8192];
	struct pgwriter w;
	struct pgw_error e;

	if (!greet_tls_enough(s) || !take_names(s, packet) || !address_may_come(s) || !take_place(s))
		return;
	if (!replicate_asked(packet, &s->replicate, &e))
	{
		session_end(s, &e, e.message);
		return;
	}
	if (!greet_params_take(s, packet))
		return;
	if (s->shard->conf->application_name_add_host)
		greet_name_add_host(s);
	pgw_init(&w, mem, sizeof(mem));
	negotiate(s, packet, &w);
	if (w.len > 0 && !send_writer(s, &w))
		return;
	s->conn.on_event = lookup_event;
	admit_start(s, admitted);
}

/* SSL and GSS may each be asked for once. */
static bool
asked_before(struct session *s, enum startup_kind kind)
{
	bool *asked = kind == STARTUP_SSL ? &s->asked_ssl : &s->asked_gss;
	bool before = *asked;

	*asked = true;
	return before;
}

/* Returns the bytes taken, 0 when more are needed or the session has been ended or handed on. */
static size_t
startup_packet(struct session *s, const uint8_t *p, size_t n)
{
	struct startup packet;
	char text[200];
	enum startup_kind kind = startup_parse(p, n, &packet);

	switch (kind)
	{
		case STARTUP_NEED_MORE:
			conn_save(&s->conn, p, n);
			return 0;
		case STARTUP_SSL:
		case STARTUP_GSSENC:
			if (asked_before(s, kind))
			{
				session_fatal(s, "08P01", "encryption was asked for twice");
				return 0;
			}
			if (kind == STARTUP_SSL && greet_tls_offered(s))
			{
				greet_tls_answer(s, n - packet.total);
				return 0;
			}
			if (conn_send(&s->conn, "N", 1))
				return packet.total;
			session_end(s, NULL, "client connection lost");
			return 0;
		case STARTUP_CANCEL:
			greet_cancel(s, &packet);
			return 0;
		case STARTUP_PROTOCOL:
			conn_save(&s->conn, p + packet.total, n - packet.total);
			started(s, &packet);
			return 0;
		case STARTUP_UNSUPPORTED:
			snprintf(text, sizeof(text), "unsupported frontend protocol %u.%u", packet.major,
					 packet.minor);
			session_fatal(s, "0A000", packet.major == 2 ? "old V2 protocol not supported" : text);
			return 0;
		case STARTUP_BAD:
			session_fatal(s, "08P01", packet.error);
			return 0;
	}
	return 0;
}

static enum conn_io
receive(struct session *s, uint8_t **p, size_t *n)
{
	enum conn_io io = conn_recv(&s->conn, p, n);

	if (io == CONN_EOF)
		session_end(s, NULL, "client left during login");
	else if (io == CONN_ERROR)
		session_end(s, NULL, strerror(errno));
	return io;
}

static void
startup_event(struct conn *c, int revents)
{
	struct session *s = list_entry(c, struct session, conn);
	uint8_t *p;
	size_t n;

	if ((revents & EV_READ) == 0 || greet_tls_direct(s) || receive(s, &p, &n) != CONN_OK)
		return;
	while (n > 0)
	{
		size_t used = startup_packet(s, p, n);

		if (used == 0)
			return;
		p += used;
		n -= used;
	}
}

/* The client's answer to an authentication request, as far as it is there. */
static void
authentication_input(struct session *s, const uint8_t *p, size_t n)
{
	uint8_t mem[2048];
	struct pgwriter w;
	struct pgmsg m;
	enum pgmsg_result r = pgmsg_peek(p, n, &m);

	if (r == PGMSG_BAD || (r == PGMSG_OK && (m.type != 'p' || m.total > STARTUP_MAX_LEN)))
	{
		session_fatal(s, "08P01", "invalid authentication message");
		return;
	}
	if (r == PGMSG_NEED_MORE || !m.whole)
	{
		conn_save(&s->conn, p, n);
		return;
	}
	conn_save(&s->conn, p + m.total, n - m.total);
	pgw_init(&w, mem, sizeof(mem));
	after_step(s, auth_message(s->auth, &m, &w), &w);
}

static void
authentication_event(struct conn *c, int revents)
{
	struct session *s = list_entry(c, struct session, conn);
	uint8_t *p;
	size_t n;

	if ((revents & EV_READ) != 0 && receive(s, &p, &n) == CONN_OK)
		authentication_input(s, p, n);
}

void
greet_client(struct shard *shard, int fd, const struct peer_addr *peer)
{
	struct session *s = session_new(shard, fd, peer, startup_event);

	if (shard->conf->client_login_timeout_us > 0)
		session_deadline(s, s->connected_us + shard->conf->client_login_timeout_us);
	/* The kernel has kept it back until something was there: no event need tell of it. */
	if (s->port != 0 && shard->conf->tcp_defer_accept > 0 && !shard->conf->so_reuseport)
		startup_event(&s->conn, EV_READ);
}
