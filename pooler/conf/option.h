/*
 * option.h - a typed key of the ini file: how its text becomes a field of a struct, and back.
 *
 * The main section's table is conf/options.def; [databases], [users] and [peers] have small tables
 * of the same rows (entry.c), so that all of them parse, complain and suggest in the same way.
 */
#ifndef PERFKIT_CONF_OPTION_H
#define PERFKIT_CONF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;

enum option_type
{
	OPTION_STR,       /* const char * */
	OPTION_SECRET,    /* const char *, never shown */
	OPTION_INT,       /* int64_t */
	OPTION_SIZE,      /* int64_t, bytes */
	OPTION_MODE,      /* int64_t, octal */
	OPTION_PORT,      /* int */
	OPTION_BOOL,      /* bool */
	OPTION_TIME,      /* (u)int64_t, us; seconds in the file */
	OPTION_TIME_MS,   /* (u)int64_t, us; milliseconds in the file */
	OPTION_POOL_MODE, /* int or enum, like all below */
	OPTION_AUTH_TYPE,
	OPTION_SSLMODE,
	OPTION_STATE_POLICY,
	OPTION_FACILITY,
	OPTION_HOSTS
};

struct option
{
	const char *key;
	enum option_type type;
	size_t offset;    /* of the field in its struct */
	const char *dflt; /* as in the file; NULL: none */
	bool restart;     /* a reload cannot apply it */
	bool effect;      /* false: accepted, but does nothing here */
	int64_t min;      /* in the unit of the file */
	int64_t max;
	const char *group;
	const char *doc;
};

/* The main section, in SHOW CONFIG order. */
extern const struct option option_table[];
extern const int option_count;

/* Row with this key, or -1. Keys are matched exactly, as in PgBouncer. */
int option_find(const struct option *table, int n, const char *key);

/* The key most like `word`, or NULL. */
const char *option_nearest(const struct option *table, int n, const char *word);

/*
 * Sets the field of `base` from text. Strings are not copied: text must live as long as base (or be
 * NULL for strings without value). False when the text is no value of this type or out of range;
 * nothing changes then.
 */
bool option_set(const struct option *o, void *base, const char *text);

/* Sets every field of the main section to its default. */
void option_set_defaults(struct conf *c);

/* "an integer from 1 to 65535": completes "allowed is …". */
void option_allowed(const struct option *o, char *dst, size_t cap);

/* The field as text, cut at cap; false (and "") for a string without value. A secret is shown as
 * "<hidden>". */
bool option_print(const struct option *o, const void *base, char *dst, size_t cap);

/* Sets the field of `to` to that of `from`. A string is not copied: it must live as long as `to`.
 */
void option_copy(const struct option *o, void *to, const void *from);

/* Whether the field means the same in both structs; strings are compared whole, secrets too, and
 * one not set equals an empty one. */
bool option_equal(const struct option *o, const void *a, const void *b);

#endif
