/*
 * startup.c - the packets before the first typed message.
 *
 * A packet is a length word that counts itself, a code, and a body. The code's high half is a major
 * protocol version; the requests that are no start-up at all wear the impossible version 1234.
 */
#include "proto/startup.h"

#include <string.h>

#include "proto/pgmsg.h"

#define REQUEST_MAJOR 1234
#define CANCEL_MINOR 5678
#define SSL_MINOR 5679
#define GSSENC_MINOR 5680

#define LENGTH_WORD 4
#define PACKET_HEADER 8 /* length word and code */
#define MIN_CANCEL_KEY 4

static enum startup_kind
bad(struct startup *out, const char *error)
{
	out->error = error;
	return STARTUP_BAD;
}

static enum startup_kind
parse_cancel(struct pgreader *r, struct startup *out)
{
	size_t key_len;

	out->cancel_pid = pgr_u32(r);
	key_len = pgr_left(r);
	if (r->bad || key_len < MIN_CANCEL_KEY || key_len > STARTUP_MAX_CANCEL_KEY)
		return bad(out, "invalid length of cancel request");
	out->cancel_key_len = (uint32_t) key_len;
	out->cancel_key = pgr_bytes(r, key_len);
	return STARTUP_CANCEL;
}

/* SSLRequest and GSSENCRequest have no body. */
static enum startup_kind
parse_encryption(const struct pgreader *r, struct startup *out, enum startup_kind kind)
{
	if (pgr_left(r) > 0)
		return bad(out, "invalid length of encryption request");
	return kind;
}

/* Names and values by turns, up to an empty name that must be the packet's last byte. */
static enum startup_kind
parse_params(struct pgreader *r, struct startup *out)
{
	for (;;)
	{
		const char *name = pgr_cstr(r);
		const char *value;

		if (r->bad)
			break;
		if (name[0] == '\0')
		{
			if (pgr_left(r) > 0)
				break;
			return STARTUP_PROTOCOL;
		}
		value = pgr_cstr(r);
		if (r->bad)
			break;
		if (out->n_params + out->n_pq_options == STARTUP_MAX_PARAMS)
			return bad(out, "too many parameters in startup packet");
		if (strncmp(name, "_pq_.", 5) == 0)
			out->pq_options[out->n_pq_options++] = name;
		else
			out->params[out->n_params++] = (struct startup_param){name, value};
	}
	return bad(out, "invalid startup packet layout: expected terminator as last byte");
}

static enum startup_kind
parse_request(struct pgreader *r, struct startup *out)
{
	switch (out->minor)
	{
		case CANCEL_MINOR:
			return parse_cancel(r, out);
		case SSL_MINOR:
			return parse_encryption(r, out, STARTUP_SSL);
		case GSSENC_MINOR:
			return parse_encryption(r, out, STARTUP_GSSENC);
		default:
			return STARTUP_UNSUPPORTED;
	}
}

enum startup_kind
startup_parse(const uint8_t *p, size_t n, struct startup *out)
{
	struct pgreader r;

	out->total = 0;
	out->major = 0;
	out->minor = 0;
	out->cancel_pid = 0;
	out->cancel_key = NULL;
	out->cancel_key_len = 0;
	out->n_params = 0;
	out->n_pq_options = 0;
	out->error = NULL;

	if (n < LENGTH_WORD)
		return STARTUP_NEED_MORE;
	pgr_init(&r, p, n);
	out->total = pgr_u32(&r);
	/* Judged before the rest has come: what is no PostgreSQL client should not be waited for. */
	if (out->total < PACKET_HEADER || out->total > STARTUP_MAX_LEN)
		return bad(out, "invalid length of startup packet");
	if (n < out->total)
		return STARTUP_NEED_MORE;

	pgr_init(&r, p + LENGTH_WORD, out->total - LENGTH_WORD);
	out->major = pgr_u16(&r);
	out->minor = pgr_u16(&r);
	if (out->major == REQUEST_MAJOR)
		return parse_request(&r, out);
	if (out->major != 3)
		return STARTUP_UNSUPPORTED;
	return parse_params(&r, out);
}

const char *
startup_param(const struct startup *s, const char *name)
{
	for (uint32_t i = s->n_params; i > 0; i--)
		if (strcmp(s->params[i - 1].name, name) == 0)
			return s->params[i - 1].value;
	return NULL;
}
