/*
 * settings.c - see settings.h.
 *
 * The role is put back first and set last, since the other settings may need the rights of the user
 * who logged in.
 */
#include "core/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ROLE "role"
#define BY_CALL '=' /* in front of a value: set_config()'s literal */
#define SPOILT "?"  /* a value that equals none */

void
settings_fini(struct settings *s)
{
	free(s->mem);
	s->mem = NULL;
	s->len = 0;
}

/* ---- entries ---- */

static const char *
value_of(const char *name)
{
	return name + strlen(name) + 1;
}

static const char *
behind(const char *name)
{
	const char *value = value_of(name);

	return value + strlen(value) + 1;
}

/* The first entry whose name is not smaller; NULL behind the last. */
static const char *
place(const struct settings *s, const char *name)
{
	const char *p = s->mem;

	while (p != NULL && p < s->mem + s->len && strcmp(p, name) < 0)
		p = behind(p);
	return p != NULL && p < s->mem + s->len ? p : NULL;
}

static const char *
find(const struct settings *s, const char *name)
{
	const char *p = place(s, name);

	return p != NULL && strcmp(p, name) == 0 ? p : NULL;
}

static size_t
entry_len(const struct setting *one)
{
	return strlen(one->name) + 1 + (one->call ? 1 : 0) + strlen(one->value) + 1;
}

bool
settings_fits(const struct settings *s, const struct setting *one)
{
	const char *old = find(s, one->name);
	size_t old_len = old == NULL ? 0 : (size_t) (behind(old) - old);

	return s->len - old_len + entry_len(one) <= SETTINGS_MAX;
}

bool
settings_set(struct settings *s, const struct setting *one)
{
	const char *old = find(s, one->name);
	size_t old_len = old == NULL ? 0 : (size_t) (behind(old) - old);
	size_t len = s->len - old_len + entry_len(one);
	const char *at = place(s, one->name);
	size_t before = at == NULL ? s->len : (size_t) (at - s->mem);
	char *mem;
	char *p;

	if (!settings_fits(s, one))
		return false;
	mem = mem_alloc(len);
	if (s->mem != NULL)
		memcpy(mem, s->mem, before);
	p = stpcpy(mem + before, one->name) + 1;
	if (one->call)
		*p++ = BY_CALL;
	p = stpcpy(p, one->value) + 1;
	if (s->len > before + old_len)
		memcpy(p, s->mem + before + old_len, s->len - before - old_len);
	free(s->mem);
	s->mem = mem;
	s->len = len;
	return true;
}

void
settings_remove(struct settings *s, const char *name)
{
	const char *old = find(s, name);
	size_t start;
	size_t n;

	if (old == NULL)
		return;
	start = (size_t) (old - s->mem);
	n = (size_t) (behind(old) - old);
	memmove(s->mem + start, s->mem + start + n, s->len - start - n);
	s->len -= n;
	if (s->len == 0)
		settings_fini(s);
}

void
settings_reset_all(struct settings *s)
{
	const char *role = find(s, ROLE);
	struct settings left = {0};

	if (role != NULL)
		settings_set(&left, &(struct setting){.name = ROLE, .value = value_of(role)});
	settings_fini(s);
	*s = left;
}

bool
settings_equal(const struct settings *a, const struct settings *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->mem, b->mem, a->len) == 0);
}

void
settings_copy(struct settings *to, const struct settings *from)
{
	settings_fini(to);
	if (from->len == 0)
		return;
	to->mem = mem_alloc(from->len);
	memcpy(to->mem, from->mem, from->len);
	to->len = from->len;
}

void
settings_spoil(struct settings *s)
{
	struct settings spoilt = {0};

	for (const char *p = s->mem; p != NULL && p < s->mem + s->len; p = behind(p))
		settings_set(&spoilt, &(struct setting){.name = p, .value = SPOILT});
	settings_fini(s);
	*s = spoilt;
}

/* ---- the difference ---- */

struct text
{
	char *mem;
	size_t cap;
	size_t len;
	bool overflow;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() is not seen */
	n = vsnprintf(t->mem + t->len, t->cap - t->len, format, args);
	va_end(args);
	if (n < 0 || (size_t) n >= t->cap - t->len)
		t->overflow = true;
	else
		t->len += (size_t) n;
}

/* In quotes, part by part: a part may be a reserved word. */
static void
add_name(struct text *t, const char *name)
{
	add(t, "\"");
	for (; *name != '\0'; name++)
	{
		if (*name == '.')
			add(t, "\".\"");
		else
			add(t, "%c", *name);
	}
	add(t, "\"");
}

static void
reset(struct text *t, const char *name)
{
	add(t, "%sRESET ", t->len > 0 ? ";" : "");
	add_name(t, name);
}

static void
set(struct text *t, const char *name)
{
	const char *value = value_of(name);

	add(t, "%s", t->len > 0 ? ";" : "");
	if (*value == BY_CALL)
	{
		add(t, "SELECT pg_catalog.set_config('%s', %s, false)", name, value + 1);
		return;
	}
	add(t, "SET ");
	add_name(t, name);
	add(t, " TO %s", value);
}

int
settings_diff(const struct settings *want, const struct settings *have, char *sql, size_t cap)
{
	struct text t = {.mem = sql, .cap = cap};

	if (settings_equal(want, have))
		return 0;
	if (find(have, ROLE) != NULL)
		reset(&t, ROLE);
	for (const char *p = have->mem; p != NULL && p < have->mem + have->len; p = behind(p))
		if (strcmp(p, ROLE) != 0 && find(want, p) == NULL)
			reset(&t, p);
	for (const char *p = want->mem; p != NULL && p < want->mem + want->len; p = behind(p))
	{
		const char *there = find(have, p);

		if (strcmp(p, ROLE) != 0 && (there == NULL || strcmp(value_of(there), value_of(p)) != 0))
			set(&t, p);
	}
	if (find(want, ROLE) != NULL)
		set(&t, find(want, ROLE));
	return t.overflow ? -1 : (int) t.len;
}
