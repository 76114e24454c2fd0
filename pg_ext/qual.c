/*-------------------------------------------------------------------------
 * qual.c
 *	  Reading the conditions of plans.
 *
 *	  conjunction: ( conjunction AND conjunction ... ) | part
 *	  part:        ( column OPERATOR value ) | ( value OPERATOR column )
 *	               | ( column = ANY ( value ) ) | ( column IS NULL )
 *	  column:      name | alias.name | ( column ) :: type
 *	  value:       literal | number | $n | other.name | function(values) | ( value )
 *	               | ( value OPERATOR value ) | value :: type
 *
 * A cursor walks over the text; who does not find what it looks for leaves the cursor
 * anywhere, so every try starts from a copy.  Functions of a value are those that give
 * the same in all of a statement; the list is short and a text of words.
 *-------------------------------------------------------------------------
 */
#include "qual.h"

#include <string.h>

#include "plantext.h"

#define AND_LENGTH 5

static const char *const stable_functions[] = {
	"now",      "statement_timestamp", "transaction_timestamp", "date_trunc", "date",
	"timezone", "make_interval",       "current_setting",
};

/* Words that stand for a value. */
static const char *const value_words[] = {
	"NULL",         "true",         "false",          "CURRENT_DATE",
	"CURRENT_TIME", "CURRENT_USER", "LOCALTIMESTAMP", "CURRENT_TIMESTAMP",
	"SESSION_USER", "LOCALTIME",
};

static bool value(PerfkitPlanText *c);


static bool
in_list(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (strcmp(word, list[i]) == 0)
			return true;
	}
	return false;
}

#define IN_LIST(word, list) in_list(word, list, sizeof(list) / sizeof((list)[0]))


static PerfkitQualKind
kind_of(const char *op, size_t length)
{
	if (length == 1 && *op == '=')
		return PERFKIT_QUAL_EQUAL;
	if ((length == 1 && (*op == '<' || *op == '>')) ||
		(length == 2 && (*op == '<' || *op == '>') && op[1] == '='))
		return PERFKIT_QUAL_RANGE;
	return PERFKIT_QUAL_OTHER;
}


/* ---------------------------------------------------------------- values */

/* What a function is called with, behind its opening parenthesis. */
static bool
arguments(PerfkitPlanText *c)
{
	if (perfkit_plantext_take(c, ')'))
		return true;
	do
	{
		if (!value(c))
			return false;
	} while (perfkit_plantext_take(c, ','));
	return perfkit_plantext_take(c, ')');
}


/* A column of another relation, a function, or a word that stands for a value. */
static bool
named_value(PerfkitPlanText *c)
{
	PerfkitPlanName name;
	PerfkitPlanName column;

	if (!perfkit_plantext_name(c, &name))
		return false;
	if (c->at < c->end && *c->at == '.')
	{
		c->at++;
		return perfkit_plantext_name(c, &column) && strcmp(name.text, c->alias) != 0;
	}
	if (c->at < c->end && *c->at == '(')
	{
		c->at++;
		return !name.quoted && IN_LIST(name.text, stable_functions) && arguments(c);
	}
	return !name.quoted && IN_LIST(name.text, value_words);
}


/* (value)  (value OPERATOR value)  (InitPlan 1).col1 */
static bool
grouped_value(PerfkitPlanText *c)
{
	const char *op;
	PerfkitPlanName name;

	if (!perfkit_plantext_take(c, '('))
		return false;
	if (perfkit_plantext_word(c, "InitPlan"))
	{
		perfkit_plantext_blanks(c);
		return perfkit_plantext_number(c) && perfkit_plantext_take(c, ')') &&
			   perfkit_plantext_take(c, '.') && perfkit_plantext_name(c, &name);
	}
	if (!value(c))
		return false;
	if (perfkit_plantext_take(c, ')'))
		return true;
	return perfkit_plantext_operator(c, &op) > 0 && value(c) && perfkit_plantext_take(c, ')');
}


static bool
bare_value(PerfkitPlanText *c)
{
	char first;

	perfkit_plantext_blanks(c);
	if (c->at >= c->end)
		return false;
	first = *c->at;
	if (first == '(')
		return grouped_value(c);
	if (first == '$')
	{
		c->at++;
		return perfkit_plantext_number(c);
	}
	if (first == '-' || first == '.' || (first >= '0' && first <= '9'))
		return perfkit_plantext_number(c);
	if (first == '\'' || (c->at + 1 < c->end && c->at[1] == '\'' && strchr("EeBX", first) != NULL))
		return perfkit_plantext_literal(c);
	return named_value(c);
}


static bool
value(PerfkitPlanText *c)
{
	bool good;

	if (++c->depth > PERFKIT_QUAL_MAX_DEPTH)
		return false;
	good = bare_value(c) && perfkit_plantext_casts(c, NULL, 0);
	c->depth--;
	return good;
}


/* ---------------------------------------------------------------- parts */

static bool
plain_column(PerfkitPlanText *c, char *column)
{
	PerfkitPlanName name;

	if (!perfkit_plantext_name(c, &name))
		return false;
	if (c->at < c->end && *c->at == '.')
	{
		if (strcmp(name.text, c->alias) != 0)
			return false;
		c->at++;
		if (!perfkit_plantext_name(c, &name))
			return false;
	}
	else if (!perfkit_plantext_is_lower(&name) || (!name.quoted && IN_LIST(name.text, value_words)))
		return false;
	if (c->at < c->end && (*c->at == '.' || *c->at == '(' || *c->at == '['))
		return false;
	memcpy(column, name.text, sizeof(name.text));
	return true;
}


/* A column, which may be cast: a=..., (a)::text=... */
static bool
column(PerfkitPlanText *c, PerfkitQual *out)
{
	PerfkitPlanText try = *c;

	out->cast[0] = '\0';
	if (plain_column(&try, out->column))
	{
		*c = try;
		return true;
	}
	return perfkit_plantext_take(c, '(') && plain_column(c, out->column) &&
		   perfkit_plantext_take(c, ')') &&
		   perfkit_plantext_casts(c, out->cast, sizeof(out->cast)) && out->cast[0] != '\0';
}


/* column OPERATOR value, column = ANY (value), column IS NULL */
static bool
column_first(PerfkitPlanText *c, PerfkitQual *out)
{
	const char *op;
	size_t length;

	if (!column(c, out))
		return false;
	out->kind = PERFKIT_QUAL_EQUAL;
	if (perfkit_plantext_word(c, "IS"))
		return perfkit_plantext_word(c, "NULL");
	length = perfkit_plantext_operator(c, &op);
	out->kind = kind_of(op, length);
	if (out->kind == PERFKIT_QUAL_EQUAL && perfkit_plantext_word(c, "ANY"))
		return perfkit_plantext_take(c, '(') && value(c) && perfkit_plantext_take(c, ')');
	return out->kind != PERFKIT_QUAL_OTHER && value(c);
}


static bool
column_last(PerfkitPlanText *c, PerfkitQual *out)
{
	const char *op;
	size_t length;

	if (!value(c))
		return false;
	length = perfkit_plantext_operator(c, &op);
	out->kind = kind_of(op, length);
	return out->kind != PERFKIT_QUAL_OTHER && column(c, out);
}


/* What stands between the parentheses of a part. */
static void
part(const PerfkitPlanText *inside, PerfkitQual *out)
{
	PerfkitPlanText first = *inside;
	PerfkitPlanText last = *inside;

	memset(out, 0, sizeof(*out));
	if ((column_first(&first, out) && perfkit_plantext_at_end(&first)) ||
		(column_last(&last, out) && perfkit_plantext_at_end(&last)))
		return;
	memset(out, 0, sizeof(*out));
}


/* ---------------------------------------------------------------- conjunctions */

/* Where a string or quoted name that begins at p ends, or NULL. */
static const char *
skip_quoted(const PerfkitPlanText *c, const char *p)
{
	return perfkit_plantext_quoted_end(c, p + 1, *p, *p == '\'' && p > c->at && p[-1] == 'E');
}


/* Whether the parenthesis at the cursor closes at the end of the text. */
static bool
enclosed(const PerfkitPlanText *c)
{
	int depth = 0;

	for (const char *p = c->at; p < c->end; p++)
	{
		if (*p == '\'' || *p == '"')
		{
			p = skip_quoted(c, p);
			if (p == NULL)
				return false;
		}
		else if (*p == '(')
			depth++;
		else if (*p == ')' && --depth == 0)
			return p + 1 == c->end;
	}
	return false;
}


/* The first AND in no parentheses, or the end; NULL: quotes or parentheses do not match. */
static const char *
and_or_end(const PerfkitPlanText *c)
{
	int depth = 0;

	for (const char *p = c->at; p < c->end; p++)
	{
		if (*p == '\'' || *p == '"')
		{
			p = skip_quoted(c, p);
			if (p == NULL)
				return NULL;
		}
		else if (*p == '(')
			depth++;
		else if (*p == ')' && --depth < 0)
			return NULL;
		else if (depth == 0 && c->end - p >= AND_LENGTH && memcmp(p, " AND ", AND_LENGTH) == 0)
			return p;
	}
	return depth == 0 ? c->end : NULL;
}


/* Appends the parts of a condition; their number so far, or -1. */
static int
conjunction(PerfkitPlanText c, PerfkitQual *out, int n)
{
	const char *end;

	perfkit_plantext_blanks(&c);
	if (++c.depth > PERFKIT_QUAL_MAX_DEPTH || n < 0 || n >= PERFKIT_MAX_QUALS || c.at >= c.end)
		return -1;
	if (*c.at == '(' && enclosed(&c))
	{
		c.at++;
		c.end--;
	}
	end = and_or_end(&c);
	if (end == NULL)
		return -1;
	if (end == c.end)
	{
		part(&c, &out[n]);
		return n + 1;
	}
	for (;;)
	{
		PerfkitPlanText one = c;

		one.end = end;
		n = conjunction(one, out, n);
		if (end == c.end)
			return n;
		c.at = end + AND_LENGTH;
		end = and_or_end(&c);
		if (end == NULL)
			return -1;
	}
}


int
perfkit_quals(const char *text, size_t length, const char *alias, PerfkitQual *out)
{
	PerfkitPlanText c = {.at = text, .end = text + length, .alias = alias};

	return conjunction(c, out, 0);
}


bool
perfkit_sort_key(const char *text, size_t length, const char *alias, PerfkitSortKey *out)
{
	PerfkitPlanText c = {.at = text, .end = text + length, .alias = alias};

	memset(out, 0, sizeof(*out));
	if (!plain_column(&c, out->column))
		return false;
	out->descending = perfkit_plantext_word(&c, "DESC");
	out->nulls_first = out->descending;
	if (perfkit_plantext_word(&c, "NULLS"))
	{
		out->nulls_first = perfkit_plantext_word(&c, "FIRST");
		if (!out->nulls_first && !perfkit_plantext_word(&c, "LAST"))
			return false;
	}
	return perfkit_plantext_at_end(&c);
}
