/*
 * reach.h - a socket to a PostgreSQL server, with TLS or without, ready for the first packet.
 *
 *     reach_start -> dial -> [SSLRequest -> 'S' -> handshake | 'N'] -> callback(conn)
 *
 * server_tls_sslmode decides in two steps, as libpq does it: the first try follows reach_first();
 * when the server refuses that login, reach_second() tells whether the other way is worth a try.
 */
#ifndef PERFKIT_CORE_REACH_H
#define PERFKIT_CORE_REACH_H

#include <stdbool.h>

struct conn;
struct reach;
struct shard;

enum reach_how
{
	REACH_PLAIN,
	REACH_TLS_OR_PLAIN, /* plain when the server has no TLS, or none that can be agreed on */
	REACH_TLS
};

struct reach_to
{
	const char *host; /* name, address, "/dir", "@abstract" */
	const char *name; /* whom its certificate must be for; NULL: the same */
	int port;
	enum reach_how how;
};

/* Success: c is connected; the callee takes it over with conn_take(). Failure: c is NULL, error is
 * one line. The handle is gone after it; both arguments are valid within it. */
typedef void (*reach_cb)(void *arg, struct conn *c, const char *error);

/* Never calls back from within. The time limit is the caller's. */
struct reach *reach_start(struct shard *shard, const struct reach_to *to, reach_cb cb, void *arg);

/* Takes it back; the callback will not run. *r may be NULL and is NULL afterwards. */
void reach_cancel(struct reach **r);

/* How a host is to be reached now. */
enum reach_how reach_first(const struct shard *shard, const char *host);

/* The same after a try with `how` that came to nothing and ended with or without TLS; false: there
 * is no other way. */
bool reach_second(const struct shard *shard, const char *host, bool with_tls, enum reach_how *how);

#endif
