/*
 * test_statement.c - shared statements and who counts on them: names, caches, notes to undo.
 */
#include "core/statement.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names.h"
#include "core/stmt_cache.h"
#include "core/undo.h"
#include "unit.h"

static struct statement *
get(const char *sql)
{
	return statement_get((const uint8_t *) sql, strlen(sql) + 1);
}

static int
none_is_left(void **state)
{
	(void) state;
	return statement_count() == 0 ? 0 : -1;
}

static void
one_for_each_text(void **state)
{
	struct statement *a = get("select 1");
	struct statement *b = get("select 1");
	struct statement *c = get("select 2");
	struct statement *typed = statement_get((const uint8_t *) "select 1\0\0\1", 11);

	(void) state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, typed);
	assert_string_not_equal(a->name, c->name);
	assert_int_equal(a->len, 9);
	assert_int_equal(statement_count(), 3);
	statement_drop(&b);
	assert_null(b);
	statement_drop(&b);
	assert_int_equal(statement_count(), 3);
	statement_drop(&a);
	statement_drop(&c);
	statement_drop(&typed);
	assert_int_equal(statement_count(), 0);
}

static void
a_retired_one_is_not_found(void **state)
{
	struct statement *old = get("select 1");
	struct statement *new;
	struct statement *again;

	(void) state;
	statement_retire(old);
	statement_retire(old);
	new = get("select 1");
	again = get("select 1");
	assert_ptr_not_equal(old, new);
	assert_ptr_equal(new, again);
	assert_string_not_equal(old->name, new->name);
	statement_drop(&old);
	assert_int_equal(statement_count(), 1);
	statement_drop(&new);
	statement_drop(&again);
}

/* The last user leaves while another comes. */
static void *
come_and_go(void *arg)
{
	(void) arg;
	for (int i = 0; i < 2000; i++)
	{
		struct statement *s = get(i % 2 == 0 ? "select 1" : "select 2");
		struct statement *t = statement_use(s);

		if (i % 100 == 0)
			statement_retire(s);
		statement_drop(&t);
		statement_drop(&s);
	}
	return NULL;
}

static void
many_threads(void **state)
{
	pthread_t threads[4];

	(void) state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(statement_count(), 0);
}

static void
a_cache_keeps_the_order_of_use(void **state)
{
	struct stmt_cache c = {0};
	struct statement *s[3];

	(void) state;
	assert_null(stmt_cache_superfluous(&c, 1));
	for (int i = 0; i < 3; i++)
	{
		char sql[32];

		snprintf(sql, sizeof(sql), "select %d", i);
		s[i] = get(sql);
		assert_false(stmt_cache_touch(&c, s[i]));
		stmt_cache_add(&c, s[i]);
		stmt_cache_add(&c, s[i]);
	}
	assert_int_equal(stmt_cache_count(&c), 3);
	assert_null(stmt_cache_superfluous(&c, 4));
	assert_ptr_equal(stmt_cache_superfluous(&c, 3), s[0]);
	assert_true(stmt_cache_touch(&c, s[0]));
	assert_ptr_equal(stmt_cache_superfluous(&c, 3), s[1]);
	assert_true(stmt_cache_touch(&c, s[0]));
	assert_ptr_equal(stmt_cache_find(&c, s[2]->id), s[2]);
	assert_null(stmt_cache_find(&c, s[2]->id + 1));
	stmt_cache_remove(&c, s[1]);
	stmt_cache_remove(&c, s[1]);
	assert_ptr_equal(stmt_cache_superfluous(&c, 2), s[2]);
	/* The cache is a user. */
	statement_drop(&s[2]);
	assert_int_equal(statement_count(), 3);
	c.uncertain = true;
	stmt_cache_clear(&c);
	assert_false(c.uncertain);
	assert_int_equal(statement_count(), 2);
	statement_drop(&s[0]);
	statement_drop(&s[1]);
}

static void
names_of_a_client(void **state)
{
	struct names n = {0};
	struct statement *s = get("select 1");

	(void) state;
	assert_null(names_find(&n, "a"));
	names_remove(&n, "a");
	names_add(&n, "a", s);
	names_add(&n, "A", s);
	assert_ptr_equal(names_find(&n, "a"), s);
	assert_null(names_find(&n, ""));
	assert_int_equal(names_count(&n), 2);
	names_remove(&n, "a");
	assert_null(names_find(&n, "a"));
	statement_drop(&s);
	assert_int_equal(statement_count(), 1);
	names_clear(&n);
	assert_null(n.by_name);
	assert_int_equal(statement_count(), 0);
}

static void
changes_are_taken_back_newest_first(void **state)
{
	struct list notes;
	struct names names = {0};
	struct stmt_cache cache = {0};
	struct statement *a = get("select 1");
	struct statement *b = get("select 2");

	(void) state;
	list_init(&notes);
	assert_null(undo_oldest(&notes));
	undo_back_from(&notes, NULL, &names, &cache);
	/* s meant a and was closed, then given to b; a was evicted for b. */
	names_add(&names, "s", b);
	stmt_cache_add(&cache, b);
	undo_note(&notes, 1, UNDO_CACHED, a, "");
	undo_note(&notes, 1, UNDO_NAMED, a, "s");
	undo_note(&notes, 2, UNDO_UNNAMED, a, "s");
	undo_note(&notes, 3, UNDO_EVICTED, a, "");
	undo_note(&notes, 4, UNDO_CACHED, b, "");
	undo_note(&notes, 4, UNDO_NAMED, b, "s");
	undo_answered(&notes, 2);
	assert_int_equal(undo_oldest(&notes)->serial, 1);
	undo_answered(&notes, 1);
	assert_int_equal(undo_oldest(&notes)->serial, 2);

	names_clear(&names);
	stmt_cache_clear(&cache);
	undo_redo(&notes, &names, &cache);
	assert_ptr_equal(names_find(&names, "s"), b);
	assert_true(stmt_cache_touch(&cache, b));

	undo_back_from(&notes, list_entry(notes.prev, struct undo, node), &names, &cache);
	assert_null(undo_oldest(&notes));
	assert_ptr_equal(names_find(&names, "s"), a);
	assert_true(stmt_cache_touch(&cache, a));
	assert_false(stmt_cache_touch(&cache, b));
	undo_note(&notes, 5, UNDO_SENT, b, "");
	undo_clear(&notes);
	names_clear(&names);
	stmt_cache_clear(&cache);
	statement_drop(&a);
	statement_drop(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(one_for_each_text, none_is_left),
		cmocka_unit_test_teardown(a_retired_one_is_not_found, none_is_left),
		cmocka_unit_test_teardown(many_threads, none_is_left),
		cmocka_unit_test_teardown(a_cache_keeps_the_order_of_use, none_is_left),
		cmocka_unit_test_teardown(names_of_a_client, none_is_left),
		cmocka_unit_test_teardown(changes_are_taken_back_newest_first, none_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
