/*
 * show_rates.c - SHOW RATES: who is held to a rate, how much of it is used up, and how often
 * somebody was refused (core/rates).
 */
#include "core/show_rates.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/rates.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/show_parts.h"

static void
rate_line(const struct rate_row *rate, struct buf *out)
{
	struct row r;

	row_begin(&r);
	row_text(&r, rate->kind == RATE_USER ? "user" : "address");
	row_text(&r, rate->name[0] != '\0' ? rate->name : NULL);
	row_int(&r, rate->clients);
	row_int(&r, (int64_t) rate->refused[RATE_CONNECTIONS]);
	row_int(&r, (int64_t) rate->refused[RATE_QUERIES]);
	row_int(&r, (int64_t) rate->ahead_us[RATE_CONNECTIONS]);
	row_int(&r, (int64_t) rate->ahead_us[RATE_QUERIES]);
	if (rate->refused_wall_us != 0)
		row_time(&r, rate->refused_wall_us);
	else
		row_text(&r, NULL);
	row_end(&r, out);
}

/* A picture of them all, which is written in turns. */
struct rate_rows
{
	int n;
	struct rate_row *row;
};

static bool
some_rates(struct show *show)
{
	struct rate_rows *rows = show->rest;
	size_t end;

	if (rows == NULL)
	{
		rows = show->rest = mem_alloc(sizeof(*rows));
		rows->row = rates_rows(&show->session->shard->registry->rates, clock_now_us(), &rows->n);
	}
	end = show->at + SHOW_SLICE < (size_t) rows->n ? show->at + SHOW_SLICE : (size_t) rows->n;
	while (show->at < end)
		rate_line(&rows->row[show->at++], &show->answer);
	if (end < (size_t) rows->n)
		return true;
	free(rows->row);
	free(rows);
	return false;
}

void
show_rates(struct show *show)
{
	show_in_turns(show, some_rates);
}
