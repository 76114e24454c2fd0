/*
 * sqlscan_set.c - SET, RESET and set_config(): see sqlscan_parts.h.
 *
 * A value is repeated on another server as it stands in the text, without its comments. What would
 * not mean the same there (a backslash in a usual string, a parameter) is told as SQLSCAN_SETTING.
 */
#include "proto/sqlscan_parts.h"

#include <string.h>

/* ---- names and values ---- */

/* An identifier as PostgreSQL knows it, behind what is in `name` already. False: it does not fit or
 * has characters that we do not repeat. */
bool
sqlscan_add_name(struct sqlscan *s, const struct sqllex_token *t)
{
	bool quoted = t->kind == SQLLEX_QUOTED;
	const char *p = quoted ? t->start + 1 : t->start;
	size_t n = quoted ? t->len - 2 : t->len;
	size_t used = strlen(s->name);

	if ((t->kind != SQLLEX_WORD && !quoted) || !t->plain || used + n >= sizeof(s->name))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		bool upper = p[i] >= 'A' && p[i] <= 'Z';

		s->name[used + i] = upper && !quoted ? (char) (p[i] | 0x20) : p[i];
	}
	s->name[used + n] = '\0';
	return true;
}

static bool
add_value(struct sqlscan *s, size_t *used, const char *p, size_t n)
{
	if (*used + n >= sizeof(s->value))
		return false;
	memcpy(s->value + *used, p, n);
	*used += n;
	s->value[*used] = '\0';
	return true;
}

static void
set(struct sqlscan *s, bool call)
{
	sqlscan_tell(s, &(struct sqlscan_found){
						.kind = SQLSCAN_SET, .name = s->name, .value = s->value, .call = call});
}

static void
reset(struct sqlscan *s)
{
	sqlscan_tell(s, &(struct sqlscan_found){.kind = SQLSCAN_RESET, .name = s->name});
}

/* What a transaction forgets by itself, or what the server does not give back. */
static bool
is_of_transaction(const char *name)
{
	return strcmp(name, "transaction_isolation") == 0 ||
		   strcmp(name, "transaction_read_only") == 0 ||
		   strcmp(name, "transaction_deferrable") == 0 || strcmp(name, "seed") == 0;
}

/* Only letters, digits, _ $ and dots between: it can be repeated without quotes. */
static bool
is_simple_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_$.");

	return n > 0 && name[n] == '\0' && strchr("0123456789$.", name[0]) == NULL;
}

/* ---- set_config() ---- */

/* The last argument of the set_config() that begins behind the parenthesis says that it ends with
 * the transaction. */
static bool
ends_with_true(struct sqllex lex)
{
	struct sqllex_token t;
	struct sqllex_token last = {0};
	struct sqllex_token before = {0};
	unsigned depth = 1;

	for (;;)
	{
		sqllex_next(&lex, &t);
		if (t.kind == SQLLEX_END)
			return false;
		if (sqlscan_is_char(&t, '('))
			depth++;
		else if (sqlscan_is_char(&t, ')') && --depth == 0)
			break;
		before = last;
		last = t;
	}
	return sqlscan_is_char(&before, ',') &&
		   (sqllex_is(&last, "true") || (last.kind == SQLLEX_STRING && last.len == 3 &&
										 (last.start[1] == 't' || last.start[1] == 'T')));
}

/* The inside of a string without escapes, as a name. */
static bool
literal_name(struct sqlscan *s, const struct sqllex_token *t)
{
	if (t->kind != SQLLEX_STRING || !t->plain || *t->start != '\'' ||
		t->len - 2 >= SQLSCAN_NAME_MAX)
		return false;
	for (size_t i = 0; i < t->len - 2; i++)
	{
		char c = t->start[1 + i];

		s->name[i] = c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
	}
	s->name[t->len - 2] = '\0';
	return is_simple_name(s->name);
}

/* ('name', 'value', false) and nothing behind it: leaves both in s. */
static bool
plain_set_config(struct sqlscan *s, struct sqllex lex)
{
	struct sqllex_token t[6];
	size_t used = 0;

	for (int i = 0; i < 6; i++)
		sqllex_next(&lex, &t[i]);
	if (!literal_name(s, &t[0]) || !sqlscan_is_char(&t[1], ',') || t[2].kind != SQLLEX_STRING ||
		!t[2].plain || *t[2].start == '$' || !sqlscan_is_char(&t[3], ',') ||
		!sqllex_is(&t[4], "false") || !sqlscan_is_char(&t[5], ')'))
		return false;
	sqllex_next(&lex, &t[0]);
	if (t[0].kind != SQLLEX_END && !sqlscan_is_char(&t[0], ';'))
		return false;
	return add_value(s, &used, t[2].start, t[2].len);
}

void
sqlscan_set_config(struct sqlscan *s)
{
	if (ends_with_true(s->lex))
		return;
	if (!s->first_call || !plain_set_config(s, s->lex))
		sqlscan_keep(s, SQLSCAN_SETTING);
	else if (strcmp(s->name, "session_authorization") == 0)
		sqlscan_keep(s, SQLSCAN_AUTHORIZATION);
	else if (!is_of_transaction(s->name))
		set(s, true);
}

/* ---- SET and RESET ---- */

/* Tokens up to the end of the statement, comments left out. False: they cannot be repeated. */
static bool
value(struct sqlscan *s)
{
	const char *end = NULL;
	size_t used = 0;
	bool good = true;

	s->value[0] = '\0';
	for (; !sqlscan_ended(s); sqlscan_next(s))
	{
		if (s->t.kind == SQLLEX_OTHER)
			good = good && strchr(",-+", *s->t.start) != NULL;
		good = good && s->t.plain && !(s->t.kind == SQLLEX_STRING && s->last.kind == SQLLEX_STRING);
		if (good && end != NULL && s->t.start > end)
			good = add_value(s, &used, " ", 1);
		good = good && add_value(s, &used, s->t.start, s->t.len);
		end = s->t.start + s->t.len;
	}
	return good && used > 0;
}

/* Behind the name. */
static void
set_to(struct sqlscan *s, bool known)
{
	bool good;
	bool to_default = sqlscan_is(s, "default");

	good = value(s) && known && is_simple_name(s->name);
	if (known && is_of_transaction(s->name))
		return;
	if (known && to_default && strlen(s->value) == strlen("default"))
		reset(s);
	else if (known && strcmp(s->name, "session_authorization") == 0)
		sqlscan_keep(s, SQLSCAN_AUTHORIZATION);
	else if (good)
		set(s, false);
	else
		sqlscan_keep(s, SQLSCAN_SETTING);
}

/* A name with dots in it, up to = or TO. */
static bool
dotted_name(struct sqlscan *s)
{
	bool good;

	s->name[0] = '\0';
	good = sqlscan_add_name(s, &s->t);
	sqlscan_next(s);
	while (sqlscan_is_char(&s->t, '.') && good)
	{
		size_t n = strlen(s->name);

		sqlscan_next(s);
		if (n + 1 < sizeof(s->name))
			strcpy(s->name + n, ".");
		good = n + 1 < sizeof(s->name) && sqlscan_add_name(s, &s->t);
		sqlscan_next(s);
	}
	/* Settings have no case, not even in quotes. */
	for (char *p = s->name; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char) (*p | 0x20);
	return good;
}

static void
set_named(struct sqlscan *s, const char *name)
{
	strcpy(s->name, name);
	set_to(s, true);
}

/* One mode of SET SESSION CHARACTERISTICS, as the setting that stands for it. */
static void
set_mode(struct sqlscan *s, const char *name, const char *value)
{
	strcpy(s->name, name);
	strcpy(s->value, value);
	set(s, false);
}

static void
isolation(struct sqlscan *s)
{
	static const char name[] = "default_transaction_isolation";

	if (sqlscan_is(s, "committed"))
		set_mode(s, name, "'read committed'");
	else if (sqlscan_is(s, "uncommitted"))
		set_mode(s, name, "'read uncommitted'");
	else if (sqlscan_is(s, "repeatable"))
		set_mode(s, name, "'repeatable read'");
	else if (sqlscan_is(s, "serializable"))
		set_mode(s, name, "'serializable'");
}

/* SET SESSION CHARACTERISTICS AS TRANSACTION mode [, mode]: three settings in other words. */
static void
characteristics(struct sqlscan *s)
{
	for (; !sqlscan_ended(s); sqlscan_next(s))
	{
		isolation(s);
		if (sqlscan_is(s, "only"))
			set_mode(s, "default_transaction_read_only", "on");
		else if (sqlscan_is(s, "write"))
			set_mode(s, "default_transaction_read_only", "off");
		else if (sqlscan_is(s, "deferrable"))
			set_mode(s, "default_transaction_deferrable",
					 sqllex_is(&s->last, "not") ? "off" : "on");
	}
}

static void
set_authorization(struct sqlscan *s)
{
	if (!sqlscan_is(s, "default"))
		sqlscan_keep(s, SQLSCAN_AUTHORIZATION);
}

static void
set_role(struct sqlscan *s)
{
	if (sqlscan_is(s, "none"))
		reset(s);
	else
		set_to(s, true);
}

void
sqlscan_set(struct sqlscan *s)
{
	bool good;
	bool to;

	if (sqlscan_is(s, "local") || sqlscan_is(s, "transaction") || sqlscan_is(s, "constraints") ||
		sqlscan_is(s, "names") || sqlscan_is(s, "time"))
		return;
	sqlscan_accept(s, "session");
	if (sqlscan_accept(s, "characteristics"))
	{
		characteristics(s);
		return;
	}
	if (sqlscan_accept(s, "authorization"))
	{
		set_authorization(s);
		return;
	}
	if (sqlscan_accept(s, "xml"))
	{
		sqlscan_next(s);
		set_named(s, "xmloption");
		return;
	}
	good = dotted_name(s);
	to = sqlscan_is_char(&s->t, '=') || sqlscan_accept(s, "to");
	if (sqlscan_is_char(&s->t, '='))
		sqlscan_next(s);
	if (good && strcmp(s->name, "role") == 0)
		set_role(s);
	else if (to)
		set_to(s, good);
	else if (good && strcmp(s->name, "schema") == 0)
		set_named(s, "search_path");
	else
		sqlscan_keep(s, SQLSCAN_SETTING); /* nothing that we know */
}

void
sqlscan_reset(struct sqlscan *s)
{
	if (sqlscan_is(s, "all"))
		sqlscan_tell(s, &(struct sqlscan_found){.kind = SQLSCAN_RESET_ALL});
	else if (!sqlscan_is(s, "session") && !sqlscan_is(s, "time") && !sqlscan_is(s, "transaction") &&
			 dotted_name(s) && is_simple_name(s->name))
		reset(s);
}
