/*
 * http.c - see http.h.
 *
 * A request is held by two: by libmicrohttpd until it has sent the answer or lost the connection
 * (completed()), and by whoever was asked until http_answer(). Who comes last frees it.
 *
 * H1  Nothing of libmicrohttpd is called from within one of its callbacks but what it allows there:
 * an answer that comes while ask() still runs is kept until the callback is called again.
 * H2  An asked connection without an answer is suspended: no byte is read of it, and its end is not
 * noticed before it is resumed. So http_close() resumes all before it stops the daemon, as
 * libmicrohttpd demands.
 * H3  Every call that may leave libmicrohttpd with something to do is followed by turn(), at once
 * or by the timer.
 */
#include "net/http.h"

#include <errno.h>
#include <ev.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/peer_addr.h"

#define REST_S 0.1 /* after the kernel has refused a descriptor */

struct http
{
	struct loop *loop;
	struct MHD_Daemon *daemon;
	ev_io accept;
	ev_io io;       /* libmicrohttpd's epoll descriptor */
	ev_timer turn;  /* when it wants to be called in any case */
	ev_timer rest;  /* accepting goes on */
	ev_timer sweep; /* the first connection's time may be over */
	struct list conns;
	int n_conns;
	struct list asked; /* requests without an answer */
	uint64_t timeout_us;
	http_ask ask;
	void *arg;
};

struct http_conn
{
	struct list node;  /* http->conns */
	int fd;            /* libmicrohttpd's */
	uint64_t since_us; /* it came, or a request or an answer was complete */
};

struct http_request
{
	struct list node;                  /* http->asked */
	struct http *server;               /* alive as long as the connection */
	struct MHD_Connection *connection; /* NULL: it is gone */
	struct MHD_Response *response;     /* answered, not handed over yet */
	unsigned status;
	bool was_asked;
	bool suspended;
	bool answered;
	char retry_after[12]; /* seconds; "": nothing is said of it */
};

static void turn(struct http *h);

/* ---- connections ---- */

static void
may_accept(struct http *h)
{
	if (h->n_conns < HTTP_CONNECTIONS && !ev_is_active(&h->rest))
		ev_io_start(h->loop->ev, &h->accept);
	else
		ev_io_stop(h->loop->ev, &h->accept);
}

static void
rest_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	may_accept(w->data);
}

static void
accept_event(struct ev_loop *ev, ev_io *w, int revents)
{
	struct http *h = w->data;
	struct peer_addr peer = {.len = sizeof(peer.ss)};
	int fd = accept4(w->fd, (struct sockaddr *) &peer.ss, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void) revents;
	if (fd >= 0)
	{
		/* It closes the socket if it does not take it. */
		MHD_add_connection(h->daemon, fd, (struct sockaddr *) &peer.ss, peer.len);
		turn(h);
	}
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
	{
		ev_timer_set(&h->rest, REST_S, 0.);
		ev_timer_start(ev, &h->rest);
		may_accept(h);
	}
}

/* When the time of the first connection is over. */
static void
set_sweep(struct http *h)
{
	uint64_t now = clock_now_us();
	uint64_t first = UINT64_MAX;

	list_foreach(n, next, &h->conns)
	{
		const struct http_conn *c = list_entry(n, struct http_conn, node);

		if (c->since_us < first)
			first = c->since_us;
	}
	ev_timer_stop(h->loop->ev, &h->sweep);
	if (first != UINT64_MAX)
		loop_after(h->loop, &h->sweep,
				   first + h->timeout_us > now ? first + h->timeout_us - now : 0);
}

static void
sweep_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct http *h = w->data;
	uint64_t now = clock_now_us();

	(void) ev;
	(void) revents;
	list_foreach(n, next, &h->conns)
	{
		struct http_conn *c = list_entry(n, struct http_conn, node);

		if (now < c->since_us + h->timeout_us)
			continue;
		/* libmicrohttpd notices; a suspended one when it is answered, so it has all of its time
		 * again until then. */
		shutdown(c->fd, SHUT_RDWR);
		c->since_us = now;
	}
	set_sweep(h);
}

static void
connection_event(void *arg, struct MHD_Connection *connection, void **slot,
				 enum MHD_ConnectionNotificationCode what)
{
	struct http *h = arg;
	struct http_conn *c = *slot;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		c = mem_zalloc(sizeof(*c));
		c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		c->since_us = clock_now_us();
		list_append(&h->conns, &c->node);
		h->n_conns++;
		*slot = c;
		if (!ev_is_active(&h->sweep))
			set_sweep(h);
	}
	else if (c != NULL)
	{
		list_remove(&c->node);
		h->n_conns--;
		free(c);
		*slot = NULL;
	}
	may_accept(h);
}

/* Something is complete: there is as much time for what follows. */
static void
time_begins(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_conn *c = info != NULL ? info->socket_context : NULL;

	if (c != NULL)
		c->since_us = clock_now_us();
}

/* ---- requests ---- */

static void
free_if_done(struct http_request *q)
{
	if (q->connection != NULL || (q->was_asked && !q->answered))
		return;
	if (q->response != NULL)
		MHD_destroy_response(q->response);
	free(q);
}

/* The answer has been sent, or there is nobody any more to send it to. */
static void
completed(void *arg, struct MHD_Connection *connection, void **slot,
		  enum MHD_RequestTerminationCode why)
{
	struct http_request *q = *slot;

	(void) arg;
	(void) why;
	time_begins(connection);
	if (q == NULL)
		return;
	*slot = NULL;
	q->connection = NULL;
	list_remove(&q->node);
	free_if_done(q);
}

static enum MHD_Result
send_answer(struct http_request *q)
{
	enum MHD_Result queued = MHD_queue_response(q->connection, q->status, q->response);

	MHD_destroy_response(q->response);
	q->response = NULL;
	return queued;
}

static enum MHD_Result
request_event(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
			  const char *version, const char *body, size_t *body_len, void **slot)
{
	struct http *h = arg;
	struct http_request *q = *slot;
	bool knows =
		strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;

	(void) version;
	(void) body;
	if (q == NULL)
	{
		q = mem_zalloc(sizeof(*q));
		list_init(&q->node);
		q->server = h;
		q->connection = connection;
		*slot = q;
		time_begins(connection);
		return MHD_YES;
	}
	if (*body_len > 0)
	{
		*body_len = 0; /* of a body nothing is wanted, but its end */
		return MHD_YES;
	}
	if (!q->was_asked)
	{
		struct http_request *asked = q;

		q->was_asked = true;
		list_append(&h->asked, &q->node);
		if (knows)
			h->ask(q, path, h->arg);
		else
			http_answer(&asked, 405, "text/plain", "GET and HEAD only\n", 18);
	}
	if (q->response != NULL)
		return send_answer(q);
	if (q->answered)
		return MHD_NO;
	q->suspended = true;
	MHD_suspend_connection(connection);
	return MHD_YES;
}

const char *
http_header(const struct http_request *q, const char *name)
{
	if (q->connection == NULL)
		return NULL;
	return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

void
http_retry_after(struct http_request *q, int seconds)
{
	snprintf(q->retry_after, sizeof(q->retry_after), "%d", seconds);
}

void
http_answer(struct http_request **request, int status, const char *type, const void *body, size_t n)
{
	struct http_request *q = *request;

	*request = NULL;
	q->answered = true;
	list_remove(&q->node);
	if (q->connection == NULL)
	{
		free_if_done(q);
		return;
	}
	q->status = (unsigned) status;
	q->response = MHD_create_response_from_buffer(n, (void *) body, MHD_RESPMEM_MUST_COPY);
	if (q->response != NULL)
	{
		MHD_add_response_header(q->response, "Content-Type", type);
		MHD_add_response_header(q->response, "Cache-Control", "no-store");
		if (status == 405)
			MHD_add_response_header(q->response, "Allow", "GET, HEAD");
		if (q->retry_after[0] != '\0')
			MHD_add_response_header(q->response, "Retry-After", q->retry_after);
	}
	if (q->suspended)
	{
		q->suspended = false;
		MHD_resume_connection(q->connection);
		loop_after(q->server->loop, &q->server->turn, 0); /* H3 */
	}
}

/* ---- libmicrohttpd on the loop ---- */

/* Lets it do what there is, and sets the timer by what it says. */
static void
turn(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->daemon);
	ev_timer_stop(h->loop->ev, &h->turn);
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		loop_after(h->loop, &h->turn, ms * 1000);
}

static void
turn_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	turn(w->data);
}

static void
io_event(struct ev_loop *ev, ev_io *w, int revents)
{
	(void) ev;
	(void) revents;
	turn(w->data);
}

static void __attribute__((format(printf, 2, 0))) complain(void *arg, const char *fmt, va_list ap)
{
	char line[256];
	size_t n;

	(void) arg;
	vsnprintf(line, sizeof(line), fmt, ap);
	n = strlen(line);
	while (n > 0 && line[n - 1] == '\n')
		line[--n] = '\0';
	log_debug("http: %s", line);
}

/* ---- life ---- */

static int
listen_on(const struct peer_addr *a)
{
	int on = 1;
	int cause;
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		bind(fd, (const struct sockaddr *) &a->ss, a->len) == 0 &&
		listen(fd, HTTP_CONNECTIONS) == 0)
		return fd;
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

static struct MHD_Daemon *
start_daemon(struct http *h)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
								MHD_USE_ERROR_LOG,
							0, NULL, NULL, request_event, h, MHD_OPTION_EXTERNAL_LOGGER, complain,
							NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned) HTTP_CONNECTIONS,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) HTTP_REQUEST_MEMORY,
							MHD_OPTION_NOTIFY_COMPLETED, completed, h, MHD_OPTION_NOTIFY_CONNECTION,
							connection_event, h, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

/* Sets up the watchers of a daemon that runs. */
static void
watch(struct http *h, int fd)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	loop_io_init(&h->accept, accept_event, fd, EV_READ);
	loop_io_init(&h->io, io_event, info->epoll_fd, EV_READ);
	ev_timer_init(&h->turn, turn_event, 0., 0.);
	ev_timer_init(&h->rest, rest_over, REST_S, 0.);
	ev_timer_init(&h->sweep, sweep_event, 0., 0.);
	h->accept.data = h->io.data = h->turn.data = h->rest.data = h->sweep.data = h;
	ev_io_start(h->loop->ev, &h->accept);
	ev_io_start(h->loop->ev, &h->io);
}

struct http *
http_open(struct loop *loop, const char *address, int port, uint64_t timeout_us, http_ask ask,
		  void *arg, char *error, size_t cap)
{
	struct http *h = mem_zalloc(sizeof(*h));
	struct peer_addr a;
	int fd = -1;

	h->loop = loop;
	h->timeout_us = timeout_us;
	h->ask = ask;
	h->arg = arg;
	list_init(&h->conns);
	list_init(&h->asked);
	errno = EINVAL;
	if (peer_addr_literal(&a, address, port))
		fd = listen_on(&a);
	if (fd < 0)
		goto err_free;
	h->daemon = start_daemon(h);
	if (h->daemon == NULL)
		goto err_close;
	watch(h, fd);
	return h;

err_close:
	close(fd);
	errno = ENOMEM;
err_free:
	snprintf(error, cap, "cannot listen on %s port %d: %s", address, port, strerror(errno));
	free(h);
	return NULL;
}

void
http_set_timeout(struct http *h, uint64_t timeout_us)
{
	h->timeout_us = timeout_us;
	set_sweep(h);
}

/* What is asked after that finds the connection gone. */
static void
give_up_asked(struct http *h)
{
	static const char text[] = "the server ends\n";

	list_foreach(n, next, &h->asked)
	{
		struct http_request *q = list_entry(n, struct http_request, node);

		list_remove(n);
		q->status = 503;
		q->response = MHD_create_response_from_buffer(sizeof(text) - 1, (void *) text,
													  MHD_RESPMEM_PERSISTENT);
		if (q->suspended)
			MHD_resume_connection(q->connection);
		q->suspended = false;
	}
	MHD_run(h->daemon);
}

void
http_close(struct http **server)
{
	struct http *h = *server;

	if (h == NULL)
		return;
	*server = NULL;
	ev_io_stop(h->loop->ev, &h->accept);
	give_up_asked(h);
	close(h->accept.fd);
	ev_io_stop(h->loop->ev, &h->io);
	MHD_stop_daemon(h->daemon);
	ev_io_stop(h->loop->ev, &h->accept);
	ev_timer_stop(h->loop->ev, &h->turn);
	ev_timer_stop(h->loop->ev, &h->rest);
	ev_timer_stop(h->loop->ev, &h->sweep);
	free(h);
}
