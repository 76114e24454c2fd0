/*
 * intern.c - see intern.h.
 */
#include "base/intern.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/log.h"

struct interned
{
	UT_hash_handle hh;
	_Atomic size_t users;
	char text[];
};

static struct
{
	pthread_mutex_t mutex;
	struct interned *by_text;
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct interned *
make(const char *text, size_t len)
{
	struct interned *t = mem_zalloc(sizeof(*t) + len + 1);

	memcpy(t->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, table.by_text, t->text, len, t);
	return t;
}

const char *
intern_get(const char *text)
{
	size_t len = strlen(text);
	struct interned *t;

	pthread_mutex_lock(&table.mutex);
	HASH_FIND(hh, table.by_text, text, len, t);
	if (t == NULL)
		t = make(text, len);
	atomic_fetch_add(&t->users, 1);
	pthread_mutex_unlock(&table.mutex);
	return t->text;
}

void
intern_drop(const char **text)
{
	struct interned *t;
	size_t users;

	if (*text == NULL)
		return;
	t = (struct interned *) (void *) (*text - offsetof(struct interned, text));
	*text = NULL;
	/* Not the last user: no lock. The last one leaves under it, or it could be found while it is
	 * being freed. */
	users = atomic_load(&t->users);
	while (users > 1)
		if (atomic_compare_exchange_weak(&t->users, &users, users - 1))
			return;
	pthread_mutex_lock(&table.mutex);
	if (atomic_fetch_sub(&t->users, 1) > 1)
		t = NULL;
	else
		HASH_DELETE(hh, table.by_text, t);
	pthread_mutex_unlock(&table.mutex);
	free(t);
}

size_t
intern_count(void)
{
	size_t n;

	pthread_mutex_lock(&table.mutex);
	n = HASH_COUNT(table.by_text);
	pthread_mutex_unlock(&table.mutex);
	return n;
}
