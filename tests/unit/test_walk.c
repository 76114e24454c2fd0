/*
 * test_walk.c - a walk that rests while its list changes.
 */
#include "core/walk.h"

#include "unit.h"

struct item
{
	struct list node;
	int number;
};

static int
number_of(const struct list *n)
{
	return n == NULL ? 0 : list_entry(n, struct item, node)->number;
}

static void
fill(struct list *head, struct item *items, int n)
{
	list_init(head);
	for (int i = 0; i < n; i++)
	{
		items[i].number = i + 1;
		list_append(head, &items[i].node);
	}
}

static void
drop(struct list *walks, struct item *item)
{
	walk_leaving(walks, &item->node);
	list_remove(&item->node);
}

static void
steps_over_what_leaves(void **state)
{
	struct list walks;
	struct list head;
	struct item items[5];
	struct walk a;
	struct walk b;

	(void) state;
	list_init(&walks);
	fill(&head, items, 5);
	walk_init(&a);
	walk_init(&b);
	assert_true(walk_begin(&a, &walks, &head));
	assert_int_equal(number_of(walk_next(&a)), 1);
	drop(&walks, &items[1]);
	assert_true(walk_begin(&b, &walks, &head));
	assert_false(walk_begin(&a, &walks, &head));
	drop(&walks, &items[2]);
	drop(&walks, &items[0]);
	assert_int_equal(number_of(walk_next(&a)), 4);
	assert_int_equal(number_of(walk_next(&b)), 4);
	drop(&walks, &items[3]); /* behind both: nothing changes for them */
	assert_int_equal(number_of(walk_next(&b)), 5);
	drop(&walks, &items[4]);
	assert_null(walk_next(&a));
	assert_null(walk_next(&b));
	assert_true(list_empty(&walks));
}

static void
meets_what_is_appended(void **state)
{
	struct list walks;
	struct list head;
	struct item items[2];
	struct walk w;

	(void) state;
	list_init(&walks);
	fill(&head, items, 1);
	walk_init(&w);
	walk_begin(&w, &walks, &head);
	drop(&walks, &items[0]);
	items[1].number = 7;
	list_append(&head, &items[1].node);
	/* It stood at the end by then: what comes later is not seen, and nothing is wrong. */
	assert_null(walk_next(&w));
	assert_true(list_empty(&walks));
	walk_init(&w);
	walk_begin(&w, &walks, &head);
	items[0].number = 8;
	list_append(&head, &items[0].node);
	assert_int_equal(number_of(walk_next(&w)), 7);
	assert_int_equal(number_of(walk_next(&w)), 8);
	assert_null(walk_next(&w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_over_what_leaves),
		cmocka_unit_test(meets_what_is_appended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
