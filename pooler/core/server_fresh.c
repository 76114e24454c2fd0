/*
 * server_fresh.c - whether a server that changes hands has ended meanwhile.
 */
#include "core/server.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/loop.h"

#define FRESH_US 50000 /* idle for less on the own loop: its park watcher would have told */

/* Nothing to read on it, not even its end. Costs a system call. */
static bool
has_nothing_to_say(const struct server *s)
{
	uint8_t byte;
	ssize_t n;

	do
		n = recv(s->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool
server_is_stale(const struct server *s)
{
	return s->conn.fd >= 0 && s->member.generation != pool_generation(s->member.pool);
}

void
server_retire(struct server *s, struct shard *shard)
{
	server_look_after(s, shard);
	server_close(s, "no place in the pool any more", true);
}

bool
server_fresh(struct server *s, const struct pool_todo *todo)
{
	const bool spoke = s->spoke;

	s->spoke = false;
	if (s->conn.fd < 0)
		return true; /* a place without a connection: core/server_own */
	/* Its end may have come in the very batch of events that is being worked off, or behind what
	 * has been read of it. */
	if (todo->unpark && !ev_is_pending(&s->park) && !spoke &&
		clock_turn_us() < s->member.idle_since_us + FRESH_US)
		return true;
	return has_nothing_to_say(s);
}

bool
server_arrived(struct server *s, const struct shard *shard)
{
	const bool spoke = s->spoke;

	s->spoke = false;
	/* Nobody watched it on its way from another loop. */
	if (s->shard == shard && !spoke && !ev_is_pending(&s->conn.io))
		return true;
	return s->conn.fd < 0 || has_nothing_to_say(s);
}
