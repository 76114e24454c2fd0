/*
 * userlist.c - see userlist.h.
 */
#include "conf/userlist.h"

#include "conf/conf.h"
#include "conf/ini.h"
#include "conf/snapshot.h"
#include "proto/md5auth.h"
#include "proto/scram.h"

#include <string.h>

static char *
skip_blanks(char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static bool
parse_line(struct conf *c, char *line, const struct ini_place *at, struct conf_error *err)
{
	char *p = skip_blanks(line);
	char *name;
	char *secret;

	if (*p == '\0' || *p == ';')
		return true;
	if (*p != '"')
		return ini_fail(err, at, "expected a user name in double quotes");
	name = ini_unquote(&p, '"');
	if (name == NULL)
		return ini_fail(err, at, "the quote before the user name is never closed");
	if (*name == '\0')
		return ini_fail(err, at, "an empty user name");
	p = skip_blanks(p);
	if (*p != '"')
		return ini_fail(err, at, "expected a secret in double quotes behind the user name");
	secret = ini_unquote(&p, '"');
	if (secret == NULL)
		return ini_fail(err, at, "the quote before the secret is never closed");

	const char *kept = snapshot_text(c, secret, strlen(secret));

	snapshot_user(c, name)->secret = kept;
	return true;
}

static void
sum_up(struct conf *c)
{
	size_t n_verifiers = 0;
	size_t n_secrets = 0;

	c->has_plain_secrets = false;
	for (size_t i = 0; i < c->n_users; i++)
	{
		const char *secret = c->users[i].secret;

		if (secret == NULL)
			continue;
		n_secrets++;
		if (scram_is_verifier(secret))
			n_verifiers++;
		else if (secret[0] != '\0' && !md5auth_is_secret(secret))
			c->has_plain_secrets = true;
	}
	c->has_only_verifiers = n_secrets > 0 && n_verifiers == n_secrets;
}

bool
userlist_parse(struct conf *c, char *text, size_t len, const char *file, struct conf_error *err)
{
	struct ini_place at = {.file = file, .line = 0};
	char *end = text + len;
	char *line;

	while (text != NULL)
	{
		at.line++;
		if (!ini_next_line(&text, end, &line, &at, err) || !parse_line(c, line, &at, err))
			return false;
	}
	sum_up(c);
	return true;
}
