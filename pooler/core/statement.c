/*
 * statement.c - see statement.h.
 */
#include "core/statement.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static struct
{
	pthread_mutex_t mutex;
	struct statement *by_text; /* without the retired ones */
	uint32_t next_id;
	unsigned count;
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct statement *
make(const uint8_t *text, size_t len)
{
	struct statement *s = mem_zalloc(sizeof(*s) + len);

	s->id = ++table.next_id;
	s->len = len;
	memcpy(s->text, text, len);
	snprintf(s->name, sizeof(s->name), "PERFKIT_%u", s->id);
	HASH_ADD_KEYPTR(hh, table.by_text, s->text, s->len, s);
	table.count++;
	return s;
}

struct statement *
statement_get(const uint8_t *text, size_t len)
{
	struct statement *s;

	pthread_mutex_lock(&table.mutex);
	HASH_FIND(hh, table.by_text, text, len, s);
	if (s == NULL)
		s = make(text, len);
	atomic_fetch_add(&s->users, 1);
	pthread_mutex_unlock(&table.mutex);
	return s;
}

struct statement *
statement_use(struct statement *s)
{
	atomic_fetch_add(&s->users, 1);
	return s;
}

void
statement_drop(struct statement **statement)
{
	struct statement *s = *statement;
	int users;

	*statement = NULL;
	if (s == NULL)
		return;
	/* Not the last user: no lock. The last one leaves under it, or a Parse could find what is being
	 * freed. */
	users = atomic_load(&s->users);
	while (users > 1)
		if (atomic_compare_exchange_weak(&s->users, &users, users - 1))
			return;
	pthread_mutex_lock(&table.mutex);
	if (atomic_fetch_sub(&s->users, 1) > 1)
		s = NULL;
	else
	{
		if (!atomic_load(&s->retired))
			HASH_DELETE(hh, table.by_text, s);
		table.count--;
	}
	pthread_mutex_unlock(&table.mutex);
	free(s);
}

void
statement_retire(struct statement *s)
{
	pthread_mutex_lock(&table.mutex);
	if (!atomic_exchange(&s->retired, 1))
		HASH_DELETE(hh, table.by_text, s);
	pthread_mutex_unlock(&table.mutex);
}

unsigned
statement_count(void)
{
	unsigned n;

	pthread_mutex_lock(&table.mutex);
	n = table.count;
	pthread_mutex_unlock(&table.mutex);
	return n;
}
