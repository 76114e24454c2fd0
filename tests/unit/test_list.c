/*
 * test_list.c - intrusive list: order, removal while walking, links of nodes that stand alone.
 */
#include "unit.h"

#include "base/list.h"

struct item
{
	int value;
	struct list link;
};

static int
value_of(const struct list *n)
{
	return list_entry(n, struct item, link)->value;
}

static void
an_empty_list_has_no_ends(void **state)
{
	struct list head;

	(void) state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_first(&head));
	assert_null(list_last(&head));
	assert_null(list_pop(&head));
	list_foreach(pos, tmp, &head) fail_msg("walked into an empty list");
}

static void
append_and_prepend_keep_order(void **state)
{
	struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 0}};
	struct list head;
	int expected = 0;

	(void) state;
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &items[i].link);
	list_prepend(&head, &items[3].link);
	assert_int_equal(value_of(list_first(&head)), 0);
	assert_int_equal(value_of(list_last(&head)), 3);
	list_foreach(pos, tmp, &head) assert_int_equal(value_of(pos), expected++);
	assert_int_equal(expected, 4);
}

static void
pop_takes_the_oldest_and_unlinks_it(void **state)
{
	struct item items[2] = {{.value = 1}, {.value = 2}};
	struct list head;

	(void) state;
	list_init(&head);
	list_append(&head, &items[0].link);
	list_append(&head, &items[1].link);
	assert_ptr_equal(list_pop(&head), &items[0].link);
	assert_false(list_linked(&items[0].link));
	assert_true(list_linked(&items[1].link));
	assert_ptr_equal(list_pop(&head), &items[1].link);
	assert_true(list_empty(&head));
}

static void
remove_is_harmless_twice(void **state)
{
	struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
	struct list head;

	(void) state;
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &items[i].link);
	list_remove(&items[1].link);
	list_remove(&items[1].link);
	assert_ptr_equal(list_first(&head)->next, &items[2].link);
	assert_ptr_equal(list_last(&head)->prev, &items[0].link);
}

static void
the_walk_survives_removal_of_its_node(void **state)
{
	struct item items[5];
	struct list head;
	int sum = 0;

	(void) state;
	list_init(&head);
	for (int i = 0; i < 5; i++)
	{
		items[i].value = i;
		list_append(&head, &items[i].link);
	}
	list_foreach(pos, tmp, &head)
	{
		sum += value_of(pos);
		if (value_of(pos) % 2 == 0)
			list_remove(pos);
	}
	assert_int_equal(sum, 10);
	assert_int_equal(value_of(list_pop(&head)), 1);
	assert_int_equal(value_of(list_pop(&head)), 3);
	assert_true(list_empty(&head));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_no_ends),
		cmocka_unit_test(append_and_prepend_keep_order),
		cmocka_unit_test(pop_takes_the_oldest_and_unlinks_it),
		cmocka_unit_test(remove_is_harmless_twice),
		cmocka_unit_test(the_walk_survives_removal_of_its_node),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
