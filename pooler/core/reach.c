/*
 * reach.c - see reach.h.
 *
 * The server's answer to the SSLRequest is one byte, and it has been asked nothing else: whatever
 * stands behind it was put there by somebody in between, who hopes that it is taken for what comes
 * out of the TLS connection (CVE-2021-23222). Then the connection is given up.
 */
#include "core/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/encryption.h"
#include "core/registry.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/sockopt.h"
#include "net/tls.h"
#include "proto/pgwrite.h"

struct reach
{
	struct shard *shard;
	char *host;
	char *name;
	int port;
	enum reach_how how;
	bool direct;       /* TLS from the first byte on */
	struct dial *dial; /* NULL once the socket is connected */
	struct conn conn;
	reach_cb cb;
	void *arg;
};

static void
reach_free(struct reach *r)
{
	dial_cancel(&r->dial);
	conn_close(&r->conn);
	free(r->host);
	free(r->name);
	free(r);
}

void
reach_cancel(struct reach **handle)
{
	struct reach *r = *handle;

	*handle = NULL;
	if (r != NULL)
		reach_free(r);
}

/* error NULL: done. */
static void
finish(struct reach *r, const char *error)
{
	r->cb(r->arg, error == NULL ? &r->conn : NULL, error);
	reach_free(r);
}

static void connected(void *arg, int fd, const char *error);

static void
secured(struct conn *c, const char *error)
{
	struct reach *r = list_entry(c, struct reach, conn);
	char text[300];

	if (error == NULL && r->direct && !tls_agreed_on_protocol(c->tls))
		error = "server does not know the application protocol \"postgresql\" (server_tls_direct)";
	if (error == NULL)
	{
		finish(r, NULL);
		return;
	}
	snprintf(text, sizeof(text), "TLS handshake with %s failed: %s", r->name, error);
	if (r->how != REACH_TLS_OR_PLAIN)
	{
		finish(r, text);
		return;
	}
	/* It has TLS, but none that we can speak. */
	log_info("%s; going on without TLS", text);
	conn_close(&r->conn);
	r->how = REACH_PLAIN;
	r->dial = dial_start(&r->shard->loop, r->host, r->port, connected, r);
}

static void
start_tls(struct reach *r)
{
	struct tls_context *context = encryption_of_servers(r->shard);
	struct tls *tls = context == NULL ? NULL : tls_new(context, r->conn.fd, r->name);

	if (tls == NULL)
		finish(r, context == NULL ? "TLS has been turned off meanwhile" : tls_error());
	else
		conn_secure(&r->conn, tls, secured);
}

/* The answer to the SSLRequest. */
static void
answered(struct conn *c, int revents)
{
	struct reach *r = list_entry(c, struct reach, conn);
	uint8_t *p;
	size_t n;
	enum conn_io io;

	if ((revents & EV_READ) == 0)
		return;
	io = conn_recv(c, &p, &n);
	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
		finish(r, io == CONN_EOF ? "server closed the connection when asked for TLS"
								 : strerror(errno));
	else if (n > 1 && (p[0] == 'S' || p[0] == 'N'))
		finish(r, "server sent unencrypted bytes behind its answer to the TLS request");
	else if (p[0] == 'S')
		start_tls(r);
	else if (p[0] == 'N' && r->how == REACH_TLS_OR_PLAIN)
		finish(r, NULL);
	else if (p[0] == 'N')
		finish(r, "server has no TLS, but server_tls_sslmode asks for it");
	else if (p[0] == 'E')
		finish(r, "server answers the TLS request with an error: perhaps it can start no process");
	else
		finish(r, "server does not understand the TLS request: is this a PostgreSQL server?");
}

static void
connected(void *arg, int fd, const char *error)
{
	struct reach *r = arg;
	uint8_t mem[8];
	struct pgwriter w;

	r->dial = NULL;
	if (fd < 0)
	{
		finish(r, error);
		return;
	}
	sockopt_tune(fd, sockopt_is_local(fd), r->shard->conf);
	conn_open(&r->conn, &r->shard->loop, fd, answered);
	if (r->how == REACH_PLAIN)
	{
		finish(r, NULL);
		return;
	}
	r->direct = r->how == REACH_TLS && r->shard->conf->server_tls_direct;
	if (r->direct)
	{
		start_tls(r);
		return;
	}
	pgw_init(&w, mem, sizeof(mem));
	pgw_ssl_request(&w);
	if (!conn_send(&r->conn, w.mem, w.len) || conn_blocked(&r->conn))
		finish(r, "TLS request could not be sent");
}

struct reach *
reach_start(struct shard *shard, const struct reach_to *to, reach_cb cb, void *arg)
{
	struct reach *r = mem_zalloc(sizeof(*r));

	r->shard = shard;
	r->host = mem_strdup(to->host);
	r->name = mem_strdup(to->name != NULL ? to->name : to->host);
	r->port = to->port;
	r->how = to->how;
	r->cb = cb;
	r->arg = arg;
	conn_init(&r->conn);
	r->dial = dial_start(&shard->loop, to->host, to->port, connected, r);
	return r;
}

static bool
is_unix(const char *host)
{
	return host[0] == '/' || host[0] == '@';
}

enum reach_how
reach_first(const struct shard *shard, const char *host)
{
	if (is_unix(host))
		return REACH_PLAIN;
	switch (shard->conf->server_tls_sslmode)
	{
		case SSLMODE_DISABLE:
		case SSLMODE_ALLOW:
			return REACH_PLAIN;
		case SSLMODE_PREFER:
			return REACH_TLS_OR_PLAIN;
		default:
			return REACH_TLS;
	}
}

bool
reach_second(const struct shard *shard, const char *host, bool with_tls, enum reach_how *how)
{
	if (is_unix(host))
		return false;
	if (shard->conf->server_tls_sslmode == SSLMODE_ALLOW && !with_tls)
		*how = REACH_TLS;
	else if (shard->conf->server_tls_sslmode == SSLMODE_PREFER && with_tls)
		*how = REACH_PLAIN;
	else
		return false;
	return true;
}
