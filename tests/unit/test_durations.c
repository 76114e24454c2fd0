/*
 * test_durations.c - durations of pools: what is told is what was added, name by name.
 */
#include "core/durations.h"

#include <string.h>

#include "base/buf.h"
#include "unit.h"

/* What is told of a pool's queries; "": nothing. */
static void
expect(const struct durations *d, const char *database, const char *user, const char *text,
	   uint64_t n)
{
	struct buf out;

	buf_init(&out);
	assert_int_equal(durations_tell(d, database, user, METER_QUERY, &out), n);
	if (n == 0)
		assert_int_equal(buf_len(&out), 0);
	else
		assert_string_equal((const char *) buf_data(&out), text);
	buf_fini(&out);
}

static void
times_are_told_apart(void **state)
{
	struct durations *d = durations_new();
	struct meter_sum sum = {0};

	(void) state;
	sum.count[METER_WAIT][0] = 9;
	sum.count[METER_QUERY][0] = 1;
	sum.count[METER_QUERY][311] = UINT64_C(10000000000);
	sum.count[METER_XACT][5] = 7;
	durations_add(d, "app", "joe", &sum);
	expect(d, "app", "joe", "[0,1,311,10000000000]", UINT64_C(10000000001));
	sum.count[METER_QUERY][0] = sum.count[METER_QUERY][311] = 0;
	durations_add(d, "app", "ann", &sum);
	expect(d, "app", "ann", "", 0);
	durations_free(d);
}

static void
names_are_told_apart(void **state)
{
	struct durations *d = durations_new();
	struct meter_sum sum = {0};

	(void) state;
	sum.count[METER_QUERY][3] = 1;
	durations_add(d, "ab", "c", &sum);
	expect(d, "a", "bc", "", 0);
	expect(d, "ab", "", "", 0);
	sum.count[METER_QUERY][3] = 2;
	durations_add(d, "a", "bc", &sum);
	expect(d, "ab", "c", "[3,1]", 1);
	expect(d, "a", "bc", "[3,2]", 2);
	durations_free(d);
}

/* A pool for replication has the name of the ordinary one. */
static void
what_comes_under_one_name_is_added(void **state)
{
	struct durations *d = durations_new();
	struct meter_sum sum = {0};

	(void) state;
	sum.count[METER_QUERY][3] = 1;
	durations_add(d, "app", "joe", &sum);
	sum.count[METER_QUERY][2] = 5;
	durations_add(d, "app", "joe", &sum);
	sum.count[METER_QUERY][2] = 0;
	durations_add(d, "app", "joe", &sum);
	expect(d, "app", "joe", "[2,5,3,3]", 8);
	durations_free(d);
}

static void
without_any_there_are_none(void **state)
{
	struct durations *d = durations_new();

	(void) state;
	expect(NULL, "app", "joe", "", 0);
	expect(d, "app", "joe", "", 0);
	durations_free(d);
	durations_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_told_apart),
		cmocka_unit_test(names_are_told_apart),
		cmocka_unit_test(what_comes_under_one_name_is_added),
		cmocka_unit_test(without_any_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
