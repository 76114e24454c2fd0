/*
 * entry.c - see entry.h.
 *
 * The keys of the three sections are rows like the main section's (database_keys.def,
 * user_keys.def). An entry is read into a struct on the stack and stored when all of it was right;
 * a second entry of the same name replaces the first, as in PgBouncer.
 *
 * A password with a blank in it that was not quoted falls apart into words that look like keys. So
 * behind `password` an unknown word is never repeated in an error.
 */
#include "conf/entry.h"

#include "base/str.h"
#include "conf/conf.h"
#include "conf/ini.h"
#include "conf/option.h"
#include "conf/snapshot.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ENTRY_COUNT_MAX 1000000
#define ENTRY_TIME_MAX 1000000000
#define ENTRY_EFFECT true
#define ENTRY_NO_EFFECT false
#define ROWS(table) ((int) (sizeof(table) / sizeof((table)[0])))

#define ROW(type, key, struct_type, field, effect, min, max, doc)                                  \
	{                                                                                              \
		key, OPTION_##type, offsetof(struct struct_type, field), NULL, false, effect, min, max,    \
			NULL, doc                                                                              \
	}

static const struct option database_keys[] = {
#define KEY(type, key, field, effect, min, max, doc)                                               \
	ROW(type, #key, conf_database, field, ENTRY_##effect, min, max, doc),
#include "conf/database_keys.def"
};

static const struct option user_keys[] = {
#define KEY(type, key, field, effect, min, max, doc)                                               \
	ROW(type, #key, conf_user, field, ENTRY_##effect, min, max, doc),
#include "conf/user_keys.def"
};

static const struct option peer_keys[] = {
#define KEY(type, key, field, effect, min, max, doc)                                               \
	ROW(type, #key, conf_peer, field, ENTRY_##effect, min, max, doc),
#include "conf/peer_keys.def"
};

/* One connection string being read. */
struct entry
{
	const struct entry_reader *reader;
	const struct ini_place *at;
	const char *section;
	const char *name;
	const struct option *keys;
	int n_keys;
	void *fields;
	bool after_password; /* words from here on may be parts of it */
};

static bool
fail_word(const struct entry *e, const char *word, const char *what, struct conf_error *err)
{
	const char *nearest = option_nearest(e->keys, e->n_keys, word);

	if (e->after_password)
		return ini_fail(err, e->at,
						"%s \"%.100s\": %s behind the password, not shown as it may be part of it; "
						"a password with blanks stands in single quotes",
						e->section, e->name, what);
	if (nearest != NULL && strcmp(nearest, word) != 0)
		return ini_fail(err, e->at, "%s \"%.100s\": %s \"%.100s\"; did you mean \"%s\"?",
						e->section, e->name, what, word, nearest);
	return ini_fail(err, e->at, "%s \"%.100s\": %s \"%.100s\"", e->section, e->name, what, word);
}

static bool
fail_pair(const struct entry *e, enum ini_pair result, const char *word, struct conf_error *err)
{
	if (result == INI_PAIR_NO_EQUALS)
		return fail_word(e, word, "a word without equals sign", err);
	if (result == INI_PAIR_NO_KEY)
		return ini_fail(err, e->at, "%s \"%.100s\": an equals sign without a key before it",
						e->section, e->name);
	if (option_find(e->keys, e->n_keys, word) < 0)
		return fail_word(e, word, "unknown parameter", err);
	return ini_fail(
		err, e->at,
		"%s \"%.100s\": the quote of \"%s\" is not closed, or something follows it at once; "
		"a quote inside is written twice",
		e->section, e->name, word);
}

static bool
fail_value(const struct entry *e, const struct option *o, const char *value, struct conf_error *err)
{
	char allowed[256];

	/* A blank forgotten in front of `password=` makes it part of this value. */
	if (e->after_password || strcasestr(value, "password") != NULL)
		value = "(not shown)";
	option_allowed(o, allowed, sizeof allowed);
	return ini_fail(err, e->at, "%s \"%.100s\": bad value \"%.100s\" for \"%s\"; allowed is %s",
					e->section, e->name, value, o->key, allowed);
}

static bool
set_pair(struct entry *e, const char *key, const char *value, struct conf_error *err)
{
	int i = option_find(e->keys, e->n_keys, key);

	if (i < 0)
		return fail_word(e, key, "unknown parameter", err);

	const struct option *o = &e->keys[i];
	const char *kept = snapshot_text(e->reader->conf, value, strlen(value));

	if (!option_set(o, e->fields, kept))
		return fail_value(e, o, value, err);
	if (o->type == OPTION_SECRET)
		e->after_password = true;
	if (o->effect)
		return true;
	e->reader->ignored(e->reader->arg, e->at, e->section, o->key);
	return true;
}

static bool
read_pairs(struct entry *e, char *text, struct conf_error *err)
{
	char *key;
	char *value;

	for (;;)
	{
		enum ini_pair result = ini_next_pair(&text, &key, &value);

		if (result == INI_PAIR_END)
			return true;
		if (result != INI_PAIR)
			return fail_pair(e, result, key, err);
		if (!set_pair(e, key, value, err))
			return false;
	}
}

/* What is written but empty is the same as not given, where emptiness has no meaning of its own. */
static void
drop_empty(const char **text)
{
	if (*text != NULL && **text == '\0')
		*text = NULL;
}

/* A comma in front of nothing is more likely a lost host than a wish. */
static bool
check_hosts(const struct entry *e, const char *list, struct conf_error *err)
{
	int n = 0;

	for (const char *item = list; item != NULL; n++)
	{
		const char *comma = strchr(item, ',');
		size_t len = comma == NULL ? strlen(item) : (size_t) (comma - item);

		if (strspn(item, " \t") >= len)
			return ini_fail(err, e->at, "%s \"%.100s\": an empty name in the list of hosts",
							e->section, e->name);
		item = comma == NULL ? NULL : comma + 1;
	}
	return n <= CONF_HOSTS_MAX || ini_fail(err, e->at, "%s \"%.100s\": more than %d hosts",
										   e->section, e->name, CONF_HOSTS_MAX);
}

bool
entry_database(const struct entry_reader *r, const struct ini_place *at, const char *name,
			   char *text, struct conf_error *err)
{
	struct conf_database db = conf_bare_database;
	struct entry e = {
		.reader = r,
		.at = at,
		.section = "database",
		.name = name,
		.keys = database_keys,
		.n_keys = ROWS(database_keys),
		.fields = &db,
	};

	if (strcmp(name, "pgbouncer") == 0)
		return ini_fail(err, at, "database name \"pgbouncer\" is reserved for the console");
	if (!read_pairs(&e, text, err))
		return false;
	drop_empty(&db.host);
	if (db.host != NULL && !check_hosts(&e, db.host, err))
		return false;
	if (db.connect_query != NULL && strlen(db.connect_query) > CONF_CONNECT_QUERY_MAX)
		return ini_fail(err, at, "database \"%.100s\": connect_query is longer than %d bytes", name,
						CONF_CONNECT_QUERY_MAX);
	drop_empty(&db.dbname);
	drop_empty(&db.user);

	struct conf_database *entry = snapshot_database(r->conf, name);

	db.name = entry->name;
	*entry = db;
	return true;
}

bool
entry_user(const struct entry_reader *r, const struct ini_place *at, const char *name, char *text,
		   struct conf_error *err)
{
	struct conf_user user = conf_bare_user;
	struct entry e = {
		.reader = r,
		.at = at,
		.section = "user",
		.name = name,
		.keys = user_keys,
		.n_keys = ROWS(user_keys),
		.fields = &user,
	};

	if (!read_pairs(&e, text, err))
		return false;

	struct conf_user *entry = snapshot_user(r->conf, name);

	user.name = entry->name;
	user.secret = entry->secret;
	*entry = user;
	return true;
}

bool
entry_peer(const struct entry_reader *r, const struct ini_place *at, const char *name, char *text,
		   struct conf_error *err)
{
	struct conf_peer peer = {.port = CONF_PEER_PORT, .pool_size = -1};
	int64_t id;
	struct entry e = {
		.reader = r,
		.at = at,
		.section = "peer",
		.name = name,
		.keys = peer_keys,
		.n_keys = ROWS(peer_keys),
		.fields = &peer,
	};

	if (!str_to_int64(name, 1, CONF_PEER_ID_MAX, &id))
		return ini_fail(err, at, "bad peer id \"%.100s\"; allowed is an integer from 1 to %d", name,
						CONF_PEER_ID_MAX);
	if (!read_pairs(&e, text, err))
		return false;
	drop_empty(&peer.host);
	if (peer.host != NULL && strchr(peer.host, ',') != NULL)
		return ini_fail(err, at, "peer \"%.100s\": a peer has one host", name);
	peer.id = (int) id;
	*snapshot_peer(r->conf, peer.id) = peer;
	return true;
}
