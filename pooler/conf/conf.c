/*
 * conf.c - questions to a snapshot that need more than a field: limits in force, membership in a
 * list. See conf.h.
 */
#include "conf/conf.h"

#include <string.h>

/* The first that was given; `global` always is. */
static int64_t
first_given(int64_t user, int64_t database, int64_t global)
{
	if (user >= 0)
		return user;
	return database >= 0 ? database : global;
}

static uint64_t
first_given_us(int64_t user_us, int64_t database_us, uint64_t global_us)
{
	return (uint64_t) first_given(user_us, database_us, (int64_t) global_us);
}

static enum pool_mode
first_mode(enum pool_mode user, enum pool_mode database, enum pool_mode global)
{
	if (user != POOL_MODE_UNSET)
		return user;
	return database != POOL_MODE_UNSET ? database : global;
}

static enum state_policy
first_policy(enum state_policy user, enum state_policy database, enum state_policy global)
{
	if (user != STATE_POLICY_UNSET)
		return user;
	return database != STATE_POLICY_UNSET ? database : global;
}

/* What stands in a field that no key has set, by the key's type. */
#define UNSET_STR NULL
#define UNSET_SECRET NULL
#define UNSET_INT (-1)
#define UNSET_SIZE (-1)
#define UNSET_TIME (-1)
#define UNSET_PORT 5432
#define UNSET_HOSTS (-1)
#define UNSET_POOL_MODE POOL_MODE_UNSET
#define UNSET_STATE_POLICY STATE_POLICY_UNSET

#define ALIAS(type, key, field, effect, min, max, doc)
#define KEY(type, key, field, effect, min, max, doc) .field = UNSET_##type,
const struct conf_database conf_bare_database = {
#include "conf/database_keys.def"
};

#define KEY(type, key, field, effect, min, max, doc) .field = UNSET_##type,
const struct conf_user conf_bare_user = {
#include "conf/user_keys.def"
};

static void
rate_limits(const struct conf *c, const struct conf_database *db, const struct conf_user *u,
			struct conf_limits *out)
{
	out->max_user_connection_rate = first_given(
		u->max_user_connection_rate, db->max_user_connection_rate, c->max_user_connection_rate);
	out->max_user_query_rate =
		first_given(u->max_user_query_rate, db->max_user_query_rate, c->max_user_query_rate);
	out->max_address_connection_rate =
		first_given(u->max_address_connection_rate, db->max_address_connection_rate,
					c->max_address_connection_rate);
	out->max_address_query_rate = first_given(u->max_address_query_rate, db->max_address_query_rate,
											  c->max_address_query_rate);
	out->rate_burst_us = first_given_us(u->rate_burst_us, db->rate_burst_us, c->rate_burst_us);
	out->query_rates = out->max_user_query_rate > 0 || out->max_address_query_rate > 0;
}

void
conf_limits(const struct conf *c, const struct conf_database *db, const char *user,
			struct conf_limits *out)
{
	const struct conf_user *u = user != NULL ? conf_find_user(c, user) : NULL;
	const struct conf_user *pool_user = u;

	if (db == NULL)
		db = &conf_bare_database;
	if (db->user != NULL)
		pool_user = conf_find_user(c, db->user);
	if (u == NULL)
		u = &conf_bare_user;
	if (pool_user == NULL)
		pool_user = &conf_bare_user;
	*out = (struct conf_limits){
		.pool_mode = first_mode(pool_user->pool_mode, db->pool_mode, c->pool_mode),
		.session_state = first_policy(u->session_state, db->session_state, c->session_state),
		.pool_size = first_given(pool_user->pool_size, db->pool_size, c->default_pool_size),
		.min_pool_size = first_given(-1, db->min_pool_size, c->min_pool_size),
		.reserve_pool_size =
			first_given(pool_user->reserve_pool_size, db->reserve_pool_size, c->reserve_pool_size),
		.max_db_connections = first_given(-1, db->max_db_connections, c->max_db_connections),
		.max_db_client_connections =
			first_given(-1, db->max_db_client_connections, c->max_db_client_connections),
		.max_user_connections =
			first_given(pool_user->max_user_connections, -1, c->max_user_connections),
		.max_user_client_connections =
			first_given(u->max_user_client_connections, -1, c->max_user_client_connections),
		.max_client_waiting = first_given(pool_user->max_client_waiting, db->max_client_waiting,
										  c->max_client_waiting),
		.max_statement_length =
			first_given(u->max_statement_length, db->max_statement_length, c->max_statement_length),
		.forced_user = db->user != NULL && user != NULL && strcmp(db->user, user) == 0 &&
					   strcmp(db->name, "*") != 0,
		.server_lifetime_us = first_given_us(-1, db->server_lifetime_us, c->server_lifetime_us),
		.query_timeout_us = first_given_us(pool_user->query_timeout_us, -1, c->query_timeout_us),
		.query_wait_timeout_us = first_given_us(u->query_wait_timeout_us, db->query_wait_timeout_us,
												c->query_wait_timeout_us),
		.idle_transaction_timeout_us = first_given_us(pool_user->idle_transaction_timeout_us, -1,
													  c->idle_transaction_timeout_us),
		.transaction_timeout_us =
			first_given_us(pool_user->transaction_timeout_us, -1, c->transaction_timeout_us),
		.client_idle_timeout_us =
			first_given_us(pool_user->client_idle_timeout_us, -1, c->client_idle_timeout_us),
	};
	rate_limits(c, db, u, out);
}

static bool
is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

bool
conf_list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *p = list;

	if (list == NULL || n == 0)
		return false;
	for (;;)
	{
		while (is_separator(*p))
			p++;
		if (*p == '\0')
			return false;

		/* A word ends at a comma; blanks may stand inside it, not around it. */
		size_t len = strcspn(p, ",");
		size_t bare = len;

		while (bare > 0 && is_separator(p[bare - 1]))
			bare--;
		if (bare == n && memcmp(p, word, n) == 0)
			return true;
		p += len;
	}
}
