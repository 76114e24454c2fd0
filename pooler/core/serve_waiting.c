/*
 * serve_waiting.c - see serve_waiting.h.
 */
#include "core/serve_waiting.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/session.h"
#include "proto/pgmsg.h"

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

void
serve_waiting_event(struct session *s)
{
	uint8_t byte;
	ssize_t n = recv(s->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == 0 && goodbye_is_saved(s))
		conn_read_stop(&s->conn);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		session_end(s, NULL, "client connection lost while waiting");
	else if (n > 0)
		conn_read_stop(&s->conn);
}
