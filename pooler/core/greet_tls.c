/*
 * greet_tls.c - see greet_tls.h.
 *
 * A client waits for the 'S' before it begins to speak TLS. Bytes that stand behind its SSLRequest
 * were put there by somebody in between, to be taken for the client's own once TLS has begun
 * (CVE-2021-23214): the connection ends.
 *
 * Direct TLS: the first byte is that of a handshake record, where a startup packet has the highest
 * byte of its length, which is 0. Nothing tells that it is PostgreSQL that the client wants but
 * ALPN, so without that it is refused, as by PostgreSQL.
 */
#include "core/greet_tls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "core/encryption.h"
#include "core/session.h"
#include "net/tls.h"

#define TLS_HANDSHAKE 0x16 /* ContentType of RFC 8446 5.1 */

bool
greet_tls_offered(const struct session *s)
{
	return s->port != 0 && encryption_of_clients(s->shard) != NULL;
}

static void
secured(struct conn *c, const char *error)
{
	struct session *s = list_entry(c, struct session, conn);
	char text[300];

	if (error == NULL && s->direct_tls && !tls_agreed_on_protocol(c->tls))
		error = "direct TLS without the application protocol \"postgresql\"";
	if (error == NULL)
		return;
	snprintf(text, sizeof(text), "TLS handshake failed: %s", error);
	session_end(s, NULL, text);
}

static void
begin(struct session *s)
{
	struct tls *tls = tls_new(encryption_of_clients(s->shard), s->conn.fd, NULL);

	s->asked_ssl = true;
	s->asked_gss = true; /* not inside TLS */
	if (tls == NULL)
		session_end(s, NULL, tls_error());
	else
		conn_secure(&s->conn, tls, secured);
}

void
greet_tls_answer(struct session *s, size_t behind)
{
	if (behind > 0)
		session_fatal(s, "08P01", "received unencrypted data after SSL request");
	else if (!conn_send(&s->conn, "S", 1) || conn_blocked(&s->conn))
		session_end(s, NULL, "client connection lost");
	else
		begin(s);
}

bool
greet_tls_direct(struct session *s)
{
	unsigned char first;
	ssize_t n;

	if (s->conn.tls != NULL || s->asked_ssl || buf_len(&s->conn.in) > 0 || !greet_tls_offered(s))
		return false;
	do
		n = recv(s->conn.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n != 1 || first != TLS_HANDSHAKE)
		return false;
	s->direct_tls = true;
	begin(s);
	return true;
}

bool
greet_tls_enough(struct session *s)
{
	if (s->port == 0 || s->conn.tls != NULL || s->shard->conf->client_tls_sslmode < SSLMODE_REQUIRE)
		return true;
	session_fatal(s, "28000", "SSL required");
	return false;
}
