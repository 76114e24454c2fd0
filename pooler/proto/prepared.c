/*
 * prepared.c - see prepared.h.
 */
#include "proto/prepared.h"

#include <string.h>

/* The length of a terminated string at p, or -1 when its end is not there. */
static ptrdiff_t
text_len(const uint8_t *p, size_t there)
{
	const uint8_t *end = there > 0 ? memchr(p, 0, there) : NULL;

	return end == NULL ? -1 : end - p;
}

enum pgmsg_result
prepared_split(const struct pgmsg *m, size_t there, struct prepared *out)
{
	size_t have = there < m->body_len ? there : m->body_len;
	enum pgmsg_result short_of = have < m->body_len ? PGMSG_NEED_MORE : PGMSG_BAD;
	const uint8_t *p = m->body;
	ptrdiff_t len;

	out->before = p;
	out->before_len = 0;
	if (m->type == 'B')
	{
		len = text_len(p, have);
		if (len < 0)
			return short_of;
		out->before_len = (size_t) len + 1;
	}
	else if (m->type != 'P')
	{
		if (have < 1)
			return short_of;
		out->before_len = 1;
	}
	p += out->before_len;
	have -= out->before_len;
	len = text_len(p, have);
	if (len < 0)
		return short_of;
	out->name = (m->type == 'D' || m->type == 'C') && out->before[0] == 'P' ? "" : (const char *) p;
	out->after = p + len + 1;
	out->after_there = have - (size_t) len - 1;
	return PGMSG_OK;
}

void
prepared_head(const struct pgmsg *m, const struct prepared *p, const char *name,
			  struct pgwriter *out)
{
	size_t old_head = (size_t) (p->after - m->body);
	size_t new_head = p->before_len + strlen(name) + 1;

	pgw_u8(out, m->type);
	pgw_u32(out, (uint32_t) (4 + m->body_len - old_head + new_head));
	pgw_bytes(out, p->before, p->before_len);
	pgw_cstr(out, name);
}

void
prepared_close(const char *name, struct pgwriter *out)
{
	pgw_begin(out, 'C');
	pgw_u8(out, 'S');
	pgw_cstr(out, name);
	pgw_end(out);
}

/* One field's text with every "from" replaced. */
static void
write_renamed(const char *text, const char *from, const char *to, struct pgwriter *out)
{
	size_t from_len = strlen(from);

	while (*text != '\0')
	{
		if (text[0] == '"' && strncmp(text + 1, from, from_len) == 0 && text[1 + from_len] == '"')
		{
			pgw_u8(out, '"');
			pgw_bytes(out, to, strlen(to));
			pgw_u8(out, '"');
			text += from_len + 2;
		}
		else
			pgw_u8(out, (uint8_t) *text++);
	}
	pgw_u8(out, 0);
}

void
prepared_rename_in_error(const struct pgmsg *m, const char *from, const char *to,
						 struct pgwriter *out)
{
	struct pgreader r;
	uint8_t field;

	pgr_init(&r, m->body, m->body_len);
	pgw_begin(out, m->type);
	while ((field = pgr_u8(&r)) != 0 && !r.bad)
	{
		const char *text = pgr_cstr(&r);

		pgw_u8(out, field);
		write_renamed(text, from, to, out);
	}
	pgw_u8(out, 0);
	pgw_end(out);
}

/* ---- DEALLOCATE ---- */

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '\f' || *p == '\v')
		p++;
	return p;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static bool
is_word_char(char c)
{
	char l = lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
		   (unsigned char) c >= 0x80;
}

/* Past a keyword and the blanks behind it, or NULL. */
static const char *
keyword(const char *p, const char *word)
{
	while (*word != '\0')
		if (lower(*p++) != *word++)
			return NULL;
	return is_word_char(*p) ? NULL : skip_blanks(p);
}

/* Nothing but blanks and one semicolon. */
static bool
is_end(const char *p)
{
	p = skip_blanks(p);
	if (*p == ';')
		p = skip_blanks(p + 1);
	return *p == '\0';
}

/* Behind DEALLOCATE [PREPARE], or NULL. A statement may be called prepare. */
static const char *
deallocate(const char *sql)
{
	const char *p = keyword(skip_blanks(sql), "deallocate");
	const char *after = p == NULL ? NULL : keyword(p, "prepare");

	return after == NULL || *after == '\0' || *after == ';' ? p : after;
}

/* Past the name in double quotes that begins at p, or NULL. */
static const char *
quoted_name(const char *p, char *name, size_t cap, size_t *n)
{
	for (p++; *p != '\0' && *n + 1 < cap; p++)
	{
		if (*p == '"' && *++p != '"')
			return p;
		name[(*n)++] = *p;
	}
	return NULL;
}

bool
prepared_deallocate_name(const char *sql, char *name, size_t cap)
{
	const char *p = deallocate(sql);
	size_t n = 0;

	if (p == NULL || (*p >= '0' && *p <= '9') || *p == '$' || keyword(p, "all") != NULL)
		return false;
	if (*p == '"')
		p = quoted_name(p, name, cap, &n);
	else
		while (is_word_char(*p) && n + 1 < cap)
			name[n++] = lower(*p++);
	name[n] = '\0';
	return p != NULL && n > 0 && is_end(p);
}

bool
prepared_discards_all(const char *sql)
{
	const char *p = keyword(skip_blanks(sql), "discard");

	if (p == NULL)
		p = deallocate(sql);
	if (p != NULL)
		p = keyword(p, "all");
	return p != NULL && is_end(p);
}
