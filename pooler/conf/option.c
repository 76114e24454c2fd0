/*
 * option.c - the option table and its types; see option.h.
 *
 * A type is a case in four switches: set, allowed, print, size. A new enum type is a table of
 * words and its line in words_of().
 */
#include "conf/option.h"

#include "base/str.h"
#include "conf/conf.h"
#include "conf/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#define US_PER_SECOND UINT64_C(1000000)
#define US_PER_MS UINT64_C(1000)

/* More than any table has; option_nearest() checks it. */
#define OPTION_MAX 256

#define OPTION_AT_STR(key) offsetof(struct conf, key)
#define OPTION_AT_SECRET(key) offsetof(struct conf, key)
#define OPTION_AT_INT(key) offsetof(struct conf, key)
#define OPTION_AT_SIZE(key) offsetof(struct conf, key)
#define OPTION_AT_MODE(key) offsetof(struct conf, key)
#define OPTION_AT_BOOL(key) offsetof(struct conf, key)
#define OPTION_AT_TIME(key) offsetof(struct conf, key##_us)
#define OPTION_AT_TIME_MS(key) offsetof(struct conf, key##_us)
#define OPTION_AT_POOL_MODE(key) offsetof(struct conf, key)
#define OPTION_AT_STATE_POLICY(key) offsetof(struct conf, key)
#define OPTION_AT_AUTH_TYPE(key) offsetof(struct conf, key)
#define OPTION_AT_SSLMODE(key) offsetof(struct conf, key)
#define OPTION_AT_FACILITY(key) offsetof(struct conf, key)

#define OPTION_CHANGE_RELOAD false
#define OPTION_CHANGE_RESTART true
#define OPTION_HAS_EFFECT true
#define OPTION_HAS_NO_EFFECT false

const struct option option_table[] = {
#define OPTION(type, key, dflt, change, effect, min, max, group, doc)                              \
	{#key,                                                                                         \
	 OPTION_##type,                                                                                \
	 OPTION_AT_##type(key),                                                                        \
	 dflt,                                                                                         \
	 OPTION_CHANGE_##change,                                                                       \
	 OPTION_HAS_##effect,                                                                          \
	 min,                                                                                          \
	 max,                                                                                          \
	 #group,                                                                                       \
	 doc},
#include "conf/options.def"
};

const int option_count = (int) (sizeof option_table / sizeof option_table[0]);

static const struct value_word pool_modes[] = {
	{"session", POOL_SESSION},
	{"transaction", POOL_TRANSACTION},
	{"statement", POOL_STATEMENT},
	{NULL, 0},
};

static const struct value_word state_policies[] = {
	{"pin", STATE_POLICY_PIN},
	{"error", STATE_POLICY_ERROR},
	{"ignore", STATE_POLICY_IGNORE},
	{NULL, 0},
};

static const struct value_word auth_types[] = {
	{"any", AUTH_ANY},   {"trust", AUTH_TRUST}, {"plain", AUTH_PLAIN},
	{"md5", AUTH_MD5},   {"cert", AUTH_CERT},   {"hba", AUTH_HBA},
	{"ldap", AUTH_LDAP}, {"pam", AUTH_PAM},     {"scram-sha-256", AUTH_SCRAM_SHA_256},
	{NULL, 0},
};

static const struct value_word sslmodes[] = {
	{"disable", SSLMODE_DISABLE},
	{"allow", SSLMODE_ALLOW},
	{"prefer", SSLMODE_PREFER},
	{"require", SSLMODE_REQUIRE},
	{"verify-ca", SSLMODE_VERIFY_CA},
	{"verify-full", SSLMODE_VERIFY_FULL},
	{NULL, 0},
};

/* syslog(3)'s codes; the names are those of every syslog.conf. */
static const struct value_word facilities[] = {
	{"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
	{"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
	{"lpr", LOG_LPR},       {"mail", LOG_MAIL},         {"news", LOG_NEWS},
	{"syslog", LOG_SYSLOG}, {"user", LOG_USER},         {"uucp", LOG_UUCP},
	{"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
	{"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
	{"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},     {NULL, 0},
};

static const struct value_word hosts_modes[] = {
	{"disable", 0},
	{"round-robin", 1},
	{NULL, 0},
};

const char *
pool_mode_name(enum pool_mode mode)
{
	const char *name = value_word_name(pool_modes, mode);

	return name != NULL ? name : "unset";
}

const char *
auth_type_name(enum auth_type type)
{
	const char *name = value_word_name(auth_types, (int) type);

	return name != NULL ? name : "unset";
}

/* The words of an enum type, NULL for the other types. */
static const struct value_word *
words_of(enum option_type type)
{
	switch (type)
	{
		case OPTION_POOL_MODE:
			return pool_modes;
		case OPTION_AUTH_TYPE:
			return auth_types;
		case OPTION_SSLMODE:
			return sslmodes;
		case OPTION_STATE_POLICY:
			return state_policies;
		case OPTION_FACILITY:
			return facilities;
		case OPTION_HOSTS:
			return hosts_modes;
		default:
			return NULL;
	}
}

static uint64_t
unit_of(enum option_type type)
{
	return type == OPTION_TIME_MS ? US_PER_MS : US_PER_SECOND;
}

int
option_find(const struct option *table, int n, const char *key)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(table[i].key, key) == 0)
			return i;
	}
	return -1;
}

const char *
option_nearest(const struct option *table, int n, const char *word)
{
	const char *keys[OPTION_MAX];
	int count = n < OPTION_MAX ? n : OPTION_MAX;

	for (int i = 0; i < count; i++)
		keys[i] = table[i].key;

	int nearest = str_nearest(word, keys, count);

	return nearest >= 0 ? keys[nearest] : NULL;
}

/* An enum field has the size of an int whatever the enum (it holds -1 or small numbers). */
_Static_assert(sizeof(enum pool_mode) == sizeof(int), "pool_mode is stored as int");
_Static_assert(sizeof(enum state_policy) == sizeof(int), "session_state is stored as int");
_Static_assert(sizeof(enum auth_type) == sizeof(int), "auth_type is stored as int");

static bool
set_int(const struct option *o, void *field, const char *text)
{
	int64_t v;
	int narrow;

	/* PgBouncer reads 010 as eight; a number that would silently change its meaning is refused. */
	if (text[0] == '0' && text[1] != '\0')
		return false;
	if (!str_to_int64(text, o->min, o->max, &v))
		return false;
	if (o->type == OPTION_PORT)
	{
		narrow = (int) v;
		memcpy(field, &narrow, sizeof narrow);
	}
	else
		memcpy(field, &v, sizeof v);
	return true;
}

static bool
set_time(const struct option *o, void *field, const char *text)
{
	uint64_t unit = unit_of(o->type);
	uint64_t us;

	if (!value_time(text, unit, (uint64_t) o->max * unit, &us) || us < (uint64_t) o->min * unit)
		return false;
	memcpy(field, &us, sizeof us);
	return true;
}

bool
option_set(const struct option *o, void *base, const char *text)
{
	void *field = (char *) base + o->offset;
	int word;

	switch (o->type)
	{
		case OPTION_STR:
		case OPTION_SECRET:
			memcpy(field, &text, sizeof text);
			return true;
		case OPTION_INT:
		case OPTION_PORT:
			return set_int(o, field, text);
		case OPTION_SIZE:
			return value_size(text, o->min, o->max, (int64_t *) field);
		case OPTION_MODE:
			return value_octal(text, o->max, (int64_t *) field);
		case OPTION_BOOL:
			return value_bool(text, (bool *) field);
		case OPTION_TIME:
		case OPTION_TIME_MS:
			return set_time(o, field, text);
		default:
			if (!value_word(words_of(o->type), text, &word))
				return false;
			memcpy(field, &word, sizeof word);
			return true;
	}
}

void
option_set_defaults(struct conf *c)
{
	for (int i = 0; i < option_count; i++)
		option_set(&option_table[i], c, option_table[i].dflt);
}

static void
list_words(const struct value_word *words, char *dst, size_t cap)
{
	size_t used = 0;

	dst[0] = '\0';
	for (; words->name != NULL && used < cap; words++)
		used +=
			(size_t) snprintf(dst + used, cap - used, "%s%s", used > 0 ? ", " : "", words->name);
}

void
option_allowed(const struct option *o, char *dst, size_t cap)
{
	switch (o->type)
	{
		case OPTION_STR:
		case OPTION_SECRET:
			str_copy(dst, cap, "any text");
			break;
		case OPTION_INT:
		case OPTION_PORT:
			snprintf(dst, cap, "an integer from %" PRId64 " to %" PRId64, o->min, o->max);
			break;
		case OPTION_SIZE:
			snprintf(dst, cap, "a size from %" PRId64 " to %" PRId64 " bytes (units B, kB, MB, GB)",
					 o->min, o->max);
			break;
		case OPTION_MODE:
			snprintf(dst, cap, "an octal number up to 0%" PRIo64, (uint64_t) o->max);
			break;
		case OPTION_BOOL:
			str_copy(dst, cap, "0 or 1 (also off or on, no or yes, false or true)");
			break;
		case OPTION_TIME:
		case OPTION_TIME_MS:
			snprintf(dst, cap,
					 "a time from %" PRId64 " to %" PRId64
					 " %s (or with a unit: us, ms, s, min, h, d)",
					 o->min, o->max, o->type == OPTION_TIME ? "seconds" : "milliseconds");
			break;
		default:
			list_words(words_of(o->type), dst, cap);
			break;
	}
}

static bool
print_text(const struct option *o, const void *field, char *dst, size_t cap)
{
	const char *text;

	memcpy(&text, field, sizeof text);
	if (text == NULL)
		return false;
	str_copy(dst, cap, o->type == OPTION_SECRET && text[0] != '\0' ? "<hidden>" : text);
	return true;
}

static void
print_word(const struct option *o, const void *field, char *dst, size_t cap)
{
	const char *name;
	int word;

	memcpy(&word, field, sizeof word);
	if (o->type == OPTION_PORT)
	{
		snprintf(dst, cap, "%d", word);
		return;
	}
	name = value_word_name(words_of(o->type), word);
	str_copy(dst, cap, name != NULL ? name : "unset");
}

bool
option_print(const struct option *o, const void *base, char *dst, size_t cap)
{
	const void *field = (const char *) base + o->offset;

	dst[0] = '\0';
	switch (o->type)
	{
		case OPTION_STR:
		case OPTION_SECRET:
			return print_text(o, field, dst, cap);
		case OPTION_INT:
		case OPTION_SIZE:
			snprintf(dst, cap, "%" PRId64, *(const int64_t *) field);
			return true;
		case OPTION_MODE:
			snprintf(dst, cap, "%04" PRIo64, *(const uint64_t *) field);
			return true;
		case OPTION_BOOL:
			str_copy(dst, cap, *(const bool *) field ? "1" : "0");
			return true;
		case OPTION_TIME:
		case OPTION_TIME_MS:
			value_print_time(dst, cap, *(const uint64_t *) field, unit_of(o->type));
			return true;
		default:
			print_word(o, field, dst, cap);
			return true;
	}
}

static size_t
size_of(enum option_type type)
{
	switch (type)
	{
		case OPTION_STR:
		case OPTION_SECRET:
			return sizeof(const char *);
		case OPTION_INT:
		case OPTION_SIZE:
		case OPTION_MODE:
		case OPTION_TIME:
		case OPTION_TIME_MS:
			return sizeof(int64_t);
		case OPTION_BOOL:
			return sizeof(bool);
		default:
			return sizeof(int);
	}
}

void
option_copy(const struct option *o, void *to, const void *from)
{
	memcpy((char *) to + o->offset, (const char *) from + o->offset, size_of(o->type));
}

bool
option_equal(const struct option *o, const void *a, const void *b)
{
	const char *left = (const char *) a + o->offset;
	const char *right = (const char *) b + o->offset;
	const char *x;
	const char *y;

	switch (o->type)
	{
		case OPTION_STR:
		case OPTION_SECRET:
			memcpy(&x, left, sizeof x);
			memcpy(&y, right, sizeof y);
			/* An option written without a value is one that is not set. */
			return strcmp(x != NULL ? x : "", y != NULL ? y : "") == 0;
		default:
			return memcmp(left, right, size_of(o->type)) == 0;
	}
}
