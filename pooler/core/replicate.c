/*
 * replicate.c - see replicate.h.
 */
#include "core/replicate.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "core/server.h"
#include "core/server_login.h"
#include "proto/pgwrite.h"
#include "proto/startup.h"

struct replicate
{
	struct login_own own;
	struct attempt *attempt; /* while it lasts */
	struct buf params;       /* names and values by turns, each with its terminator */
	void (*done)(void *arg, const struct buf *welcome, const struct pgw_error *error);
	void *arg;
};

/* How PostgreSQL reads a boolean: any beginning of these words that tells them apart, or a digit.
 */
static bool
is_beginning_of(const char *text, const char *word, size_t least)
{
	size_t n = strlen(text);

	return n >= least && n <= strlen(word) && strncasecmp(text, word, n) == 0;
}

static bool
is_true(const char *text)
{
	return strcmp(text, "1") == 0 || is_beginning_of(text, "true", 1) ||
		   is_beginning_of(text, "yes", 1) || is_beginning_of(text, "on", 2);
}

static bool
is_false(const char *text)
{
	return strcmp(text, "0") == 0 || is_beginning_of(text, "false", 1) ||
		   is_beginning_of(text, "no", 1) || is_beginning_of(text, "off", 2);
}

static void
keep_params(struct replicate *r, const struct startup *packet)
{
	buf_init(&r->params);
	for (uint32_t i = 0; i < packet->n_params; i++)
	{
		const struct startup_param *p = &packet->params[i];

		if (strcmp(p->name, "user") == 0 || strcmp(p->name, "database") == 0)
			continue;
		buf_append(&r->params, p->name, strlen(p->name) + 1);
		buf_append(&r->params, p->value, strlen(p->value) + 1);
	}
	r->own.params = buf_data(&r->params);
	r->own.len = buf_len(&r->params);
}

bool
replicate_asked(const struct startup *packet, struct replicate **out, struct pgw_error *error)
{
	const char *value = startup_param(packet, "replication");
	struct replicate *r;
	bool logical;

	*out = NULL;
	if (value == NULL || is_false(value))
		return true;
	logical = strcmp(value, "database") == 0;
	if (!logical && !is_true(value))
	{
		*error = (struct pgw_error){
			.severity = "FATAL",
			.sqlstate = "22023",
			.message = "invalid value for parameter \"replication\"",
			.hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\".",
		};
		return false;
	}
	r = mem_zalloc(sizeof(*r));
	r->own.physical = !logical;
	keep_params(r, packet);
	*out = r;
	return true;
}

void
replicate_hang_up(struct replicate *r)
{
	if (r != NULL)
		server_login_cancel(&r->attempt);
}

void
replicate_free(struct replicate *r)
{
	if (r == NULL)
		return;
	replicate_hang_up(r);
	buf_fini(&r->params);
	free(r);
}

const char *
replicate_name(const struct replicate *r)
{
	return r == NULL ? "none" : r->own.physical ? "physical" : "logical";
}

static void
logged_in(void *arg, const struct buf *welcome, const struct pgw_error *error)
{
	struct replicate *r = arg;

	r->attempt = NULL;
	r->done(r->arg, welcome, error);
}

void
replicate_dial(struct replicate *r, struct server *server,
			   void (*done)(void *arg, const struct buf *welcome, const struct pgw_error *error),
			   void *arg)
{
	server->replication = replicate_name(r);
	r->done = done;
	r->arg = arg;
	r->own.server = server;
	r->own.done = logged_in;
	r->own.arg = r;
	r->attempt = server_login_own(&r->own);
}
