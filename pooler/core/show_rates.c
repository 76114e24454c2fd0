/*
 * show_rates.c - SHOW RATES: who is held to a rate, how much of it is used up, and how often
 * somebody was refused (core/rates).
 */
#include "core/show_rates.h"

#include <stdlib.h>

#include "base/clock.h"
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

void
show_rates(struct show *show)
{
	struct rate_row *rows;
	int n;

	rows = rates_rows(&show->session->shard->registry->rates, clock_now_us(), &n);
	for (int i = 0; i < n; i++)
		rate_line(&rows[i], &show->answer);
	free(rows);
	show_finish(show);
}
