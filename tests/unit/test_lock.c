/*
 * test_lock.c - the holder is known, exclusion holds, misuse is found.
 *
 * Debug builds abort on misuse, so it is tried in a child; release builds count it.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/lock.h"
#include "base/log.h"

#define THREADS 4
#define ROUNDS 20000

static struct lock shared;
static unsigned long counter;

static void
the_holder_is_known(void **state)
{
	struct lock l;

	(void) state;
	lock_init(&l);
	assert_false(lock_held(&l));
	lock_acquire(&l);
	assert_true(lock_held(&l));
	lock_release(&l);
	assert_false(lock_held(&l));
	lock_fini(&l);
}

static void *
ask_whether_held(void *arg)
{
	return lock_held(arg) ? arg : NULL;
}

static void
another_thread_does_not_hold_it(void **state)
{
	struct lock l;
	pthread_t thread;
	void *held = &l;

	(void) state;
	lock_init(&l);
	lock_acquire(&l);
	assert_int_equal(pthread_create(&thread, NULL, ask_whether_held, &l), 0);
	assert_int_equal(pthread_join(thread, &held), 0);
	assert_null(held);
	lock_release(&l);
	lock_fini(&l);
}

static void *
count_up(void *arg)
{
	(void) arg;
	for (int i = 0; i < ROUNDS; i++)
	{
		lock_acquire(&shared);
		counter++;
		lock_release(&shared);
	}
	return NULL;
}

static void
threads_exclude_each_other(void **state)
{
	pthread_t threads[THREADS];

	(void) state;
	lock_init(&shared);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(counter, THREADS * ROUNDS);
	lock_fini(&shared);
}

static void
nest(void)
{
	struct lock a;
	struct lock b;

	lock_init(&a);
	lock_init(&b);
	lock_acquire(&a);
	lock_acquire(&b);
}

static void
release_unheld(void)
{
	struct lock a;

	lock_init(&a);
	pthread_mutex_lock(&a.mutex);
	lock_release(&a);
}

/* Runs a misuse in a child; returns true when it was found: by abort, or by the count. */
static bool
is_found(void (*misuse)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
	{
		struct rlimit no_core = {0, 0};

		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		setrlimit(RLIMIT_CORE, &no_core);
		log_set_stderr(false);
		misuse();
		_exit(invariant_failures() > 0 ? 7 : 0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
#ifdef PERFKIT_DEBUG
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
#else
	return WIFEXITED(status) && WEXITSTATUS(status) == 7;
#endif
}

static void
well_behaved(void)
{
	struct lock l;

	lock_init(&l);
	lock_acquire(&l);
	lock_release(&l);
	lock_fini(&l);
}

static void
p4_locks_do_not_nest(void **state)
{
	(void) state;
	assert_true(is_found(nest));
	assert_false(is_found(well_behaved));
}

static void
p4_only_the_holder_releases(void **state)
{
	(void) state;
	assert_true(is_found(release_unheld));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_holder_is_known),
		cmocka_unit_test(another_thread_does_not_hold_it),
		cmocka_unit_test(threads_exclude_each_other),
		cmocka_unit_test(p4_locks_do_not_nest),
		cmocka_unit_test(p4_only_the_holder_releases),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
