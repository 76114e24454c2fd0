/*
 * statement.h - prepared statements shared by all clients: one per text and parameter types.
 *
 * A client's name means a statement, and on a server a statement has the name that its id gives.
 * Statements are counted by their users (clients' names, servers' caches, work under way) and go
 * with the last one. The table has a lock of its own, taken at Parse and when a user lets go.
 */
#ifndef PERFKIT_CORE_STATEMENT_H
#define PERFKIT_CORE_STATEMENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include <uthash.h>

#include "proto/prepared.h"

/* Whether its text changes what a session keeps (core/sticky). */
enum statement_state
{
	STATEMENT_UNSEEN,
	STATEMENT_PLAIN,
	STATEMENT_MATTERS
};

struct statement
{
	UT_hash_handle hh;
	_Atomic int users;
	uint32_t id;
	_Atomic int retired; /* its result type has changed: a new Parse of the text makes a new one */
	_Atomic int state;   /* enum statement_state */
	char name[PREPARED_NAME_MAX]; /* on servers */
	size_t len;
	uint8_t text[]; /* query, its terminator, number of types, types: the body of Parse behind the
					   name */
};

/* The statement of a Parse body behind its name; the caller is a user now. */
struct statement *statement_get(const uint8_t *text, size_t len);

/* One user more, one less (takes the pointer away; NULL does nothing). */
struct statement *statement_use(struct statement *s);
void statement_drop(struct statement **s);

/* No Parse finds it any more. */
void statement_retire(struct statement *s);

/* How many there are, for tests and SHOW. */
unsigned statement_count(void);

#endif
