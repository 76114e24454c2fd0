/*
 * overlong.c - see overlong.h.
 */
#include "core/overlong.h"

#include <stdio.h>
#include <string.h>

#include "core/outgoing.h"
#include "core/rewrite.h"

/* Above every tag of core/rewrite that is looked up. */
#define TAG UINT32_MAX
/* No SQL. It stands in the server's log, where it should explain itself. */
#define IN_ITS_PLACE "refused by the pooler: statement longer than max_statement_length"
#define SYNTAX_ERROR "42601"
/* A Parse that fails leaves no statement of its name behind, but may take the unnamed one away. */
#define NAME "PERFKIT_REFUSED"

bool
overlong_is(const struct pgmsg *m, int64_t max)
{
	/* Of a Query the terminator does not count; of a Parse neither do those of its two strings and
	 * the number of its types. */
	if (max == 0 || (m->type != 'Q' && m->type != 'P'))
		return false;
	return (int64_t) m->body_len - (m->type == 'Q' ? 1 : 4) > max;
}

struct pgw_error
overlong_error(int64_t max, char text[OVERLONG_TEXT_MAX])
{
	const struct pgw_error e = {
		.severity = "ERROR",
		.sqlstate = "54000",
		.message = text,
		.hint = "Send long values as parameters or with COPY, or raise max_statement_length of the "
				"pooler.",
	};

	snprintf(text, OVERLONG_TEXT_MAX,
			 "statement is longer than max_statement_length allows (%lld bytes)", (long long) max);
	return e;
}

bool
overlong_put(struct txstate *tx, const struct pgmsg *m, struct outgoing *out)
{
	uint8_t mem[sizeof(IN_ITS_PLACE) + sizeof(NAME) + PGMSG_HEADER + 2];
	struct pgwriter w;

	if (rewrite_feed(tx, m->type, TX_FORWARD, TAG) != TX_OK)
		return false;
	pgw_init(&w, mem, sizeof(mem));
	pgw_begin(&w, m->type);
	if (m->type == 'P')
		pgw_cstr(&w, NAME);
	pgw_cstr(&w, IN_ITS_PLACE);
	if (m->type == 'P')
		pgw_u16(&w, 0);
	pgw_end(&w);
	outgoing_put(out, w.mem, w.len);
	return true;
}

bool
overlong_answered(const struct txstate *tx, const struct pgmsg *m)
{
	const struct tx_request *oldest = txstate_request(tx, 0);
	struct pgerror e;

	/* A server that ends has something else to say. */
	return m->type == 'E' && oldest != NULL && oldest->tag == TAG && m->whole &&
		   pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK &&
		   strcmp(e.sqlstate, SYNTAX_ERROR) == 0;
}
