/*
 * sqlscan_parts.h - what the two files of sqlscan share: the walk through one text.
 *
 * sqlscan.c walks and knows the statements; sqlscan_set.c reads SET, RESET and set_config().
 */
#ifndef PERFKIT_PROTO_SQLSCAN_PARTS_H
#define PERFKIT_PROTO_SQLSCAN_PARTS_H

#include "proto/sqllex.h"
#include "proto/sqlscan.h"

struct sqlscan
{
	struct sqllex lex;
	struct sqllex_token t;    /* at hand */
	struct sqllex_token last; /* the one before it */
	uint32_t statement;
	uint32_t parentheses;
	uint32_t atomic; /* BEGIN ATOMIC and CASE that are open in the body of a function */
	bool routine;    /* CREATE FUNCTION or PROCEDURE: nothing of it is executed */
	bool first_call; /* nothing but SELECT [pg_catalog.] stands in front of the call at hand */
	sqlscan_report *report;
	void *arg;
	char name[SQLSCAN_NAME_MAX];
	char value[SQLSCAN_VALUE_MAX];
};

/* ---- the walk ---- */

static inline bool
sqlscan_is(const struct sqlscan *s, const char *word)
{
	return sqllex_is(&s->t, word);
}

static inline bool
sqlscan_is_char(const struct sqllex_token *t, char c)
{
	return t->kind == SQLLEX_OTHER && *t->start == c;
}

/* Behind the last token of the statement. */
bool sqlscan_ended(const struct sqlscan *s);

/* The next token, but none of the next statement. */
void sqlscan_next(struct sqlscan *s);

/* When it is this word, it is passed over. */
bool sqlscan_accept(struct sqlscan *s, const char *word);

void sqlscan_tell(struct sqlscan *s, const struct sqlscan_found *found);
void sqlscan_keep(struct sqlscan *s, uint8_t kinds);

/* ---- names and settings ---- */

/* Puts an identifier, as PostgreSQL knows it, behind what is in `name` already. False: it does not
 * fit or has quotes in it. */
bool sqlscan_add_name(struct sqlscan *s, const struct sqllex_token *t);

/* The token at hand is the first one behind SET or RESET. */
void sqlscan_set(struct sqlscan *s);
void sqlscan_reset(struct sqlscan *s);

/* The token at hand is the parenthesis behind set_config. */
void sqlscan_set_config(struct sqlscan *s);

#endif
