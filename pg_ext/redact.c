/*-------------------------------------------------------------------------
 * redact.c
 *	  Passwords out of texts.
 *
 * What is between them is copied when the next one is found, so a text without any
 * costs two looks at it and a copy.
 *-------------------------------------------------------------------------
 */
#include "redact.h"

#include "mb/pg_wchar.h"
#include "parser/parser.h"

#define MASK "***"

/* So much behind what there is room for is looked at, for a secret may show by its end. */
#define LOOK_AHEAD 256

typedef struct Copy
{
	PerfkitSecrets secrets; /* first, so that one is told of them */
	PerfkitRedaction *r;
	Size copied; /* of the text */
} Copy;


static void
emit(PerfkitRedaction *r, const char *bytes, Size length)
{
	Size room = r->size - r->length;

	if (length > room)
	{
		length = room;
		r->cut = true;
	}
	memcpy(r->out + r->length, bytes, length);
	r->length += length;
}


/* What there will be room for, if all of it is copied. */
static void
limit(Copy *copy)
{
	Size room = copy->r->size - copy->r->length;
	Size rest = copy->secrets.length - copy->copied;

	copy->secrets.until =
		rest > room + LOOK_AHEAD ? copy->copied + room + LOOK_AHEAD : copy->secrets.length;
	if (copy->r->cut)
		copy->secrets.until = copy->copied;
}


static void
mask(PerfkitSecrets *s, size_t from, size_t to)
{
	Copy *copy = (Copy *) s;

	if (copy->r->cut)
		return;
	emit(copy->r, s->text + copy->copied, from - copy->copied);
	emit(copy->r, MASK, strlen(MASK));
	copy->copied = to;
	limit(copy);
}


static bool
has_uri(const char *text, Size length)
{
	const char *end = text + length;

	for (const char *p = text; (p = memchr(p, ':', end - p)) != NULL; p++)
	{
		if (end - p >= 3 && p[1] == '/' && p[2] == '/')
			return true;
	}
	return false;
}


void
perfkit_redact(PerfkitRedaction *r, const char *text, Size length)
{
	Copy copy = {.r = r};
	bool suspect = perfkit_secret_suspects(text, length);
	Size seen = length;

	r->length = 0;
	r->cut = false;
	if (suspect || has_uri(text, length))
	{
		copy.secrets = (PerfkitSecrets){
			.text = text,
			.length = length,
			.kind =
				suspect || r->kind != PERFKIT_SECRET_UNPARSED ? r->kind : PERFKIT_SECRET_STATEMENT,
			.backslashes = !standard_conforming_strings,
			.found = mask,
		};
		limit(&copy);
		perfkit_secrets(&copy.secrets);
		seen = copy.secrets.until;
	}
	if (!r->cut)
	{
		emit(r, text + copy.copied, Max(seen, copy.copied) - copy.copied);
		r->cut |= seen < length;
	}
	if (r->cut)
		r->length = pg_mbcliplen(r->out, r->length, r->length);
}


void
perfkit_redact_message(char *out, Size size, const char *message)
{
	PerfkitRedaction r = {.out = out, .size = size - 1, .kind = PERFKIT_SECRET_VALUE};

	perfkit_redact(&r, message, strlen(message));
	out[r.length] = '\0';
}
