/*
 * metrics.c - see metrics.h. The text: core/metrics_text.c.
 */
#include "core/metrics.h"

#include <math.h>

#include "core/numbers.h"

enum who
{
	POOLS,
	NOBODY,
	BOTH
};

const struct metric metrics_of_pools[] = {
#define POOL_GAUGE(log, text, unit, label, label_value, help, value)                               \
	{false, log, text, unit, label, label_value, help},
#define POOL_COUNTER(who, log, text, unit, label, label_value, help, ...)                          \
	{true, log "_per_second", text, unit, label, label_value, help},
#include "core/metrics.def"
};

const int metrics_n_of_pools = sizeof(metrics_of_pools) / sizeof(metrics_of_pools[0]);

const struct metric metrics_of_process[] = {
#define PROCESS_GAUGE(log, text, unit, help, value) {false, log, text, unit, NULL, NULL, help},
#define PROCESS_COUNTER(log, text, unit, help, value) {true, log, text, unit, NULL, NULL, help},
#include "core/metrics.def"
};

const int metrics_n_of_process = sizeof(metrics_of_process) / sizeof(metrics_of_process[0]);

const struct metric_time metrics_of_times[METER_TIMES] = {
#define METER_ROW(log, text, help, what, sum)                                                      \
	[what] = {log, text, help, what, offsetof(struct stats, sum)},
#include "core/metrics.def"
};

/* Nothing of one is nothing to be told. */
static double
errors(const struct pool_numbers *p, int class)
{
	return p->measured.errors[class] > 0 ? (double) p->measured.errors[class] : NAN;
}

static double
share(const struct pool_numbers *p, enum meter_time what, enum meter_share which)
{
	return p->latest_s[what][which] > 0 ? p->latest_s[what][which] : NAN;
}

static struct sample
counter(const struct pool_numbers *p, enum who who, double value, double period)
{
	bool told = who == BOTH || (who == NOBODY) == (p->database == NULL);

	return (struct sample){told ? value : NAN, period};
}

void
metrics_read_pool(const struct pool_numbers *p, struct sample *samples)
{
#define POOL_GAUGE(log, text, unit, label, label_value, help, number)                              \
	*samples++ = (struct sample){p->database == NULL ? NAN : (double) (number), 0};
#define POOL_COUNTER(who, log, text, unit, label, label_value, help, ...)                          \
	*samples++ = counter(p, who, __VA_ARGS__);
#include "core/metrics.def"
}

void
metrics_read_process(const struct numbers *n, struct sample *samples)
{
#define PROCESS_GAUGE(log, text, unit, help, number) *samples++ = (struct sample){number, 0};
#define PROCESS_COUNTER(log, text, unit, help, number) *samples++ = (struct sample){number, 0};
#include "core/metrics.def"
}

double
metrics_sum_of_times(const struct metric_time *row, const struct stats *stats)
{
	const char *sum = (const char *) stats + row->sum;

	return (double) *(const uint64_t *) (const void *) sum / 1e6;
}
