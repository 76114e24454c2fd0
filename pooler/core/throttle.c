/*
 * throttle.c - see throttle.h.
 */
#include "core/throttle.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "net/peer_addr.h"

static const char *const kind_words[RATE_KINDS] = {
	[RATE_USER] = "this user",
	[RATE_ADDRESS] = "this address",
};

static const char *const keys[RATE_KINDS][RATE_MEASURES] = {
	[RATE_USER] = {"max_user_connection_rate", "max_user_query_rate"},
	[RATE_ADDRESS] = {"max_address_connection_rate", "max_address_query_rate"},
};

void
throttle_init(struct throttle *t, struct rates *rates, const char *user, const char *addr)
{
	t->rates = rates;
	t->user = user;
	t->addr = addr;
}

/* per_s 0: none. */
static struct rate
rate_of(const struct throttle *t, const struct conf_limits *l, enum rate_kind kind,
		enum rate_measure m)
{
	struct rate rate = {.burst_us = l->rate_burst_us};

	if (kind == RATE_ADDRESS && t->addr == NULL)
		return rate;
	if (kind == RATE_USER)
		rate.per_s = m == RATE_QUERIES ? l->max_user_query_rate : l->max_user_connection_rate;
	else
		rate.per_s = m == RATE_QUERIES ? l->max_address_query_rate : l->max_address_connection_rate;
	return rate;
}

static struct rate_entry *
entry(struct throttle *t, enum rate_kind kind)
{
	char network[PEER_ADDR_TEXT_MAX];

	if (t->of[kind] == NULL && kind == RATE_USER)
		t->of[kind] = rates_join(t->rates, kind, t->user);
	else if (t->of[kind] == NULL)
	{
		peer_addr_network(t->addr, network);
		t->of[kind] = rates_join(t->rates, kind, network);
	}
	return t->of[kind];
}

/* False with the words of the error, but for its severity and SQLSTATE. */
static bool
take(struct throttle *t, const struct conf_limits *l, enum rate_kind kind, enum rate_measure m,
	 struct throttle_error *error)
{
	struct rate rate = rate_of(t, l, kind, m);
	uint64_t now = clock_turn_us();
	uint64_t wait_us;

	if (rate.per_s == 0 || rate_take(t->rates, entry(t, kind), m, &rate, now, &wait_us))
		return true;
	snprintf(error->message, sizeof(error->message),
			 "too many %s of %s: %lld per second are allowed (%s)",
			 m == RATE_QUERIES ? "queries" : "new connections", kind_words[kind],
			 (long long) rate.per_s, keys[kind][m]);
	snprintf(error->hint, sizeof(error->hint), "Try again in %" PRIu64 " ms.", wait_us / 1000 + 1);
	error->e = (struct pgw_error){.message = error->message, .hint = error->hint};
	error->tell = rate_tell(t->of[kind], now);
	return false;
}

bool
throttle_connection(struct throttle *t, const struct conf_limits *limits, enum rate_kind kind,
					struct throttle_error *error)
{
	if (take(t, limits, kind, RATE_CONNECTIONS, error))
		return true;
	error->e.severity = "FATAL";
	error->e.sqlstate = "53300";
	return false;
}

/* What has been answered, but for the one that was counted in advance. */
static void
pay(struct throttle *t, const struct conf_limits *l, uint64_t answered)
{
	uint64_t n = answered - (t->paid && answered > 0 ? 1 : 0);

	t->paid = false;
	for (int kind = 0; n > 0 && kind < RATE_KINDS; kind++)
	{
		struct rate rate = rate_of(t, l, (enum rate_kind) kind, RATE_QUERIES);

		if (rate.per_s > 0)
			rate_owe(entry(t, (enum rate_kind) kind), RATE_QUERIES, &rate, n, clock_turn_us());
	}
}

bool
throttle_request(struct throttle *t, const struct conf_limits *limits, uint32_t serial,
				 uint64_t *answered, struct throttle_error *error)
{
	struct rate rate = rate_of(t, limits, RATE_USER, RATE_QUERIES);

	pay(t, limits, t->serial == serial ? *answered : 0);
	t->serial = serial;
	*answered = 0;
	t->paid = take(t, limits, RATE_USER, RATE_QUERIES, error);
	if (t->paid && !take(t, limits, RATE_ADDRESS, RATE_QUERIES, error))
	{
		if (rate.per_s > 0)
			rate_give_back(t->of[RATE_USER], RATE_QUERIES, &rate);
		t->paid = false;
	}
	error->e.severity = "ERROR";
	error->e.sqlstate = "53400";
	return t->paid;
}

void
throttle_leave(struct throttle *t, const struct conf_limits *limits, uint32_t serial,
			   uint64_t answered)
{
	if (limits != NULL && limits->query_rates && t->serial == serial)
		pay(t, limits, answered);
	for (int kind = 0; kind < RATE_KINDS; kind++)
		rates_leave(t->rates, &t->of[kind]);
}
