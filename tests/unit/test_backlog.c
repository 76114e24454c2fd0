/*
 * test_backlog.c - what waits for the database: order, the bound, what is counted.
 */
#include "core/backlog.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define ONE (sizeof(struct backlog_batch) + 2) /* bytes that a batch of one letter takes */

/* A batch whose text is one letter. */
static bool
put(struct backlog *b, char letter, uint64_t rows)
{
	return backlog_put(b, &letter, 1, rows, 1000);
}

/* The letters of those that wait, oldest first. */
static const char *
letters(const struct backlog *b)
{
	static char text[64];
	size_t n = 0;

	list_foreach(node, next, &b->batches) text[n++] =
		list_entry(node, struct backlog_batch, node)->text[0];
	text[n] = '\0';
	return text;
}

static void
the_oldest_is_sent_first_and_goes_when_it_is_written(void **state)
{
	struct backlog b;
	struct backlog_batch *batch;

	(void) state;
	backlog_init(&b, 10 * ONE);
	assert_null(backlog_send(&b));
	assert_true(put(&b, 'a', 3));
	assert_true(put(&b, 'b', 4));
	assert_int_equal(b.pending, 7);
	assert_int_equal(b.bytes, 2 * ONE);
	batch = backlog_send(&b);
	assert_string_equal(batch->text, "a");
	assert_int_equal(batch->number, 1);
	assert_int_equal(batch->taken_us, 1000);
	backlog_sent(&b, 3);
	assert_string_equal(letters(&b), "b");
	assert_int_equal(b.written, 3);
	assert_int_equal(b.pending, 4);
	assert_int_equal(b.bytes, ONE);
	assert_int_equal(backlog_send(&b)->number, 2);
	backlog_sent(&b, 4);
	assert_int_equal(b.written, 7);
	assert_int_equal(b.dropped, 0);
	assert_int_equal(b.bytes, 0);
	backlog_fini(&b);
}

static void
what_was_not_answered_is_sent_again_under_its_number(void **state)
{
	struct backlog b;

	(void) state;
	backlog_init(&b, 10 * ONE);
	put(&b, 'a', 1);
	put(&b, 'b', 1);
	backlog_send(&b);
	backlog_again(&b);
	assert_string_equal(letters(&b), "ab");
	assert_int_equal(backlog_send(&b)->number, 1);
	backlog_sent(&b, 1);
	backlog_sent(&b, 1); /* none is sent: nothing happens */
	backlog_again(&b);
	assert_string_equal(letters(&b), "b");
	assert_int_equal(b.written, 1);
	backlog_fini(&b);
}

static void
where_there_is_no_room_the_oldest_give_way(void **state)
{
	struct backlog b;

	(void) state;
	backlog_init(&b, 3 * ONE);
	for (const char *c = "abcde"; *c != '\0'; c++)
		assert_true(put(&b, *c, 10));
	assert_string_equal(letters(&b), "cde");
	assert_int_equal(b.dropped, 20);
	assert_int_equal(b.pending, 30);
	assert_true(b.bytes <= b.limit);
	/* Their numbers still rise. */
	assert_int_equal(backlog_send(&b)->number, 3);
	backlog_fini(&b);
}

static void
the_one_that_is_sent_stays_until_its_fate_is_known(void **state)
{
	struct backlog b;

	(void) state;
	backlog_init(&b, 2 * ONE);
	put(&b, 'a', 1);
	put(&b, 'b', 1);
	backlog_send(&b);
	assert_true(put(&b, 'c', 1));
	assert_string_equal(letters(&b), "ac");
	backlog_limit(&b, ONE);
	assert_string_equal(letters(&b), "a");
	assert_int_equal(b.dropped, 2);
	assert_false(put(&b, 'd', 1));
	assert_int_equal(b.dropped, 3);
	backlog_sent(&b, 1);
	assert_int_equal(b.written, 1);
	assert_string_equal(letters(&b), "");
	backlog_fini(&b);
}

static void
rows_that_the_database_did_not_keep_are_dropped_ones(void **state)
{
	struct backlog b;

	(void) state;
	backlog_init(&b, 2 * ONE);
	put(&b, 'a', 5);
	backlog_send(&b);
	backlog_sent(&b, 2);
	assert_int_equal(b.written, 2);
	assert_int_equal(b.dropped, 3);
	/* It cannot have kept more than there were. */
	put(&b, 'b', 5);
	backlog_send(&b);
	backlog_sent(&b, 500);
	assert_int_equal(b.written, 7);
	assert_int_equal(b.dropped, 3);
	backlog_fini(&b);
}

static void
one_that_is_larger_than_the_limit_takes_no_others_with_it(void **state)
{
	struct backlog b;
	char large[2 * sizeof(struct backlog_batch) + 16];

	(void) state;
	memset(large, 'x', sizeof(large));
	backlog_init(&b, 2 * ONE);
	put(&b, 'a', 1);
	assert_false(backlog_put(&b, large, sizeof(large), 7, 1000));
	assert_string_equal(letters(&b), "a");
	assert_int_equal(b.dropped, 7);
	backlog_drop_all(&b);
	assert_int_equal(b.dropped, 8);
	assert_int_equal(b.bytes, 0);
	assert_int_equal(b.pending, 0);
	backlog_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_is_sent_first_and_goes_when_it_is_written),
		cmocka_unit_test(what_was_not_answered_is_sent_again_under_its_number),
		cmocka_unit_test(where_there_is_no_room_the_oldest_give_way),
		cmocka_unit_test(the_one_that_is_sent_stays_until_its_fate_is_known),
		cmocka_unit_test(rows_that_the_database_did_not_keep_are_dropped_ones),
		cmocka_unit_test(one_that_is_larger_than_the_limit_takes_no_others_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
