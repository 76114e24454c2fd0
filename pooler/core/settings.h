/*
 * settings.h - what a client has SET beside the parameters that the server reports: by name, as
 * text.
 *
 * A list holds no memory when it is empty and is one block otherwise, sorted by name, so that two
 * lists are compared in one go at each checkout. Values stand as they stood behind TO, or are the
 * literal that set_config() was called with.
 */
#ifndef PERFKIT_CORE_SETTINGS_H
#define PERFKIT_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_MAX 4096 /* bytes that the settings of one client may take */

/* Room for any settings_diff(): each entry grows by its SET or RESET and its quotes. */
#define SETTINGS_SQL_MAX (16 * SETTINGS_MAX)

struct settings
{
	char *mem; /* owned; name, zero, value, zero, next name … */
	size_t len;
};

struct setting
{
	const char *name;  /* in lower case */
	const char *value; /* SQL */
	bool call;         /* value is set_config()'s literal */
};

void settings_fini(struct settings *s);

/* False, and nothing has changed, when it would be more than SETTINGS_MAX. */
bool settings_set(struct settings *s, const struct setting *one);
bool settings_fits(const struct settings *s, const struct setting *one);
void settings_remove(struct settings *s, const char *name);

/* RESET ALL: all but the role. */
void settings_reset_all(struct settings *s);

bool settings_equal(const struct settings *a, const struct settings *b);
void settings_copy(struct settings *to, const struct settings *from);

/* The names are known still, their values are not. */
void settings_spoil(struct settings *s);

/*
 * Writes the statements that turn `have` into `want`, separated by semicolons. Returns the length,
 * 0 when they are equal, -1 when cap is too small.
 */
int settings_diff(const struct settings *want, const struct settings *have, char *sql, size_t cap);

#endif
