/*
 * test_assert.c - broken invariants: debug builds abort, release builds count them and log each
 * place once a second.
 */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

static uint64_t stepped_us;

static uint64_t
stepped(void)
{
	return stepped_us;
}

static void
what_holds_is_true_and_silent(void **state)
{
	uint64_t before = invariant_failures();

	(void) state;
	assert_true(INVARIANT(1 + 1 == 2, "T1"));
	assert_int_equal(invariant_failures(), before);
}

/* Breaks two invariants three times in one second and once in the next one. */
static void
break_some(void)
{
	bool ok = true;

	clock_set_source(stepped);
	for (int i = 0; i < 4; i++)
	{
		stepped_us = i < 3 ? 5000000 : 6000000;
		ok = !INVARIANT(i < 0, "T1") && ok;
		ok = !INVARIANT(i < 0, "T2") && ok;
	}
	_exit(ok && invariant_failures() == 8 ? 0 : 1);
}

static void
what_is_broken_is_found(void **state)
{
	char log[1024] = "";
	int fds[2];
	int status = 0;
	ssize_t n;
	size_t len = 0;
	int lines = 0;
	pid_t pid;

	(void) state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
	{
		struct rlimit no_core = {0, 0};

		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		break_some();
	}
	close(fds[1]);
	while ((n = read(fds[0], log + len, sizeof(log) - 1 - len)) > 0)
		len += (size_t) n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (const char *p = log; (p = strstr(p, "ERROR invariant T")) != NULL; p++)
		lines++;
#ifdef PERFKIT_DEBUG
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(lines, 1);
#else
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(lines, 4);
#endif
	assert_non_null(strstr(log, "invariant T1 is broken at "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_holds_is_true_and_silent),
		cmocka_unit_test(what_is_broken_is_found),
	};

	return cmocka_run_group_tests_name("assert", tests, NULL, NULL);
}
