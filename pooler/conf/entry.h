/*
 * entry.h - what stands in [databases], [users] and [peers]: a name and a connection string each.
 */
#ifndef PERFKIT_CONF_ENTRY_H
#define PERFKIT_CONF_ENTRY_H

#include <stdbool.h>

struct conf;
struct conf_error;
struct ini_place;

/*
 * Called for each key that is accepted but has no effect here; section and key are constants
 * ("database", "auth_user"), so that the caller can tell by their addresses what it has warned
 * about.
 */
typedef void (*entry_ignored_fn)(void *arg, const struct ini_place *at, const char *section,
								 const char *key);

struct entry_reader
{
	struct conf *conf;
	entry_ignored_fn ignored;
	void *arg;
};

/* Each adds or replaces an entry; `text` is changed. False with err filled in, and no entry
 * changed. */
bool entry_database(const struct entry_reader *r, const struct ini_place *at, const char *name,
					char *text, struct conf_error *err);
bool entry_user(const struct entry_reader *r, const struct ini_place *at, const char *name,
				char *text, struct conf_error *err);
bool entry_peer(const struct entry_reader *r, const struct ini_place *at, const char *name,
				char *text, struct conf_error *err);

#endif
