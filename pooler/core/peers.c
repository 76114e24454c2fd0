/*
 * peers.c - see peers.h.
 *
 * All forwarding is the first loop's: its list of requests needs no lock, and pool_size can be kept
 * exactly. Cancel requests are rare, and each costs little.
 */
#include "core/peers.h"

#include <ev.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/cancel.h"
#include "core/reach.h"
#include "core/registry.h"
#include "net/conn.h"
#include "proto/pgwrite.h"

/* One request being sent on; on the first loop but for its way there and back. */
struct forward
{
	struct mail mail;
	struct list node; /* forwards */
	struct shard *from;
	struct shard *shard; /* the first */
	struct peers_request request;
	int peer;
	bool active; /* else it waits for others to end */
	struct reach *reach;
	struct conn conn;
	ev_timer timer;
	void (*done)(void *arg);
	void *arg;
};

/* Of the first loop, in the order of arrival. */
static struct list forwards = {&forwards, &forwards};

/* Its lengths by peer, for other threads to read. */
static _Atomic int32_t n_waiting[CONF_PEER_ID_MAX + 1];
static _Atomic int32_t n_active[CONF_PEER_ID_MAX + 1];
static _Atomic int32_t n_login[CONF_PEER_ID_MAX + 1];

static void start_waiting(struct shard *shard);

/* ---- what a request says ---- */

void
peers_receive(struct peers_request *r)
{
	r->hops = PEERS_HOPS;
	if (r->key_len % 2 == 0)
		return;
	r->key_len--;
	if (r->key[r->key_len] < PEERS_HOPS)
		r->hops = r->key[r->key_len];
}

bool
peers_knows(const struct conf *conf, const struct peers_request *r)
{
	int id = registry_peer_of(r->pid);

	return conf->peer_id > 0 && id != conf->peer_id && r->hops > 0 &&
		   r->key_len < STARTUP_MAX_CANCEL_KEY && conf_find_peer(conf, id) != NULL;
}

void
peers_counts(int id, struct peers_counts *out)
{
	out->waiting = atomic_load(&n_waiting[id]);
	out->active = atomic_load(&n_active[id]);
	out->login = atomic_load(&n_login[id]);
}

/* ---- one request ---- */

static void
arrived_back(struct mail *mail)
{
	struct forward *f = list_entry(mail, struct forward, mail);
	void (*done)(void *) = f->done;
	void *arg = f->arg;

	OPENSSL_cleanse(&f->request, sizeof(f->request));
	free(f);
	done(arg);
}

/* It is over, one way or the other; the next one may go. */
static void
end(struct forward *f)
{
	struct shard *shard = f->shard;

	ev_timer_stop(shard->loop.ev, &f->timer);
	list_remove(&f->node);
	if (f->reach != NULL)
		atomic_fetch_sub(&n_login[f->peer], 1);
	atomic_fetch_sub(f->active ? &n_active[f->peer] : &n_waiting[f->peer], 1);
	reach_cancel(&f->reach);
	conn_close(&f->conn);
	loop_post(&f->from->loop, &f->mail, arrived_back);
	start_waiting(shard);
}

/* The peer never answers; it closes when the cancel has been carried out. */
static void
closed_event(struct conn *conn, int revents)
{
	uint8_t *p;
	size_t n;

	(void) revents;
	if (conn_recv(conn, &p, &n) != CONN_AGAIN)
		end(list_entry(conn, struct forward, conn));
}

static void
reached(void *arg, struct conn *conn, const char *error)
{
	struct forward *f = arg;
	struct peers_request *r = &f->request;
	uint8_t mem[STARTUP_MAX_CANCEL_KEY + 32];
	struct pgwriter w;

	f->reach = NULL;
	atomic_fetch_sub(&n_login[f->peer], 1);
	if (conn == NULL)
	{
		log_warning("cancel request not forwarded to peer %d: %s", f->peer, error);
		end(f);
		return;
	}
	conn_take(&f->conn, conn, closed_event);
	r->key[r->key_len] = r->hops - 1;
	pgw_init(&w, mem, sizeof(mem));
	pgw_cancel_request(&w, r->pid, r->key, r->key_len + 1);
	if (w.overflow || !conn_send(&f->conn, w.mem, w.len))
		end(f);
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct forward *f = w->data;

	(void) ev;
	(void) revents;
	log_warning("cancel request forwarded to peer %d not answered within cancel_wait_timeout",
				f->peer);
	end(f);
}

/* Without a host: the directory of our own socket, as with databases. */
static void
start(struct forward *f, const struct conf_peer *peer)
{
	const char *host = peer->host != NULL ? peer->host : f->shard->conf->unix_socket_dir;
	const struct reach_to to = {
		.host = host,
		.port = peer->port,
		.how = reach_first(f->shard, host),
	};

	f->active = true;
	atomic_fetch_sub(&n_waiting[f->peer], 1);
	atomic_fetch_add(&n_active[f->peer], 1);
	atomic_fetch_add(&n_login[f->peer], 1);
	f->reach = reach_start(f->shard, &to, reached, f);
}

/* As many to each peer at once as its pool_size allows. One whose peer is not configured any more
 * waits for its end. */
static void
start_waiting(struct shard *shard)
{
	const struct conf *conf = shard->conf;

	list_foreach(n, next, &forwards)
	{
		struct forward *f = list_entry(n, struct forward, node);
		const struct conf_peer *peer = f->active ? NULL : conf_find_peer(conf, f->peer);

		if (peer != NULL && atomic_load(&n_active[f->peer]) <
								(peer->pool_size < 0 ? conf->default_pool_size : peer->pool_size))
			start(f, peer);
	}
}

static void
arrived(struct mail *mail)
{
	struct forward *f = list_entry(mail, struct forward, mail);

	ev_timer_init(&f->timer, timed_out, 0., 0.);
	f->timer.data = f;
	loop_after(&f->shard->loop, &f->timer, cancel_patience_us(f->shard->conf));
	list_append(&forwards, &f->node);
	atomic_fetch_add(&n_waiting[f->peer], 1);
	start_waiting(f->shard);
}

void
peers_send(struct shard *from, const struct peers_request *r, void (*done)(void *arg), void *arg)
{
	struct forward *f = mem_zalloc(sizeof(*f));

	mail_init(&f->mail);
	list_init(&f->node);
	conn_init(&f->conn);
	f->from = from;
	f->shard = &from->registry->shards[0];
	f->request = *r;
	f->peer = registry_peer_of(r->pid);
	f->done = done;
	f->arg = arg;
	loop_post(&f->shard->loop, &f->mail, arrived);
}

void
peers_abandon_all(struct shard *shard)
{
	if (shard->loop.index != 0)
		return;
	while (!list_empty(&forwards))
		end(list_entry(list_first(&forwards), struct forward, node));
}
