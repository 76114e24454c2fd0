/*-------------------------------------------------------------------------
 * cronparse.c
 *	  The text of a schedule (cron.h) to a PerfkitCron.
 *
 * A field is a list, separated by commas, of values, ranges and steps; months
 * and weekdays have names too, in any case.  Every error says where it is.
 *-------------------------------------------------------------------------
 */
#include "cron.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cronday.h"

#define BLANKS " \t\r\n"
#define MAX_PERIOD (INT64_C(10) * 365 * 86400)

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
										  "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

typedef enum FieldKind
{
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY,
	N_FIELDS
} FieldKind;

static const struct
{
	const char *name;
	int low;
	int high;
	const char *const *names;
	int n_names;
} fields[N_FIELDS] = {
	[FIELD_MINUTE] = {"minute", 0, 59, NULL, 0},
	[FIELD_HOUR] = {"hour", 0, 23, NULL, 0},
	[FIELD_DAY] = {"day of the month", 1, 31, NULL, 0},
	[FIELD_MONTH] = {"month", 1, 12, month_names, 12},
	[FIELD_WEEKDAY] = {"weekday", 0, 7, weekday_names, 7},
};

static const struct
{
	const char *name;
	const char *meaning;
} shorthands[] = {
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

static const struct
{
	const char *name; /* singular */
	int64_t seconds;
} units[] = {
	{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}, {"week", 7 * 86400},
};

static const char *const general_hint =
	"Write five fields as in '0 3 * * *', 'every 30 seconds', 'after 5 minutes' or a name as "
	"'@hourly'.";

/* A text being read. */
typedef struct Reader
{
	const char *text;
	const char *at;
	PerfkitCronError *error;
} Reader;


static bool __attribute__((format(printf, 4, 5)))
fail(Reader *r, const char *at, const char *hint, const char *format, ...)
{
	va_list arguments;

	r->error->position = (int) (at - r->text);
	r->error->hint = hint;
	va_start(arguments, format);
	vsnprintf(r->error->message, sizeof(r->error->message), format, arguments);
	va_end(arguments);
	return false;
}


static void
skip_blanks(Reader *r)
{
	r->at += strspn(r->at, BLANKS);
}


static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}


static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}


/* Digits; false, and nothing read, if there are none.  What is too large becomes INT32_MAX. */
static bool
read_number(Reader *r, int64_t *value)
{
	if (!is_digit(*r->at))
		return false;
	for (*value = 0; is_digit(*r->at); r->at++)
	{
		*value = *value * 10 + (*r->at - '0');
		if (*value > INT32_MAX)
			*value = INT32_MAX;
	}
	return true;
}


/* Bytes above 127 are parts of a character: not to be shown alone. */
static bool
unexpected(Reader *r, FieldKind kind, const char *hint)
{
	if (*r->at > ' ' && *r->at <= '~')
		return fail(r, r->at, hint, "%s: unexpected \"%c\"", fields[kind].name, *r->at);
	return fail(r, r->at, hint, "%s: unexpected character", fields[kind].name);
}


static int
name_length(const Reader *r)
{
	int length = 0;

	while (is_letter(r->at[length]))
		length++;
	return length;
}


/* One value of a field, by number or name. */
static bool
read_value(Reader *r, FieldKind kind, int64_t *value)
{
	const char *start = r->at;
	int length = name_length(r);

	if (read_number(r, value))
	{
		if (*value < fields[kind].low || *value > fields[kind].high)
			return fail(r, start, NULL, "%s %lld is not between %d and %d", fields[kind].name,
						(long long) *value, fields[kind].low, fields[kind].high);
		return true;
	}
	for (int i = 0; i < fields[kind].n_names; i++)
	{
		if (length != 3 || strncasecmp(r->at, fields[kind].names[i], 3) != 0)
			continue;
		r->at += length;
		*value = fields[kind].low + i;
		return true;
	}
	if (*start == '\0' || strchr(BLANKS, *start) != NULL)
		return fail(r, start, NULL, "%s: a value is missing", fields[kind].name);
	return unexpected(r, kind,
					  kind == FIELD_DAY ? "The last day of the month is written $ or L." : NULL);
}


/* What may follow a range: /n.  1 without it. */
static bool
read_step(Reader *r, FieldKind kind, int64_t *step)
{
	const char *start = r->at + 1;

	*step = 1;
	if (*r->at != '/')
		return true;
	r->at++;
	if (!read_number(r, step))
		return fail(r, start, NULL, "%s: a step is a number", fields[kind].name);
	if (*step < 1 || *step > fields[kind].high)
		return fail(r, start, NULL, "%s: step %lld is not between 1 and %d", fields[kind].name,
					(long long) *step, fields[kind].high);
	return true;
}


/* *, a, a-b, each with a step but the second. */
static bool
read_range(Reader *r, FieldKind kind, uint64_t *bits)
{
	const char *start = r->at;
	int64_t first = fields[kind].low;
	int64_t last = kind == FIELD_WEEKDAY ? 6 : fields[kind].high;
	int64_t step = 1;

	if (*r->at == '*')
		r->at++;
	else
	{
		if (!read_value(r, kind, &first))
			return false;
		last = first;
		if (*r->at == '/')
			return fail(r, r->at, "Write a range before the step, as in 5-59/10.",
						"%s: a step after a single value", fields[kind].name);
		if (*r->at == '-')
		{
			r->at++;
			if (!read_value(r, kind, &last))
				return false;

			/* Sunday ends a week as well as it begins one. */
			if (kind == FIELD_WEEKDAY && last == 0 && first > 0)
				last = 7;
			if (last < first)
				return fail(r, start, "Write it as two ranges, separated by a comma.",
							"%s: the range ends before it begins", fields[kind].name);
		}
	}
	if (!read_step(r, kind, &step))
		return false;
	for (int64_t value = first; value <= last; value += step)
		*bits |= UINT64_C(1) << (kind == FIELD_WEEKDAY ? value % 7 : value);
	return true;
}


static bool
read_item(Reader *r, FieldKind kind, PerfkitCron *cron, uint64_t *bits)
{
	if (kind == FIELD_DAY && (*r->at == '$' || *r->at == 'L' || *r->at == 'l'))
	{
		r->at++;
		cron->last_day = true;
		return true;
	}
	return read_range(r, kind, bits);
}


static bool
read_field(Reader *r, FieldKind kind, PerfkitCron *cron, uint64_t *bits, bool *star)
{
	*bits = 0;
	if (*r->at == '\0')
		return fail(r, r->at, general_hint, "the %s is missing: a schedule has five fields",
					fields[kind].name);
	*star = *r->at == '*';
	for (;;)
	{
		if (!read_item(r, kind, cron, bits))
			return false;
		if (*r->at != ',')
			break;
		r->at++;
	}
	if (*r->at != '\0' && strchr(BLANKS, *r->at) == NULL)
		return unexpected(r, kind, NULL);
	skip_blanks(r);
	return true;
}


static bool
read_fields(Reader *r, PerfkitCron *cron)
{
	uint64_t bits[N_FIELDS];
	bool star[N_FIELDS];

	cron->kind = PERFKIT_CRON_FIELDS;
	for (int kind = 0; kind < N_FIELDS; kind++)
	{
		if (!read_field(r, (FieldKind) kind, cron, &bits[kind], &star[kind]))
			return false;
	}
	if (*r->at != '\0')
		return fail(r, r->at, "There is no field for seconds or years; see 'every 30 seconds'.",
					"more than five fields");
	cron->minutes = bits[FIELD_MINUTE];
	cron->hours = (uint32_t) bits[FIELD_HOUR];
	cron->days = (uint32_t) bits[FIELD_DAY];
	cron->months = (uint32_t) bits[FIELD_MONTH];
	cron->weekdays = (uint32_t) bits[FIELD_WEEKDAY];
	cron->either_day = !star[FIELD_DAY] && !star[FIELD_WEEKDAY];
	cron->fixed = !star[FIELD_MINUTE] && !star[FIELD_HOUR];
	if (!perfkit_cronday_possible(cron))
		return fail(r, r->text, NULL, "there is no such day in any year");
	return true;
}


/* True, and past the word, if it comes next. */
static bool
take_word(Reader *r, const char *word)
{
	size_t length = strlen(word);

	if ((size_t) name_length(r) != length || strncasecmp(r->at, word, length) != 0)
		return false;
	r->at += length;
	skip_blanks(r);
	return true;
}


static bool
take_unit(Reader *r, int64_t *seconds)
{
	char plural[16];

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		snprintf(plural, sizeof(plural), "%ss", units[i].name);
		*seconds = units[i].seconds;
		if (take_word(r, units[i].name) || take_word(r, plural))
			return true;
	}
	return false;
}


/* What follows every and after: a number, which may be left out, and a unit. */
static bool
read_period(Reader *r, PerfkitCron *cron)
{
	const char *start = r->at;
	int64_t count = 1;
	int64_t seconds;

	if (read_number(r, &count))
		skip_blanks(r);
	if (!take_unit(r, &seconds))
		return fail(r, r->at, "Units are seconds, minutes, hours, days and weeks.",
					"an interval is a number and a unit");
	if (*r->at != '\0')
		return fail(r, r->at, "Write one number and one unit, as in 'every 90 seconds'.",
					"unexpected text after the interval");
	cron->period = count * seconds;
	if (count < 1 || cron->period > MAX_PERIOD)
		return fail(r, start, NULL, "an interval is at least a second and at most ten years");
	return true;
}


static bool
read_shorthand(Reader *r, PerfkitCron *cron)
{
	for (size_t i = 0; i < sizeof(shorthands) / sizeof(shorthands[0]); i++)
	{
		size_t length = strlen(shorthands[i].name);
		const char *end = r->at + length;

		if (strncasecmp(r->at, shorthands[i].name, length) != 0 || end[strspn(end, BLANKS)] != '\0')
			continue;
		return perfkit_cron_parse(shorthands[i].meaning, cron, r->error);
	}
	return fail(r, r->at,
				"The names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and "
				"@hourly.",
				"unknown name");
}


/* A kind that is written in words alone. */
static bool
take_kind(Reader *r, const char *first, const char *second)
{
	const char *start = r->at;

	if (take_word(r, first) && (second == NULL || take_word(r, second)) && *r->at == '\0')
		return true;
	r->at = start;
	return false;
}


/* "30 seconds", as pg_cron has it. */
static bool
begins_with_interval(Reader r)
{
	int64_t number;

	if (!read_number(&r, &number))
		return false;
	skip_blanks(&r);
	return take_unit(&r, &number);
}


bool
perfkit_cron_parse(const char *text, PerfkitCron *cron, PerfkitCronError *error)
{
	Reader r = {.text = text, .at = text, .error = error};

	memset(cron, 0, sizeof(*cron));
	skip_blanks(&r);
	if (*r.at == '\0')
		return fail(&r, r.at, general_hint, "it is empty");
	if (*r.at == '@')
		return read_shorthand(&r, cron);
	if (take_kind(&r, "on", "change"))
	{
		cron->kind = PERFKIT_CRON_ON_CHANGE;
		return true;
	}
	if (take_kind(&r, "downstream", NULL))
	{
		cron->kind = PERFKIT_CRON_DOWNSTREAM;
		return true;
	}
	if (take_word(&r, "every"))
	{
		cron->kind = PERFKIT_CRON_EVERY;
		return read_period(&r, cron);
	}
	if (take_word(&r, "after"))
	{
		cron->kind = PERFKIT_CRON_AFTER;
		return read_period(&r, cron);
	}
	if (is_letter(*r.at))
		return fail(&r, r.at, general_hint, "unknown word");
	if (begins_with_interval(r))
	{
		cron->kind = PERFKIT_CRON_EVERY;
		return read_period(&r, cron);
	}
	return read_fields(&r, cron);
}
