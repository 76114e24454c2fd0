/*
 * home_batch.c - see home_batch.h.
 */
#include "core/home_batch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "base/str.h"
#include "core/readings.h"

static void
append(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text));
}

/* histogram: JSON; NULL: none. */
static void
row(struct buf *out, const char *metric, const char *labels, double value, const char *histogram)
{
	char number[32];

	append(out, buf_len(out) == 0 ? "[[\"" : ",[\"");
	append(out, metric);
	append(out, "\",");
	append(out, labels);
	snprintf(number, sizeof(number), ",%.17g", value);
	append(out, number);
	if (histogram != NULL)
	{
		append(out, ",");
		append(out, histogram);
	}
	append(out, "]");
}

uint64_t
home_batch(const struct readings *r, uint64_t dropped, struct buf *out)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < r->n; i++, rows++)
	{
		const struct reading *g = &r->reading[i];

		row(out, g->metric, g->labels, reading_logged(g), g->histogram);
	}
	if (r->period_us > 0)
	{
		row(out, "pooler_rows_dropped_per_second", "{}",
			(double) dropped * 1e6 / (double) r->period_us, NULL);
		rows++;
	}
	buf_append(out, rows > 0 ? "]" : "[]", rows > 0 ? 2 : 3);
	return rows;
}

bool
home_plain(char *text)
{
	bool changed = false;

	for (char *p = text; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x80)
			continue;
		*p = '?';
		changed = true;
	}
	return changed;
}

void
home_name(char name[HOME_NAME_MAX], const char *given, int port, int peer_id)
{
	char host[HOME_NAME_MAX - 32] = "";

	if (given != NULL && *given != '\0')
		str_copy(name, HOME_NAME_MAX, given);
	else
	{
		if (gethostname(host, sizeof(host) - 1) != 0)
			str_copy(host, sizeof(host), "localhost");
		if (peer_id > 0)
			snprintf(name, HOME_NAME_MAX, "%s:%d/%d", host, port, peer_id);
		else
			snprintf(name, HOME_NAME_MAX, "%s:%d", host, port);
	}
	home_plain(name);
}

bool
home_run(char run[37])
{
	uint8_t b[16];
	char *p = run;

	if (!random_bytes(b, sizeof(b)))
		return false;
	b[6] = (uint8_t) ((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4 … */
	b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80); /* … of that variant */
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += sprintf(p, "%02x", b[i]);
	}
	return true;
}
