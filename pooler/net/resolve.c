/*
 * resolve.c - see resolve.h.
 *
 *     resolve_start -> known (net/dns), or somebody asks already: takes that answer
 *         |
 *         `-> ares_getaddrinfo -> c-ares opens sockets (socket_state) -> readable
 * (socket_ready)
 *         -> answered() keeps the result -> a turn of the loop later: the caller's callback
 *
 * c-ares may answer from within ares_getaddrinfo() (from /etc/hosts, or a bad name), so that every
 * answer goes through a timer of the look-up's own; the caller is never called while c-ares is on
 * the stack and may do what it likes.
 *
 * R1  A look-up belongs to c-ares while `asked`; cancelled meanwhile, it is freed by answered().
 * R2  The timer of the channel stands at what ares_timeout() said last; each call into c-ares is
 * followed by arm(). R3  c-ares reads resolv.conf when a channel is made. A channel older than
 * CHANNEL_MAX_AGE_S is replaced at the next look-up that finds it idle, so that a pooler which runs
 * for months follows its machine's name servers.
 *
 * Each loop has its own channel: nothing here is shared between threads but the start-up of the
 * library.
 */
#include "net/resolve.h"

#include <ares.h>
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/nameservers.h"
#include "net/outage.h"

#define CHANNEL_MAX_AGE_S 60.0

/* One per loop: loop->resolver. */
struct resolver
{
	struct loop *loop;
	ares_channel channel;
	ev_tstamp made; /* when the channel was made */
	int under_way;  /* look-ups that are `asked` */
	ev_timer timer; /* R2 */
	struct list sockets;
	struct list
		looking; /* look-ups without an answer, those that are `asked` first of their name */
};

/* A socket of c-ares. */
struct resolver_socket
{
	struct list node;
	struct resolver *owner;
	ev_io io;
};

struct resolve
{
	struct resolver *owner; /* valid while asked */
	struct loop *loop;
	struct list node; /* resolver->looking */
	resolve_cb cb;    /* NULL: cancelled while asked */
	void *arg;
	char *host;
	int port;
	bool asked;     /* R1; else it takes the answer of another one of its name */
	ev_timer later; /* calls back */
	struct dns_answer result;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_status;
static const char *conf_path; /* set before the threads start */

static void
library_start(void)
{
	library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

void
resolve_set_conf(const char *path)
{
	conf_path = path;
}

/* ---- c-ares on the loop ---- */

/* R2 */
static void
arm(struct resolver *r)
{
	struct timeval tv;

	ev_timer_stop(r->loop->ev, &r->timer);
	if (ares_timeout(r->channel, NULL, &tv) == NULL)
		return;
	ev_timer_set(&r->timer, (ev_tstamp) tv.tv_sec + (ev_tstamp) tv.tv_usec / 1e6, 0.);
	ev_timer_start(r->loop->ev, &r->timer);
}

static void
time_passed(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct resolver *r = w->data;

	(void) ev;
	(void) revents;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void
socket_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	const struct resolver_socket *s = w->data;
	struct resolver *r = s->owner;
	int fd = w->fd;

	(void) ev;
	/* c-ares may close the socket, which frees s. */
	ares_process_fd(r->channel, (revents & (EV_READ | EV_ERROR)) != 0 ? fd : ARES_SOCKET_BAD,
					(revents & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	arm(r);
}

static struct resolver_socket *
socket_of(const struct resolver *r, int fd)
{
	list_foreach(n, tmp, &r->sockets)
	{
		struct resolver_socket *s = list_entry(n, struct resolver_socket, node);

		if (s->io.fd == fd)
			return s;
	}
	return NULL;
}

/* c-ares tells what it waits for on a socket; for neither direction before it closes it. */
static void
socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct resolver_socket *s = socket_of(r, fd);

	if (s != NULL)
		ev_io_stop(r->loop->ev, &s->io);
	if (!readable && !writable)
	{
		if (s != NULL)
			list_remove(&s->node);
		free(s);
		return;
	}
	if (s == NULL)
	{
		s = mem_zalloc(sizeof(*s));
		s->owner = r;
		list_append(&r->sockets, &s->node);
	}
	loop_io_init(&s->io, socket_ready, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	s->io.data = s;
	ev_io_start(r->loop->ev, &s->io);
}

/* ---- the channel ---- */

static bool
channel_open(struct resolver *r)
{
	struct ares_options options = {.sock_state_cb = socket_state, .sock_state_cb_data = r};
	int mask = ARES_OPT_SOCK_STATE_CB;
	char servers[NAMESERVERS_TEXT_MAX];
	int status;

	if (conf_path != NULL)
	{
		/* c-ares copies the string; its field is merely not const. */
		options.resolvconf_path = (char *) conf_path;
		mask |= ARES_OPT_RESOLVCONF;
	}
	status = ares_init_options(&r->channel, &options, mask);
	if (status != ARES_SUCCESS)
	{
		log_error("resolver: cannot start: %s", ares_strerror(status));
		r->channel = NULL;
		return false;
	}
	if (conf_path != NULL && nameservers_with_ports(conf_path, servers, sizeof(servers)) &&
		ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS)
		log_error("resolver: cannot use the name servers of %s", conf_path);
	r->made = ev_now(r->loop->ev);
	return true;
}

/* Ends every look-up under way; each comes by answered() before this returns. */
static void
channel_close(struct resolver *r)
{
	if (r->channel != NULL)
		ares_destroy(r->channel);
	r->channel = NULL;
	ev_timer_stop(r->loop->ev, &r->timer);
}

/* The loop's resolver with a channel that is open and fresh, or NULL. */
static struct resolver *
resolver_of(struct loop *loop)
{
	struct resolver *r = loop->resolver;

	pthread_once(&library_once, library_start);
	if (library_status != ARES_SUCCESS)
	{
		log_error("resolver: cannot start c-ares: %s", ares_strerror(library_status));
		return NULL;
	}
	if (r == NULL)
	{
		r = mem_zalloc(sizeof(*r));
		r->loop = loop;
		list_init(&r->sockets);
		list_init(&r->looking);
		ev_timer_init(&r->timer, time_passed, 0., 0.);
		r->timer.data = r;
		loop->resolver = r;
	}
	if (r->channel != NULL && r->under_way == 0 &&
		ev_now(loop->ev) - r->made > CHANNEL_MAX_AGE_S) /* R3 */
		channel_close(r);
	if (r->channel == NULL && !channel_open(r))
		return NULL;
	return r;
}

void
resolve_fini(struct loop *loop)
{
	struct resolver *r = loop->resolver;

	if (r == NULL)
		return;
	channel_close(r);
	loop->resolver = NULL;
	free(r);
}

/* ---- one look-up ---- */

static void
resolve_free(struct resolve *r)
{
	list_remove(&r->node);
	ev_timer_stop(r->loop->ev, &r->later);
	free(r->host);
	free(r);
}

/* With the port, and the addresses that did not answer last time behind the others. */
static void
put_in_order(struct resolve *r)
{
	struct dns_answer *a = &r->result;
	struct peer_addr away[DNS_MAX_ADDRS];
	uint64_t now = clock_now_us();
	char text[PEER_ADDR_TEXT_MAX];
	int n_away = 0;
	int n = 0;
	int port;

	for (int i = 0; i < a->n; i++)
	{
		struct peer_addr one = a->addr[i];

		peer_addr_set_port(&one, r->port);
		peer_addr_text(&one.ss, text, sizeof(text), &port);
		if (outage_is(text, r->port, now))
			away[n_away++] = one;
		else
			a->addr[n++] = one;
	}
	for (int i = 0; i < n_away; i++)
		a->addr[n++] = away[i];
}

static void
call_back(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct resolve *r = w->data;

	(void) ev;
	(void) revents;
	put_in_order(r);
	r->cb(r->arg, &r->result);
	resolve_free(r);
}

/* The result stands; it is delivered by the next turn of the loop. */
static void
have(struct resolve *r)
{
	list_remove(&r->node);
	ev_timer_start(r->loop->ev, &r->later);
}

/* Returns the time to live of what was found. */
static uint64_t
keep(struct dns_answer *answer, const struct ares_addrinfo *found)
{
	const struct ares_addrinfo_node *node = found->nodes;
	int ttl = INT32_MAX;

	for (; node != NULL && answer->n < DNS_MAX_ADDRS; node = node->ai_next)
	{
		struct peer_addr *a = &answer->addr[answer->n];

		if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
			continue;
		memcpy(&a->ss, node->ai_addr, node->ai_addrlen);
		a->len = (socklen_t) node->ai_addrlen;
		peer_addr_set_port(a, 0);
		if (node->ai_ttl < ttl)
			ttl = node->ai_ttl;
		answer->n++;
	}
	return (uint64_t) (ttl < 0 ? 0 : ttl) * 1000000;
}

/* Puts what c-ares has found out into net/dns. */
static void
tell(const char *host, int status, const struct ares_addrinfo *found)
{
	struct dns_answer answer = {0};
	uint64_t ttl = 0;

	if (status == ARES_SUCCESS)
		ttl = keep(&answer, found);
	if (answer.n == 0)
		answer.error = ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status);
	dns_put(host, &answer, ttl,
			status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND);
}

/* c-ares is done with the look-up; maybe while resolve_start() or channel_close() is still on the
 * stack. */
static void
answered(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct resolve *r = arg;
	struct resolver *owner = r->owner;

	(void) timeouts;
	owner->under_way--;
	r->asked = false;
	/* The loop is going down: the owners still hold their handles and cancel them. */
	if (status != ARES_EDESTRUCTION)
		tell(r->host, status, found);
	if (found != NULL)
		ares_freeaddrinfo(found);
	list_foreach(n, tmp, &owner->looking)
	{
		struct resolve *other = list_entry(n, struct resolve, node);

		if (other->cb == NULL || strcmp(other->host, r->host) != 0)
			continue;
		if (status == ARES_EDESTRUCTION)
			list_remove(&other->node);
		else if (dns_get_any(other->host, &other->result))
			have(other);
	}
	if (r->cb == NULL) /* R1 */
		resolve_free(r);
}

static bool
is_asked(const struct resolver *owner, const char *host)
{
	list_foreach(n, tmp, &owner->looking)
	{
		const struct resolve *r = list_entry(n, struct resolve, node);

		if (r->asked && strcmp(r->host, host) == 0)
			return true;
	}
	return false;
}

static void
ask(struct resolver *owner, struct resolve *r)
{
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	r->asked = true;
	owner->under_way++;
	ares_getaddrinfo(owner->channel, r->host, NULL, &hints, answered, r);
	arm(owner);
}

struct resolve *
resolve_start(struct loop *loop, const char *host, int port, resolve_cb cb, void *arg)
{
	struct resolver *owner = resolver_of(loop);
	struct resolve *r;

	if (owner == NULL)
		return NULL;
	r = mem_zalloc(sizeof(*r));
	list_init(&r->node);
	r->owner = owner;
	r->loop = loop;
	r->cb = cb;
	r->arg = arg;
	r->host = mem_strdup(host);
	r->port = port;
	ev_timer_init(&r->later, call_back, 0., 0.);
	r->later.data = r;
	if (dns_get(host, &r->result))
	{
		have(r);
		return r;
	}
	list_append(&owner->looking, &r->node);
	if (!is_asked(owner, host))
		ask(owner, r);
	return r;
}

void
resolve_cancel(struct resolve **handle)
{
	struct resolve *r = *handle;

	*handle = NULL;
	if (r == NULL)
		return;
	r->cb = NULL;
	if (!r->asked) /* R1 */
		resolve_free(r);
}
