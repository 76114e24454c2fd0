/*
 * sqlscan.c - see sqlscan.h.
 *
 * sqlscan() walks from statement to statement; the first word chooses a function for the rest of
 * it. step() goes one token on and is where parentheses are counted and calls are noticed, so
 * whatever reads a statement sees them. At the end of a statement the token is END or ';'.
 */
#include "proto/sqlscan_parts.h"

#include <string.h>

bool
sqlscan_ended(const struct sqlscan *s)
{
	return s->t.kind == SQLLEX_END ||
		   (sqlscan_is_char(&s->t, ';') && s->parentheses == 0 && s->atomic == 0);
}

void
sqlscan_tell(struct sqlscan *s, const struct sqlscan_found *found)
{
	struct sqlscan_found f = *found;

	f.statement = s->statement;
	s->report(s->arg, &f);
}

void
sqlscan_keep(struct sqlscan *s, uint8_t kinds)
{
	sqlscan_tell(s, &(struct sqlscan_found){.kind = SQLSCAN_KEEP, .kinds = kinds});
}

static void
end_of(struct sqlscan *s, uint8_t kinds)
{
	sqlscan_tell(s, &(struct sqlscan_found){.kind = SQLSCAN_END, .kinds = kinds});
}

/* A word in front of a parenthesis; `function` is in lower case. */
static bool
calls(const struct sqllex_token *t, const char *function)
{
	size_t n = strlen(function);

	if (t->kind == SQLLEX_WORD)
		return sqllex_is(t, function);
	return t->kind == SQLLEX_QUOTED && t->len == n + 2 && memcmp(t->start + 1, function, n) == 0;
}

static void
call(struct sqlscan *s)
{
	static const struct
	{
		const char *name;
		enum sqlscan_kind kind;
		bool maybe;
	} locks[] = {
		{"pg_advisory_lock", SQLSCAN_KEEP, false},
		{"pg_advisory_lock_shared", SQLSCAN_KEEP, false},
		{"pg_try_advisory_lock", SQLSCAN_KEEP, true},
		{"pg_try_advisory_lock_shared", SQLSCAN_KEEP, true},
		{"pg_advisory_unlock", SQLSCAN_END, false},
		{"pg_advisory_unlock_shared", SQLSCAN_END, false},
		{"pg_advisory_unlock_all", SQLSCAN_END, false},
	};

	if (s->routine || s->last.len < sizeof("set_config") - 1)
		return;
	if (calls(&s->last, "set_config"))
	{
		sqlscan_set_config(s);
		return;
	}
	for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++)
		if (calls(&s->last, locks[i].name))
			sqlscan_tell(s, &(struct sqlscan_found){.kind = locks[i].kind,
													.kinds = SQLSCAN_ADVISORY,
													.maybe = locks[i].maybe});
}

/* ---- walking ---- */

/* CREATE FUNCTION … BEGIN ATOMIC …; …; END: the semicolons in it end nothing. */
static void
body(struct sqlscan *s)
{
	if (sqlscan_is(s, "atomic") && sqllex_is(&s->last, "begin"))
		s->atomic++;
	else if (s->atomic > 0 && sqlscan_is(s, "case"))
		s->atomic++;
	else if (s->atomic > 0 && sqlscan_is(s, "end"))
		s->atomic--;
}

static void
step(struct sqlscan *s)
{
	s->last = s->t;
	sqllex_next(&s->lex, &s->t);
	if (s->routine)
		body(s);
	if (s->t.kind != SQLLEX_OTHER)
		return;
	if (*s->t.start == '(')
	{
		s->parentheses++;
		call(s);
	}
	else if (*s->t.start == ')' && s->parentheses > 0)
		s->parentheses--;
}

/* The next token. */
void
sqlscan_next(struct sqlscan *s)
{
	if (!sqlscan_ended(s))
		step(s);
}

static void
rest(struct sqlscan *s)
{
	while (!sqlscan_ended(s))
		step(s);
}

/* The next word is this one: it is passed over. */
bool
sqlscan_accept(struct sqlscan *s, const char *word)
{
	if (!sqlscan_is(s, word))
		return false;
	sqlscan_next(s);
	return true;
}

/* ---- other statements ---- */

/* Whether "ON COMMIT DROP" stands in what is left, and whether a name of pg_temp does. */
static void
rest_of_create(struct sqlscan *s, bool temporary)
{
	bool drop = false;

	for (; !sqlscan_ended(s); sqlscan_next(s))
	{
		if (sqlscan_is(s, "drop") && sqllex_is(&s->last, "commit"))
			drop = true;
		if (sqlscan_is_char(&s->t, '.') && calls(&s->last, "pg_temp"))
			temporary = true;
	}
	if (temporary && !drop)
		sqlscan_keep(s, SQLSCAN_TEMP);
}

static void
create(struct sqlscan *s)
{
	bool temporary = false;

	if (sqlscan_accept(s, "or"))
		sqlscan_next(s); /* REPLACE */
	if (sqlscan_is(s, "global") || sqlscan_is(s, "local"))
		sqlscan_next(s);
	if (sqlscan_is(s, "temp") || sqlscan_is(s, "temporary"))
		temporary = true;
	s->routine = sqlscan_is(s, "function") || sqlscan_is(s, "procedure");
	rest_of_create(s, temporary);
	s->routine = false;
}

/* TEMP behind what makes a table of it, or INTO pg_temp. */
static bool
names_temporary(const struct sqlscan *s)
{
	const struct sqllex_token *last = &s->last;

	if (sqlscan_is(s, "temp") || sqlscan_is(s, "temporary"))
		return sqllex_is(last, "into") || sqllex_is(last, "local") || sqllex_is(last, "global") ||
			   sqllex_is(last, "create");
	return sqlscan_is(s, "pg_temp") && (sqllex_is(last, "into") || sqllex_is(last, "table"));
}

/* SELECT … INTO TEMP t, also behind EXPLAIN; a table that is called temp can be inserted into. */
static void
query(struct sqlscan *s)
{
	bool insert = false;

	s->first_call = sqlscan_is(s, "set_config") || sqlscan_is(s, "pg_catalog");
	for (; !sqlscan_ended(s); sqlscan_next(s))
	{
		/* Most words end here. */
		char first = s->t.kind == SQLLEX_WORD ? (char) (*s->t.start | 0x20) : '\0';

		if (first == 't' || first == 'p')
		{
			if (!insert && names_temporary(s))
				sqlscan_keep(s, SQLSCAN_TEMP);
		}
		else if (first == 'i' || first == 'm')
			insert = insert || sqlscan_is(s, "insert") || sqlscan_is(s, "merge");
		else if (sqlscan_is_char(&s->t, '('))
			s->first_call = false;
	}
	s->first_call = false;
}

static void
declare(struct sqlscan *s)
{
	for (; !sqlscan_ended(s) && !sqlscan_is(s, "for"); sqlscan_next(s))
		if (sqlscan_is(s, "hold") && sqllex_is(&s->last, "with"))
			sqlscan_keep(s, SQLSCAN_CURSOR);
}

static void
discard(struct sqlscan *s)
{
	if (sqlscan_is(s, "all"))
		sqlscan_tell(s, &(struct sqlscan_found){.kind = SQLSCAN_DISCARD_ALL});
	else if (sqlscan_is(s, "temp") || sqlscan_is(s, "temporary"))
		end_of(s, SQLSCAN_TEMP);
}

static void
savepoint(struct sqlscan *s, enum sqlscan_kind kind)
{
	if (kind != SQLSCAN_SAVEPOINT)
		sqlscan_accept(s, "savepoint");
	s->name[0] = '\0';
	sqlscan_add_name(s, &s->t);
	sqlscan_tell(s, &(struct sqlscan_found){.kind = kind, .name = s->name});
}

static void
rollback(struct sqlscan *s)
{
	if (sqlscan_is(s, "work") || sqlscan_is(s, "transaction"))
		sqlscan_next(s);
	if (sqlscan_accept(s, "to"))
		savepoint(s, SQLSCAN_ROLLBACK_TO);
}

/* The first word has been passed over; `first` is it. */
static void
statement(struct sqlscan *s, const struct sqllex_token *first)
{
	/* Cheap, for every INSERT and UPDATE passes here. */
	if (strchr("swe(rcdulp", *first->start | 0x20) == NULL)
		return;
	if (sqllex_is(first, "select") || sqllex_is(first, "with") || sqllex_is(first, "explain") ||
		sqlscan_is_char(first, '('))
		query(s);
	else if (sqllex_is(first, "set"))
		sqlscan_set(s);
	else if (sqllex_is(first, "reset"))
		sqlscan_reset(s);
	else if (sqllex_is(first, "create"))
		create(s);
	else if (sqllex_is(first, "discard"))
		discard(s);
	else if (sqllex_is(first, "listen"))
		sqlscan_keep(s, SQLSCAN_LISTEN);
	else if (sqllex_is(first, "unlisten"))
		end_of(s, SQLSCAN_LISTEN);
	else if (sqllex_is(first, "prepare") && !sqlscan_is(s, "transaction"))
		sqlscan_keep(s, SQLSCAN_PREPARED);
	else if (sqllex_is(first, "deallocate"))
		end_of(s, SQLSCAN_PREPARED);
	else if (sqllex_is(first, "declare"))
		declare(s);
	else if (sqllex_is(first, "close"))
		end_of(s, SQLSCAN_CURSOR);
	else if (sqllex_is(first, "drop"))
		end_of(s, SQLSCAN_TEMP);
	else if (sqllex_is(first, "load"))
		sqlscan_keep(s, SQLSCAN_LOAD);
	else if (sqllex_is(first, "savepoint"))
		savepoint(s, SQLSCAN_SAVEPOINT);
	else if (sqllex_is(first, "release"))
		savepoint(s, SQLSCAN_RELEASE);
	else if (sqllex_is(first, "rollback"))
		rollback(s);
}

void
sqlscan(const char *sql, size_t n, bool standard_strings, sqlscan_report *report, void *arg)
{
	struct sqlscan s;

	sqllex_init(&s.lex, sql, n, standard_strings);
	s.statement = 0;
	s.parentheses = 0;
	s.atomic = 0;
	s.routine = false;
	s.first_call = false;
	s.report = report;
	s.arg = arg;
	s.last.kind = SQLLEX_NUMBER;
	s.last.len = 0;
	s.t = s.last;
	for (step(&s); s.t.kind != SQLLEX_END; step(&s))
	{
		struct sqllex_token first = s.t;

		if (sqlscan_is_char(&s.t, ';'))
			continue;
		s.statement++;
		sqlscan_next(&s);
		if (first.kind == SQLLEX_WORD || first.kind == SQLLEX_OTHER)
			statement(&s, &first);
		rest(&s);
		s.parentheses = 0;
		s.atomic = 0;
		if (s.t.kind == SQLLEX_END)
			return;
	}
}

const char *
sqlscan_state_name(enum sqlscan_state state)
{
	switch (state)
	{
		case SQLSCAN_LISTEN:
			return "listen";
		case SQLSCAN_TEMP:
			return "temporary_table";
		case SQLSCAN_ADVISORY:
			return "advisory_lock";
		case SQLSCAN_CURSOR:
			return "held_cursor";
		case SQLSCAN_PREPARED:
			return "prepared_statement";
		case SQLSCAN_SETTING:
			return "setting";
		case SQLSCAN_AUTHORIZATION:
			return "session_authorization";
		case SQLSCAN_LOAD:
			return "load";
	}
	return "";
}
