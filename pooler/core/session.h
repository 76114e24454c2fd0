/*
 * session.h - one client: from its first byte to its last, on one loop (P2).
 *
 *      core/greet                              core/session
 *   accept -> GREETING -> (login) -> LOGIN_WAIT -> IDLE -> WAITING -> ACTIVE -> IDLE …        any
 * -> CLOSING -> freed
 *                     \-> CONSOLE (core/admin)
 *
 * LOGIN_WAIT and WAITING have a waiter in the pool. CLOSING is entered by everyone; it lasts as
 * long as mail to the session is under way (P7).
 */
#ifndef PERFKIT_CORE_SESSION_H
#define PERFKIT_CORE_SESSION_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/params.h"
#include "core/pool.h"
#include "core/registry.h"
#include "core/relay.h"
#include "core/throttle.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/peer_addr.h"

#define SESSION_KEY_MAX                                                                            \
	32 /* bytes of the secret in our cancel keys: 4 in protocol 3.0, 32 in 3.2 */

#define SESSION_ADDR_MAX 46

struct auth;
struct auth_who;
struct console;
struct lookup;
struct replicate;
struct welcome;

enum session_state
{
	SESSION_GREETING,   /* startup packets and authentication */
	SESSION_LOGIN_WAIT, /* authenticated; the pool's first login must tell what to greet with */
	SESSION_IDLE,
	SESSION_WAITING,
	SESSION_ACTIVE,
	SESSION_CONSOLE,
	SESSION_CLOSING,
	SESSION_STATES
};

struct session
{
	struct conn conn;
	struct shard *shard;
	struct list node; /* shard->sessions */
	struct slot slot; /* by the pid of its cancel key, once logged in */
	struct mail mail; /* grants */
	struct pool_waiter waiter;
	struct pool *pool;            /* NULL until logged in, and on the console */
	struct client_limits *limits; /* likewise */
	uint32_t conf_serial;         /* shard's when the pool was looked up */
	struct server *checking; /* WAITING: for its answer to server_check_query; NULL: for none */
	struct relay relay;
	struct params params;    /* asked for at startup or by SET */
	struct welcome *welcome; /* greeted with this; NULL: not yet, or replicates; held */
	ev_timer timer;
	uint64_t deadline_us; /* of the state; 0: none */
	uint64_t timer_at_us; /* when the running timer fires */
	enum session_state state;
	enum pool_mode mode;
	bool counted;               /* in max_client_conn */
	struct quota *client_of[2]; /* where it is counted as a client: its database and its user */
	struct throttle throttle;   /* rates of its user and its address */
	bool said_goodbye;          /* by Terminate: what it asked for before is done */
	bool asked_ssl;             /* greeting */
	bool asked_gss;
	bool direct_tls;  /* it began with TLS, without asking */
	bool notified;    /* WAITING: it has been told (query_wait_notify) */
	bool refusing;    /* core/refuse: drops what comes up to Sync */
	bool ready_due;   /* core/refuse: ReadyForQuery follows when the message is over */
	bool mail_coming; /* CLOSING: a grant's mail is under way and frees it (P7) */
	int busy;         /* answers under way from other loops: not freed until they have come */
	uint32_t minor;   /* protocol 3.minor */
	uint8_t key_len;
	uint8_t key[SESSION_KEY_MAX];
	uint64_t id;
	uint64_t connected_us;
	uint64_t connected_wall_us;
	uint64_t request_wall_us; /* last request */
	char *database;           /* as asked for; owned */
	char *user;
	struct auth *auth;        /* while it lasts */
	struct lookup *lookup;    /* core/admit: while its user is asked for */
	enum auth_type auth_type; /* core/admit: what it is asked for */
	void (*admitted)(struct session *s, const struct auth_who *who);
	char *secret; /* what auth_query gave or the client has sent in clear, if a server can be
				   * logged in to with it; owned, wiped */
	struct console *console;     /* NULL: not on the console; owned */
	bool is_owner;               /* it runs as the pooler does: core/admit */
	struct replicate *replicate; /* NULL: an ordinary client; owned */
	char addr[SESSION_ADDR_MAX];
	uint16_t port; /* 0: unix socket */
};

/* A client connected: fd is the session's. */
struct session *session_new(struct shard *shard, int fd, const struct peer_addr *peer,
							void (*on_event)(struct conn *, int));

/* Says goodbye with an error (NULL: without a word) and ends the session in whatever state it is.
 * The pointer is dead afterwards. */
void session_end(struct session *s, const struct pgw_error *error, const char *log_reason);

/* The same with the usual fields. */
void session_fatal(struct session *s, const char *sqlstate, const char *message);

/* A cancel request with this key came: cancels what the session runs now, or nothing. True when a
 * cancel was sent; done(arg) is called when it has ended. */
bool session_cancel(struct session *s, void (*done)(void *arg), void *arg);

/*
 * An answer from another loop has come (`busy` was raised for it). True: the session lives on. A
 * session that was only kept for the answer is freed, and so is the requester of a cancel, which
 * has nothing else to do.
 */
bool session_answered(struct session *s);

/* Lets deadline (monotonic, 0: none) run from now on. */
void session_deadline(struct session *s, uint64_t at_us);

/* Sets the deadline that the state asks for, counted from since_us. */
void session_watch_time(struct session *s, uint64_t since_us);

/* Frees a session that is CLOSING, once no mail and no answer is under way to it (P7). */
void session_free_if_done(struct session *s);

/* It is not needed any more. */
void session_forget_secret(struct session *s);

void session_set_state(struct session *s, enum session_state state);

const char *session_state_name(const struct session *s);

/* "c42 app/orders 10.0.0.7:51234" for log lines. */
const char *session_label(const struct session *s, char *text, size_t cap);

/* For verbose: what it does now, and with which server. */
void session_trace(const struct session *s, const char *what);

#endif
