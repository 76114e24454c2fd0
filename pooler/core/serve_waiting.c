/*
 * serve_waiting.c - see serve_waiting.h.
 */
#include "core/serve_waiting.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/session.h"
#include "proto/pgmsg.h"

#define READ_AHEAD_MAX 65536 /* bytes kept of a client that waits, with TLS */

/* Whether what the client has sent so far ends with a Terminate: then its work is to be done
 * although it has gone. */
static bool
goodbye_is_saved(const struct session *s)
{
	const struct buf *in = &s->conn.in;
	size_t done = 0;
	struct pgmsg m;

	while (done < buf_len(in) &&
		   pgmsg_peek(buf_data(in) + done, buf_len(in) - done, &m) == PGMSG_OK && m.whole)
	{
		if (m.type == 'X')
			return true;
		done += m.total;
	}
	return false;
}

/*
 * Whether the client is still there: 0 when it has gone, more when it has sent so much that it need
 * not be read before its turn, -1 with errno else. Plain bytes stay where they are; what TLS
 * carries must be read to know a goodbye from a request.
 */
static ssize_t
look(struct session *s)
{
	uint8_t *p;
	size_t n;

	if (s->conn.tls == NULL)
	{
		uint8_t byte;

		return recv(s->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	}
	switch (conn_recv(&s->conn, &p, &n))
	{
		case CONN_OK:
			conn_save(&s->conn, p, n);
			errno = EAGAIN;
			return n >= READ_AHEAD_MAX ? 1 : -1;
		case CONN_EOF:
			return 0;
		default:
			return -1;
	}
}

void
serve_waiting_event(struct session *s)
{
	ssize_t n = look(s);

	if (n == 0 && goodbye_is_saved(s))
		conn_read_stop(&s->conn);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		session_end(s, NULL, "client connection lost while waiting");
	else if (n > 0)
		conn_read_stop(&s->conn);
}
