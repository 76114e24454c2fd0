/*
 * replay_text.h - protocol messages as scripts write them: "P(s|select 1) B(|s) E S", and back.
 *
 *   from clients  P(name|sql)  B(portal|statement|values)  D(S|name)  C(S|name)  E or E(portal)
 *                 Q(sql)  f(text)  d(data)  S  H  c  X
 *   from servers  E(sqlstate|message|routine)  N(...)  C(tag)  S(name|value)  G  H
 *                 anything else: type and body, as in 1, Z(I), D(row)
 *
 * #1, #2 ... stand for the names of shared statements in the order in which they were first seen;
 * {x70000} for so many x, {04} for four zero bytes.
 */
#ifndef PERFKIT_TEST_REPLAY_TEXT_H
#define PERFKIT_TEST_REPLAY_TEXT_H

#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "proto/pgmsg.h"

#define REPLAY_NAMES 16

struct replay_names
{
	unsigned ids[REPLAY_NAMES];
	int n;
};

/* ---- text to bytes ---- */

static inline void
replay_put(struct buf *to, const void *p, size_t n)
{
	if (n > 0)
		buf_append(to, p, n);
}

/* One argument, with its #1 and {x100} written out. */
static inline void
replay_put_text(struct replay_names *t, struct buf *to, const char *p, const char *end)
{
	while (p < end)
	{
		char name[32];
		char what;
		unsigned n;

		if (sscanf(p, "{%c%u}", &what, &n) == 2)
		{
			char *run = malloc(n);

			assert_non_null(run);
			memset(run, what == '0' ? 0 : what, n);
			replay_put(to, run, n);
			free(run);
			p = strchr(p, '}') + 1;
		}
		else if (*p == '#' && sscanf(p, "#%u", &n) == 1)
		{
			assert_in_range(n, 1, t->n);
			snprintf(name, sizeof(name), "PERFKIT_%u", t->ids[n - 1]);
			replay_put(to, name, strlen(name));
			p += 1 + strspn(p + 1, "0123456789");
		}
		else
			replay_put(to, p++, 1);
	}
}

/* The k-th argument of a message, terminated when `zero`. */
static inline void
replay_arg(struct replay_names *t, struct buf *to, const char *args, int k, bool zero)
{
	size_t n = strcspn(args, "|)");

	for (; k > 0; k--)
	{
		args += args[n] == '|' ? n + 1 : n;
		n = strcspn(args, "|)");
	}
	replay_put_text(t, to, args, args + n);
	if (zero)
		replay_put(to, "", 1);
}

static inline void
replay_client_body(struct replay_names *t, struct buf *b, char type, const char *args)
{
	switch (type)
	{
		case 'P':
			replay_arg(t, b, args, 0, true);
			replay_arg(t, b, args, 1, true);
			replay_put(b, "\0\0", 2);
			break;
		case 'B':
			replay_arg(t, b, args, 0, true);
			replay_arg(t, b, args, 1, true);
			replay_put(b, "\0\0\0\0\0\0", 6);
			replay_arg(t, b, args, 2, false);
			break;
		case 'D':
		case 'C':
			replay_arg(t, b, args, 0, false);
			replay_arg(t, b, args, 1, true);
			break;
		case 'E':
			replay_arg(t, b, args, 0, true);
			replay_put(b, "\0\0\0\0", 4);
			break;
		case 'Q':
		case 'f':
			replay_arg(t, b, args, 0, true);
			break;
		default:
			replay_arg(t, b, args, 0, false);
	}
}

static inline void
replay_server_body(struct replay_names *t, struct buf *b, char type, const char *args)
{
	switch (type)
	{
		case 'E':
		case 'N':
			replay_put(b, "SERROR\0C", 8);
			replay_arg(t, b, args, 0, true);
			replay_put(b, "M", 1);
			replay_arg(t, b, args, 1, true);
			replay_put(b, "R", 1);
			replay_arg(t, b, args, 2, true);
			replay_put(b, "", 1);
			break;
		case 'C':
			replay_arg(t, b, args, 0, true);
			break;
		case 'S':
			replay_arg(t, b, args, 0, true);
			replay_arg(t, b, args, 1, true);
			break;
		case 'G':
		case 'H':
			replay_put(b, "\0\0\0", 3);
			break;
		default:
			replay_arg(t, b, args, 0, false);
	}
}

static inline void
replay_encode(struct replay_names *t, const char *p, bool client, struct buf *out)
{
	for (p += strspn(p, " "); *p != '\0'; p += strspn(p, " "))
	{
		uint8_t head[5] = {(uint8_t) *p};
		const char *args = p[1] == '(' ? p + 2 : "";
		struct buf body;
		size_t len;

		buf_init(&body);
		if (client)
			replay_client_body(t, &body, *p, args);
		else
			replay_server_body(t, &body, *p, args);
		len = buf_len(&body) + 4;
		for (int i = 0; i < 4; i++)
			head[1 + i] = (uint8_t) (len >> (24 - 8 * i));
		replay_put(out, head, sizeof(head));
		replay_put(out, buf_data(&body), buf_len(&body));
		buf_fini(&body);
		if (p[1] == '(')
		{
			p = strchr(p, ')');
			assert_non_null(p);
		}
		p++;
	}
}

/* ---- bytes to text ---- */

/* A text as scripts write it. */
static inline void
replay_show_text(struct replay_names *t, struct buf *out, const char *p)
{
	while (*p != '\0')
	{
		size_t run = strspn(p, (char[]){*p, '\0'});
		char text[32];
		unsigned id;
		int k;

		if (sscanf(p, "PERFKIT_%u", &id) == 1)
		{
			for (k = 0; k < t->n && t->ids[k] != id; k++)
				;
			assert_in_range(k, 0, REPLAY_NAMES - 1);
			t->ids[k] = id;
			t->n = k < t->n ? t->n : k + 1;
			snprintf(text, sizeof(text), "#%d", k + 1);
			p += 8 + strspn(p + 8, "0123456789");
		}
		else if (run > 1000)
		{
			snprintf(text, sizeof(text), "{%c%zu}", *p, run);
			p += run;
		}
		else
			snprintf(text, sizeof(text), "%c", *p++);
		replay_put(out, text, strlen(text));
	}
}

/* Arguments of a message, the first of them `skip` bytes behind the beginning of the body. */
static inline void
replay_show_args(struct replay_names *t, struct buf *out, struct pgreader *r, int n,
				 const char *also)
{
	replay_put(out, "(", 1);
	if (*also != '\0')
	{
		replay_put(out, also, strlen(also));
		replay_put(out, "|", 1);
	}
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			replay_put(out, "|", 1);
		replay_show_text(t, out, pgr_cstr(r));
	}
	replay_put(out, ")", 1);
	assert_false(r->bad);
}

/* What has no terminator. */
static inline void
replay_show_rest(struct replay_names *t, struct buf *out, struct pgreader *r, bool comma)
{
	size_t n = pgr_left(r);
	char *text = calloc(1, n + 1);

	assert_non_null(text);
	if (n > 0)
		memcpy(text, pgr_bytes(r, n), n);
	if (n > 0)
	{
		replay_put(out, comma ? "|" : "(", 1);
		replay_show_text(t, out, text);
		replay_put(out, ")", 1);
	}
	free(text);
}

static inline void
replay_show_client(struct replay_names *t, struct buf *out, const struct pgmsg *m)
{
	struct pgreader r;
	char kind[2] = "";

	pgr_init(&r, m->body, m->body_len);
	switch (m->type)
	{
		case 'P':
			replay_show_args(t, out, &r, 2, "");
			break;
		case 'B':
			replay_show_args(t, out, &r, 2, "");
			pgr_bytes(&r, 6);
			if (pgr_left(&r) > 0)
				out->end--;
			replay_show_rest(t, out, &r, true);
			break;
		case 'D':
		case 'C':
			kind[0] = (char) pgr_u8(&r);
			replay_show_args(t, out, &r, 1, kind);
			break;
		case 'E':
			if (*pgr_cstr(&r) == '\0')
				break;
			pgr_init(&r, m->body, m->body_len);
			replay_show_args(t, out, &r, 1, "");
			break;
		case 'Q':
		case 'f':
			replay_show_args(t, out, &r, 1, "");
			break;
		default:
			replay_show_rest(t, out, &r, false);
	}
}

static inline void
replay_show_server(struct replay_names *t, struct buf *out, const struct pgmsg *m)
{
	struct pgreader r;
	struct pgerror e;

	pgr_init(&r, m->body, m->body_len);
	switch (m->type)
	{
		case 'E':
		case 'N':
			assert_int_equal(pgmsg_error_fields(m->body, m->body_len, &e), PGMSG_OK);
			replay_put(out, "(", 1);
			replay_show_text(t, out, e.sqlstate);
			replay_put(out, "|", 1);
			replay_show_text(t, out, e.message);
			if (*e.routine != '\0')
				replay_put(out, "|", 1);
			replay_show_text(t, out, e.routine);
			replay_put(out, ")", 1);
			break;
		case 'C':
			replay_show_args(t, out, &r, 1, "");
			break;
		case 'S':
			replay_show_args(t, out, &r, 2, "");
			break;
		case 'G':
		case 'H':
			break;
		default:
			replay_show_rest(t, out, &r, false);
	}
}

static inline void
replay_decode(struct replay_names *t, const struct buf *in, bool from_client, const char *line,
			  struct buf *out)
{
	size_t done = 0;
	struct pgmsg m;

	while (done < buf_len(in))
	{
		if (pgmsg_peek(buf_data(in) + done, buf_len(in) - done, &m) != PGMSG_OK || !m.whole)
			fail_msg("a partial message has come, before: %s", line);
		if (done > 0)
			replay_put(out, " ", 1);
		replay_put(out, &m.type, 1);
		if (from_client)
			replay_show_client(t, out, &m);
		else
			replay_show_server(t, out, &m);
		done += m.total;
	}
	replay_put(out, "", 1);
}

#endif
