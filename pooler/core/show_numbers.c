/*
 * show_numbers.c - SHOW ERRORS: what clients were sent, by class of SQLSTATE; SHOW LATENCIES: how
 * long things took in the last whole stats_period. Both from core/numbers, so they are what
 * /metrics tells.
 */
#include "core/show_numbers.h"

#include "core/errclass.h"
#include "core/numbers.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/show_parts.h"

static void
error_rows(const struct pool_numbers *p, struct buf *out)
{
	struct row r;

	for (int i = 0; i < ERRCLASSES; i++)
	{
		if (p->measured.errors[i] == 0)
			continue;
		row_begin(&r);
		row_text(&r, p->database);
		row_text(&r, p->user);
		row_text(&r, errclass_code(i));
		row_text(&r, errclass_name(i));
		row_int(&r, (int64_t) p->measured.errors[i]);
		row_int(&r, (int64_t) p->measured.errors_in_period[i]);
		row_end(&r, out);
	}
}

static void
errors_gathered(void *arg, struct numbers *n)
{
	struct show *show = arg;

	for (size_t i = 0; i < n->n; i++)
		error_rows(&n->pool[i], &show->answer);
	error_rows(&n->no_pool, &show->answer);
	numbers_free(n);
	show_finish(show);
}

void
show_errors(struct show *show)
{
	struct shard *s = show->session->shard;

	numbers_gather(s->registry, &s->loop, errors_gathered, show);
}

static void
latency_row(const struct pool_numbers *p, struct buf *out)
{
	struct row r;

	row_begin(&r);
	row_text(&r, p->database);
	row_text(&r, p->user);
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < METER_SHARES; i++)
		{
			double us = p->latest_s[what][i] * 1e6;

			if (us > 0)
				row_int(&r, (int64_t) (us + 0.5));
			else
				row_text(&r, NULL);
		}
	row_end(&r, out);
}

static void
latencies_gathered(void *arg, struct numbers *n)
{
	struct show *show = arg;

	for (size_t i = 0; i < n->n; i++)
		latency_row(&n->pool[i], &show->answer);
	numbers_free(n);
	show_finish(show);
}

void
show_latencies(struct show *show)
{
	struct shard *s = show->session->shard;

	numbers_gather(s->registry, &s->loop, latencies_gathered, show);
}
