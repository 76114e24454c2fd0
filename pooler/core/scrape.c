/*
 * scrape.c - see scrape.h.
 *
 * Numbers are gathered for all who ask at a time, and who asks meanwhile waits for the next turn:
 * so everybody hears what was true after he asked, and many who ask cost no more than two who do.
 */
#include "core/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/endpoint.h"
#include "core/accept.h"
#include "core/health.h"
#include "core/home.h"
#include "core/metrics.h"
#include "core/numbers.h"
#include "core/registry.h"
#include "net/http.h"

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

#define RETRY_S 1. /* after the port could not be had */

/* Somebody who asked for metrics. */
struct asker
{
	struct list node;
	struct http_request *request;
	bool openmetrics;
};

static struct
{
	struct registry *registry; /* NULL: not started, or stopped */
	struct http *http;
	const char *where; /* that is listened on or tried; owned */
	ev_timer retry;
	struct list served;  /* askers whose numbers are on their way */
	struct list waiting; /* those who came meanwhile */
} scrape;

static void ask_numbers(void);

static void
answer_text(struct http_request **q, int status, const char *text)
{
	http_answer(q, status, TYPE_TEXT, text, strlen(text));
}

static struct asker *
new_asker(struct http_request *q)
{
	struct asker *a = mem_zalloc(sizeof(*a));

	list_init(&a->node);
	a->request = q;
	a->openmetrics = accept_openmetrics(http_header(q, "Accept"));
	return a;
}

static void
answer_asker(struct asker *a, int status, const void *body, size_t n)
{
	const char *type = a->openmetrics ? TYPE_OPENMETRICS : TYPE_PROMETHEUS;

	list_remove(&a->node);
	http_answer(&a->request, status, status == 200 ? type : TYPE_TEXT, body, n);
	free(a);
}

/* ---- /metrics ---- */

static void
gathered(void *arg, struct numbers *numbers)
{
	struct buf text[2]; /* by format, made when the first wants it */

	(void) arg;
	buf_init(&text[0]);
	buf_init(&text[1]);
	list_foreach(n, next, &scrape.served)
	{
		struct asker *a = list_entry(n, struct asker, node);
		struct buf *b = &text[a->openmetrics];

		if (buf_len(b) == 0)
			metrics_text(numbers, a->openmetrics, b);
		answer_asker(a, 200, buf_data(b), buf_len(b));
	}
	buf_fini(&text[0]);
	buf_fini(&text[1]);
	numbers_free(numbers);
	ask_numbers();
}

static void
ask_numbers(void)
{
	struct list *n;

	/* Nobody listens any more. */
	while (scrape.registry == NULL && (n = list_pop(&scrape.waiting)) != NULL)
		answer_asker(list_entry(n, struct asker, node), 503, "", 0);
	if (!list_empty(&scrape.served) || list_empty(&scrape.waiting))
		return;
	while ((n = list_pop(&scrape.waiting)) != NULL)
		list_append(&scrape.served, n);
	numbers_gather(scrape.registry, &scrape.registry->main_loop, gathered, NULL);
}

/* ---- /metrics/database ---- */

static void
fetched(void *arg, int status, const char *body, size_t n)
{
	struct asker *a = arg;

	if (status != 200)
		http_retry_after(a->request, home_retry_after_s());
	answer_asker(a, status, body, n);
}

/* ---- who asks for what ---- */

static void
answer_health(struct http_request **q)
{
	struct buf json;
	enum health_status status;

	buf_init(&json);
	status = health_look(scrape.registry, &json);
	http_answer(q, status == HEALTH_OK ? 200 : 503, TYPE_JSON, buf_data(&json), buf_len(&json));
	buf_fini(&json);
}

static void
answer_ready(struct http_request **q)
{
	enum health_status status = health_look(scrape.registry, NULL);
	char text[64];

	snprintf(text, sizeof(text), "%s\n", status == HEALTH_OK ? "ready" : health_name(status));
	answer_text(q, status == HEALTH_OK ? 200 : 503, text);
}

static void
asked(struct http_request *q, const char *path, void *arg)
{
	(void) arg;
	if (strcmp(path, "/metrics") == 0)
	{
		list_append(&scrape.waiting, &new_asker(q)->node);
		ask_numbers();
	}
	else if (strcmp(path, "/metrics/database") == 0)
	{
		struct asker *a = new_asker(q);

		home_metrics(fetched, a, a->openmetrics);
	}
	else if (strcmp(path, "/health") == 0)
		answer_health(&q);
	else if (strcmp(path, "/ready") == 0)
		answer_ready(&q);
	else
		answer_text(&q, 404, "there are /metrics, /metrics/database, /health and /ready\n");
}

/* ---- the port ---- */

/* Opens what is configured, or tries again later. */
static void
open_port(bool first)
{
	const struct conf *conf = scrape.registry->conf;
	char address[ENDPOINT_ADDRESS_MAX];
	char error[256];
	int port;

	if (!endpoint_split(scrape.where, address, &port))
		return; /* empty: conf/check.c has refused all else */
	scrape.http = http_open(&scrape.registry->main_loop, address, port, conf->prometheus_timeout_us,
							asked, NULL, error, sizeof(error));
	if (scrape.http != NULL)
		log_info("prometheus_listen: listening on %s port %d", address, port);
	else
	{
		if (first)
			log_error("prometheus_listen: %s; trying again", error);
		loop_after(&scrape.registry->main_loop, &scrape.retry, (uint64_t) (RETRY_S * 1e6));
	}
}

static void
retry_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	open_port(false);
}

static void
close_port(void)
{
	ev_timer_stop(scrape.registry->main_loop.ev, &scrape.retry);
	http_close(&scrape.http);
}

void
scrape_start(struct registry *r)
{
	scrape.registry = r;
	scrape.where = mem_strdup(r->conf->prometheus_listen);
	list_init(&scrape.served);
	list_init(&scrape.waiting);
	ev_timer_init(&scrape.retry, retry_event, 0., 0.);
	open_port(true);
}

void
scrape_reload(void)
{
	const struct conf *conf;

	if (scrape.registry == NULL)
		return;
	conf = scrape.registry->conf;
	if (strcmp(scrape.where, conf->prometheus_listen) == 0)
	{
		if (scrape.http != NULL)
			http_set_timeout(scrape.http, conf->prometheus_timeout_us);
		return;
	}
	close_port();
	free((char *) scrape.where);
	scrape.where = mem_strdup(conf->prometheus_listen);
	open_port(true);
}

void
scrape_stop(void)
{
	if (scrape.registry == NULL)
		return;
	close_port();
	free((char *) scrape.where);
	scrape.where = NULL;
	scrape.registry = NULL;
}
