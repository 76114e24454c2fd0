/*
 * params.h - session parameters that follow a client from server to server.
 *
 * PostgreSQL reports these by ParameterStatus whenever they change, so both sides always know the
 * value in force. A session whose values differ from those of the server it gets has them set in
 * front of its own first message, in the same write.
 */
#ifndef PERFKIT_CORE_PARAMS_H
#define PERFKIT_CORE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

enum param
{
	PARAM_CLIENT_ENCODING,
	PARAM_DATESTYLE,
	PARAM_TIMEZONE,
	PARAM_STANDARD_CONFORMING_STRINGS,
	PARAM_APPLICATION_NAME,
	PARAM_INTERVALSTYLE,
	PARAM_EXTRA,              /* search_path, then those of track_extra_parameters */
	PARAMS = PARAM_EXTRA + 11 /* so many fit */
};

#define PARAMS_NAME_MAX 64    /* with the terminator */
#define PARAMS_MAX_VALUE 1024 /* longer values of a client are refused at login */

struct params
{
	/* base/intern, so equal ones are the same; NULL: not known, or as the server logs in with */
	const char *value[PARAMS];
};

/*
 * search_path, which clients set at startup, and track_extra_parameters, comma-separated: to be
 * called once, before there are threads. What cannot
 * be SET, what is no name and what does not fit is left out, with a warning.
 */
void params_track(const char *list);

void params_init(struct params *p);
void params_fini(struct params *p);

/* Which parameter a name means (without case, as PostgreSQL does), or -1. */
int params_find(const char *name);
const char *params_name(int i); /* NULL: no such parameter is tracked */

void params_set(struct params *p, int i, const char *value);

/*
 * What a server does not report is left out, but for the six that all of them do.
 *
 * Writes "SET a TO 'x';SET b TO 'y'" for all values wanted (or by default) that differ from those
 * in `have`. Returns the length, 0 when nothing differs, and -1 when cap is too small.
 */
int params_diff(const struct params *want, const struct params *fallback, const struct params *have,
				char *sql, size_t cap);

/* After such a SET was answered: what the server reports now is the canonical spelling of what was
 * wanted. */
void params_adopt(struct params *want, const struct params *have);

#endif
