/*
 * test_welcome.c - what clients are greeted with: the last login's words, held by who was greeted
 * with them, also while many threads greet and log in at once.
 */
#include "core/welcome.h"

#include <pthread.h>
#include <string.h>

#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "unit.h"

#define THREADS 4
#define ROUNDS 5000

/* A login that reports this DateStyle and this version. */
static void
login(struct welcome_box *box, const char *datestyle, const char *version)
{
	uint8_t mem[200];
	struct pgwriter w;
	struct params params;
	struct buf messages;

	pgw_init(&w, mem, sizeof(mem));
	pgw_parameter_status(&w, "DateStyle", datestyle);
	pgw_parameter_status(&w, "server_version", version);
	params_init(&params);
	params_set(&params, PARAM_DATESTYLE, datestyle);
	buf_init(&messages);
	buf_append(&messages, w.mem, w.len);
	welcome_put(box, &params, &messages);
	params_fini(&params);
	buf_fini(&messages);
}

/* The value of the n-th message that a client gets. */
static void
expect(const struct welcome *w, const struct params *own, int n, const char *value)
{
	struct buf out;
	struct pgmsg m;
	size_t at = 0;

	buf_init(&out);
	welcome_write(w, own, &out);
	for (int i = 0; i <= n; i++)
	{
		assert_int_equal(pgmsg_peek(buf_data(&out) + at, buf_len(&out) - at, &m), PGMSG_OK);
		assert_int_equal(m.type, 'S');
		at += m.total;
	}
	assert_string_equal((const char *) m.body + strlen((const char *) m.body) + 1, value);
	buf_fini(&out);
}

static void
test_the_last_login_counts(void **state)
{
	struct welcome_box box;
	struct params none;
	struct params own;
	struct welcome *old;
	struct welcome *new;
	struct welcome *same;

	(void) state;
	welcome_box_init(&box);
	assert_null(welcome_take(&box));
	params_init(&none);
	params_init(&own);
	params_set(&own, PARAM_DATESTYLE, "German, DMY");
	login(&box, "ISO, MDY", "15.4");
	old = welcome_take(&box);
	expect(old, &none, 0, "ISO, MDY");
	expect(old, &own, 0, "German, DMY");
	expect(old, &own, 1, "15.4");
	login(&box, "ISO, DMY", "18.0");
	new = welcome_take(&box);
	expect(new, &none, 0, "ISO, DMY");
	expect(new, &none, 1, "18.0");
	/* Who was greeted before holds what he heard. */
	expect(old, &none, 0, "ISO, MDY");
	assert_string_equal(old->params.value[PARAM_DATESTYLE], "ISO, MDY");
	/* The same words again: one copy for all. */
	login(&box, "ISO, DMY", "18.0");
	same = welcome_take(&box);
	assert_ptr_equal(same, new);
	welcome_release(&old);
	assert_null(old);
	welcome_release(&same);
	welcome_box_fini(&box);
	/* The last holder frees it. */
	expect(new, &none, 1, "18.0");
	welcome_release(&new);
	welcome_release(&new);
	params_fini(&own);
}

static struct welcome_box shared;

static void *
come_and_go(void *arg)
{
	const char *mine = arg;

	for (int i = 0; i < ROUNDS; i++)
	{
		struct welcome *w;

		if (i % 3 == 0)
			login(&shared, mine, i % 2 == 0 ? "15.4" : "18.0");
		w = welcome_take(&shared);
		if (strncmp(w->params.value[PARAM_DATESTYLE], "ISO", 3) != 0 || w->len == 0)
			return arg;
		welcome_release(&w);
	}
	return NULL;
}

static void
test_many_threads(void **state)
{
	static const char *const styles[THREADS] = {"ISO, MDY", "ISO, DMY", "ISO, YMD", "ISO"};
	pthread_t threads[THREADS];
	void *failed;

	(void) state;
	welcome_box_init(&shared);
	login(&shared, "ISO", "15.4");
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *) styles[i]), 0);
	for (int i = 0; i < THREADS; i++)
	{
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(atomic_load(&shared.last->holders), 1);
	welcome_box_fini(&shared);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_login_counts),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
