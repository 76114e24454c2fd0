/*
 * relay.h - bytes between one client and the server it has, message by message.
 *
 * Headers are parsed where recv() put them and everything that belongs together leaves in one send:
 * a simple query costs recv, send, recv, send. Only what is partial (a cut header, a message that
 * must be seen whole) or refused by a full socket is copied. A message larger than the buffer
 * streams through.
 *
 * Back-pressure: while a side's output waits, the other side is not read.
 */
#ifndef PERFKIT_CORE_RELAY_H
#define PERFKIT_CORE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/rewrite.h"
#include "core/sticky.h"

struct conn;
struct meter;
struct params;
struct pgw_error;
struct server;
struct stats;

#define RELAY_FAKES 64

struct relay
{
	struct conn *client;
	struct server *server;  /* NULL: none */
	struct params *params;  /* of the session: follow ParameterStatus */
	struct stats *stats;    /* of the pool on this loop */
	struct meter *meter;    /* likewise */
	uint64_t xact_us;       /* since when a transaction is under way; 0: none is */
	uint64_t request_us;    /* since when a request is outstanding; 0: none is */
	uint32_t client_left;   /* bytes of the client's message under way that are still to come */
	struct rewrite rewrite; /* prepared statements */
	struct sticky sticky;   /* what the client keeps in its session */
	struct buf large;       /* a client's message that must be whole but outgrows the read buffer */
	uint8_t fakes[RELAY_FAKES]; /* answers of ours, in front of the next bytes to the client */
	int n_fakes;
	uint64_t n_queries; /* answered by ReadyForQuery; since core/throttle asked last */
	bool shared; /* the server is another's when nothing is outstanding and no transaction open */
	bool cut;    /* the client has the beginning of a message whose rest never comes */
	bool held;   /* what the client has saved waits for the server's answers (rewrite W7) */
	bool client_lost;     /* its socket is broken */
	bool refused_setting; /* a setting that was put in front failed: its error is below */
	char sqlstate[6];
	char text[200];
	int64_t max_statement; /* bytes of a statement's text; 0: no limit */
	bool no_simple;        /* disable_pqexec */
	bool dropping;         /* client_left bytes go nowhere */
	bool cancel_sent;      /* the request that runs has been cancelled by us */
	const struct pgw_error
		*cancelled; /* what to say instead when the server answers 57014 to a cancel of ours */
};

enum relay_end
{
	RELAY_GO_ON,
	RELAY_RELEASABLE, /* nothing outstanding, no transaction, no partial message: the server may go
					   */
	RELAY_DOUBTFUL,   /* the same, but the server may still say something (X5): it must be closed */
	/* From here on it is the session's end. */
	RELAY_TERMINATE,   /* the client said goodbye */
	RELAY_CLIENT_LOST, /* its socket is broken */
	RELAY_CLIENT_BAD,  /* it does not keep to the protocol */
	RELAY_SERVER_LOST,
	RELAY_SERVER_BAD,
	RELAY_SETTING_REFUSED,
	RELAY_SIMPLE_FORBIDDEN /* the client has sent a simple query (disable_pqexec) */
};

/* Once, before and after everything else. */
void relay_init(struct relay *r);
void relay_fini(struct relay *r);

/* The session lets its server go without having come to an end with it. */
void relay_abandon(struct relay *r);

/* The client stands inside of a message of the server's: anything that is said to it now would be
 * taken for the rest of it. */
bool relay_client_inside(const struct relay *r);

/* The server was just given: prefix is sent in front of the next client bytes, in the same write.
 */
struct relay_prefix
{
	const void *bytes;
	size_t len;
};

/*
 * Client bytes as conn_recv() gave them; the rest of a cut header is saved with the conn. While
 * `held`, so is what is complete: the client is not to be read then, and after each
 * relay_from_server() what is saved (if only nothing) is to be shown again.
 * max_packet: of one message, in bytes.
 */
enum relay_end relay_from_client(struct relay *r, const uint8_t *p, size_t n,
								 const struct relay_prefix *prefix, uint32_t max_packet);

/* The server could go back. True: it may not, since the client has state on it (core/sticky); what
 * must be asked to learn more has been sent. */
bool relay_keeps_server(struct relay *r);

enum relay_end relay_from_server(struct relay *r, const uint8_t *p, size_t n);

/* Of those that a ReadyForQuery will answer: the clocks of the request and its transaction run. */
static inline void
relay_request_begins(struct relay *r, uint64_t now_us)
{
	r->request_us = now_us;
	if (r->xact_us == 0)
		r->xact_us = now_us;
}

#endif
