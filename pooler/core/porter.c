/*
 * porter.c - see porter.h.
 *
 *     listen_fd() readable -> a client -> stays here: greet_client()
 *                                      -> by mail to the loop with the fewest sessions
 *                          -> the porter moves to that loop, by mail, and accepts there
 *
 * While sessions only become more the loops are kept equal to the very one: every second client (of
 * two loops) goes by mail. When they come and go that would be mail for nothing, so a client may
 * take the place of one who has left here although another loop has some fewer (SLACK); beyond that
 * the porter itself moves, since a loop that has fallen behind will have room for several. With one
 * loop nothing is ever mailed.
 *
 * N1  The porter is touched by the loop it stands in alone (P1): `here` is changed before the mail
 * that moves it is posted, and nothing is touched after that.
 * N2  A client is counted in n_sessions of its loop before it is accepted, and never counted less
 * on its way: who has seen the sockets closed and then adds up misses nobody (core/retire).
 *
 * The kernel may have no room for one more (descriptors, memory). The client waits then, and so
 * does the porter, for REST_US, without which its loop would spin.
 */
#include "core/porter.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "core/greet.h"
#include "core/registry.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/peer_addr.h"
#include "net/sockopt.h"

#define BURST 16 /* clients in one turn of a loop: the others have their share of it */
#define REST_US 100000
#define REST_LOG_S 10.0 /* being out of descriptors is said at most this often */

/* How many fewer another loop may have, of which the emptiest has n. */
#define SLACK(n) (1 + (n) / 4)

static struct
{
	struct registry *registry;
	struct shard *here; /* where it stands; all below belongs to that loop's thread (N1) */
	ev_io io;
	ev_timer rest; /* runs while it rests; io does not */
	ev_tstamp rest_logged;
	struct mail mail; /* takes it to another loop */
	int after;        /* sessions here when the last one came who stayed */
	int sent_off;     /* clients in a row that did not stay here */
} porter;

/* A client on its way to its loop. */
struct arrival
{
	struct mail mail;
	struct shard *shard;
	struct peer_addr peer;
	int fd;
};

/* On its loop, where it has been counted. */
static void
enter(struct shard *shard, int fd, const struct peer_addr *peer)
{
	sockopt_tune(fd, peer->ss.ss_family == AF_UNIX, shard->conf);
	greet_client(shard, fd, peer);
}

static void
arrived(struct mail *mail)
{
	struct arrival *a = list_entry(mail, struct arrival, mail);

	enter(a->shard, a->fd, &a->peer);
	free(a);
}

static void
send_off(struct shard *shard, int fd, const struct peer_addr *peer)
{
	struct arrival *a = mem_alloc(sizeof(*a));

	mail_init(&a->mail);
	a->shard = shard;
	a->peer = *peer;
	a->fd = fd;
	loop_post(&shard->loop, &a->mail, arrived);
}

/* The loop with the fewest sessions; the one given if it is among them. */
static struct shard *
emptiest(struct registry *r, struct shard *here)
{
	struct shard *best = here;
	int least = atomic_load(&here->n_sessions);

	for (int i = 0; i < r->n_shards; i++)
	{
		int n = atomic_load(&r->shards[i].n_sessions);

		if (n < least)
		{
			best = &r->shards[i];
			least = n;
		}
	}
	return best;
}

void
porter_bring(int fd, const struct peer_addr *peer, void *arg)
{
	struct registry *r = arg;
	struct shard *shard = emptiest(r, &r->shards[0]);

	atomic_fetch_add(&shard->n_sessions, 1);
	send_off(shard, fd, peer);
}

/* ---- moving ---- */

static void
watch(void)
{
	ev_io_set(&porter.io, listen_fd(), EV_READ); /* this loop may not know the descriptor */
	ev_io_start(porter.here->loop.ev, &porter.io);
}

static void
moved_in(struct mail *mail)
{
	(void) mail;
	watch();
}

static void
move_to(struct shard *there)
{
	ev_io_stop(porter.here->loop.ev, &porter.io);
	porter.here = there;
	porter.after = INT_MAX; /* it has the fewest: others have left */
	porter.sent_off = 0;
	loop_post(&there->loop, &porter.mail, moved_in);
}

/* ---- resting ---- */

static void
rest_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	watch();
}

static void
rest(int cause)
{
	struct ev_loop *ev = porter.here->loop.ev;

	if (porter.rest_logged == 0 || ev_now(ev) - porter.rest_logged >= REST_LOG_S)
	{
		porter.rest_logged = ev_now(ev);
		log_error("listener: cannot accept a client: %s; new clients wait", strerror(cause));
	}
	ev_io_stop(ev, &porter.io);
	loop_after(&porter.here->loop, &porter.rest, REST_US);
}

/* ---- accepting ---- */

/* The loop for the next client, or NULL: the porter is gone. */
static struct shard *
place(struct shard *here)
{
	struct shard *best = emptiest(porter.registry, here);
	int mine = atomic_load(&here->n_sessions);
	int least = atomic_load(&best->n_sessions);
	bool left = mine < porter.after; /* somebody has left since the last one came */

	if (best == here || (left && mine <= least + SLACK(least)))
		return here;
	/* Where all leave elsewhere it stands at the wrong place, too. */
	if (!left && porter.sent_off < 2 * porter.registry->n_shards)
		return best;
	move_to(best);
	return NULL;
}

/* False: not one more in this turn. */
static bool
let_one_in(struct shard *here)
{
	struct shard *shard = place(here);
	enum listen_result result;
	struct peer_addr peer;
	int fd;

	if (shard == NULL)
		return false;
	atomic_fetch_add(&shard->n_sessions, 1); /* N2 */
	result = listen_accept(&fd, &peer);
	if (result != LISTEN_CLIENT)
	{
		atomic_fetch_sub(&shard->n_sessions, 1);
		if (result == LISTEN_REFUSED)
			rest(errno);
		return false;
	}
	if (shard != here)
	{
		porter.sent_off++;
		send_off(shard, fd, &peer);
		return true;
	}
	porter.sent_off = 0;
	porter.after = atomic_load(&here->n_sessions);
	enter(here, fd, &peer);
	return true;
}

static void
clients_wait(struct ev_loop *ev, ev_io *w, int revents)
{
	struct shard *here = porter.here;

	(void) ev;
	(void) w;
	(void) revents;
	for (int i = 0; i < BURST; i++)
		if (!let_one_in(here))
			return;
}

/* ---- life ---- */

void
porter_start(struct registry *r)
{
	memset(&porter, 0, sizeof(porter));
	porter.registry = r;
	porter.here = &r->shards[0];
	mail_init(&porter.mail);
	loop_io_init(&porter.io, clients_wait, listen_fd(), EV_READ);
	ev_timer_init(&porter.rest, rest_over, 0., 0.);
	loop_post(&porter.here->loop, &porter.mail, moved_in); /* P1 */
}

void
porter_stop(void)
{
	ev_io_stop(porter.here->loop.ev, &porter.io);
	ev_timer_stop(porter.here->loop.ev, &porter.rest);
}
