/*
 * ident.c - see ident.h.
 */
#include "conf/ident.h"

#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "conf/field.h"
#include "conf/ini.h"
#include "conf/snapshot.h"

static const char *
keep(struct conf *c, const char *text)
{
	return snapshot_text(c, text, strlen(text));
}

static bool
parse_line(void *arg, const struct ini_place *at, char *line, struct conf_error *err)
{
	struct conf *c = arg;
	struct field_word words[4];
	int n = 0;

	while (n < 4)
	{
		enum field_result r = field_next(&line, &words[n]);

		if (r == FIELD_BAD)
			return ini_fail(err, at, "a quote is never closed");
		if (r == FIELD_END)
			break;
		if (words[n].more)
			return ini_fail(err, at, "a list cannot stand here");
		n++;
	}
	if (n != 3)
		return ini_fail(err, at, "expected a map, a system user and a database user");
	if (words[1].text[0] == '/' && !words[1].quoted)
		return ini_fail(err, at, "regular expressions are not supported");
	c->ident = mem_realloc(c->ident, (c->n_ident + 1) * sizeof(*c->ident));
	c->ident[c->n_ident++] = (struct ident_line){
		.map = keep(c, words[0].text),
		.system_user = keep(c, words[1].text),
		.user = field_is(&words[2], "all") ? NULL : keep(c, words[2].text),
	};
	return true;
}

bool
ident_parse(struct conf *c, char *text, size_t len, const char *file, struct conf_error *err)
{
	const struct field_reader reader = {.line = parse_line, .arg = c};

	return field_lines(text, len, file, &reader, err);
}

bool
ident_allows(const struct conf *c, const char *map, const char *system_user, const char *user)
{
	if (map == NULL)
		return strcmp(system_user, user) == 0;
	for (size_t i = 0; i < c->n_ident; i++)
	{
		const struct ident_line *l = &c->ident[i];

		if (strcmp(l->map, map) == 0 && strcmp(l->system_user, system_user) == 0 &&
			(l->user == NULL || strcmp(l->user, user) == 0))
			return true;
	}
	return false;
}
