/*
 * pgmsg.c - framing and reading of protocol 3 messages.
 */
#include "proto/pgmsg.h"

#include <string.h>

#define C PGMSG_CLIENT
#define S PGMSG_SERVER

const uint8_t pgmsg_senders[256] = {
	['1'] = S,     ['2'] = S, ['3'] = S,     ['A'] = S,     ['B'] = C, ['C'] = C | S, ['D'] = C | S,
	['E'] = C | S, ['F'] = C, ['G'] = S,     ['H'] = C | S, ['I'] = S, ['K'] = S,     ['N'] = S,
	['P'] = C,     ['Q'] = C, ['R'] = S,     ['S'] = C | S, ['T'] = S, ['V'] = S,     ['W'] = S,
	['X'] = C,     ['Z'] = S, ['c'] = C | S, ['d'] = C | S, ['f'] = C, ['n'] = S,     ['p'] = C,
	['s'] = S,     ['t'] = S, ['v'] = S,
};

#undef C
#undef S

static uint32_t
load_u32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

enum pgmsg_result
pgmsg_peek(const uint8_t *p, size_t n, struct pgmsg *out)
{
	uint32_t length;

	if (n < PGMSG_HEADER)
		return PGMSG_NEED_MORE;
	length = load_u32(p + 1);
	if (length < 4 || length > PGMSG_MAX_LEN)
		return PGMSG_BAD;
	/* the length word counts itself, not the type byte */
	out->type = p[0];
	out->total = length + 1;
	out->body_len = length - 4;
	out->body = p + PGMSG_HEADER;
	out->whole = n >= out->total;
	return PGMSG_OK;
}

size_t
pgmsg_run(const uint8_t *p, size_t n, uint8_t type)
{
	size_t used = 0;

	while (n - used >= PGMSG_HEADER && p[used] == type)
	{
		uint32_t length = load_u32(p + used + 1);

		if (length < 4 || length > PGMSG_MAX_LEN || length >= n - used)
			break;
		used += length + 1;
	}
	return used;
}

void
pgr_init(struct pgreader *r, const uint8_t *p, size_t n)
{
	r->p = p;
	r->end = p + n;
	r->bad = false;
}

size_t
pgr_left(const struct pgreader *r)
{
	return (size_t) (r->end - r->p);
}

const uint8_t *
pgr_bytes(struct pgreader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > pgr_left(r))
	{
		r->bad = true;
		r->p = r->end;
		return NULL;
	}
	r->p += n;
	return p;
}

uint8_t
pgr_u8(struct pgreader *r)
{
	const uint8_t *p = pgr_bytes(r, 1);

	return p != NULL ? p[0] : 0;
}

uint16_t
pgr_u16(struct pgreader *r)
{
	const uint8_t *p = pgr_bytes(r, 2);

	return p != NULL ? (uint16_t) (p[0] << 8 | p[1]) : 0;
}

uint32_t
pgr_u32(struct pgreader *r)
{
	const uint8_t *p = pgr_bytes(r, 4);

	return p != NULL ? load_u32(p) : 0;
}

const char *
pgr_cstr(struct pgreader *r)
{
	size_t left = pgr_left(r);
	const uint8_t *nul = left > 0 ? memchr(r->p, '\0', left) : NULL;

	if (nul == NULL)
	{
		pgr_bytes(r, left + 1); /* sets `bad` */
		return "";
	}
	return (const char *) pgr_bytes(r, (size_t) (nul - r->p) + 1);
}

enum pgmsg_result
pgmsg_error_fields(const uint8_t *body, size_t n, struct pgerror *out)
{
	const char *localized_severity = "";
	struct pgreader r;
	uint8_t field;

	*out = (struct pgerror){"", "", "", "", "", ""};
	pgr_init(&r, body, n);
	while ((field = pgr_u8(&r)) != 0)
	{
		const char *value = pgr_cstr(&r);

		switch (field)
		{
			case 'S':
				localized_severity = value;
				break;
			case 'V':
				out->severity = value;
				break;
			case 'C':
				out->sqlstate = value;
				break;
			case 'M':
				out->message = value;
				break;
			case 'D':
				out->detail = value;
				break;
			case 'H':
				out->hint = value;
				break;
			case 'R':
				out->routine = value;
				break;
			default:
				break; /* the protocol asks to ignore fields of unknown types */
		}
	}
	if (out->severity[0] == '\0')
		out->severity = localized_severity;
	return r.bad || pgr_left(&r) > 0 ? PGMSG_BAD : PGMSG_OK;
}

bool
pgmsg_is_farewell(const struct pgmsg *m)
{
	struct pgerror e;

	return m->type == 'N' && m->whole && pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK &&
		   (strcmp(e.sqlstate, "57P01") == 0 || strcmp(e.sqlstate, "57P02") == 0);
}
