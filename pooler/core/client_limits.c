/*
 * client_limits.c - see client_limits.h.
 */
#include "core/client_limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct client_limits *
client_limits_join(struct client_limits **table, const struct conf *conf, const char *database,
				   const char *user)
{
	size_t db_len = strlen(database) + 1;
	size_t len = db_len + strlen(user);
	struct client_limits *mine = mem_zalloc(sizeof(*mine) + len + 1);
	struct client_limits *there;

	memcpy(mine->key, database, db_len);
	strcpy(mine->key + db_len, user);
	mine->user = mine->key + db_len;
	HASH_FIND(hh, *table, mine->key, len, there);
	if (there == NULL)
	{
		conf_limits(conf, conf_find_database(conf, database), user, &mine->now);
		HASH_ADD_KEYPTR(hh, *table, mine->key, len, mine);
		there = mine;
	}
	else
		free(mine);
	there->n_sessions++;
	return there;
}

void
client_limits_leave(struct client_limits **table, struct client_limits **mine)
{
	struct client_limits *l = *mine;

	*mine = NULL;
	if (l == NULL || --l->n_sessions > 0)
		return;
	HASH_DELETE(hh, *table, l);
	free(l);
}

void
client_limits_adopt(struct client_limits *table, const struct conf *conf)
{
	for (struct client_limits *l = table; l != NULL; l = l->hh.next)
	{
		const struct conf_database *db = conf_find_database(conf, l->key);

		if (db != NULL)
			conf_limits(conf, db, l->user, &l->now);
	}
}
