/*
 * test_pidfile.c - who has the file, and who may not have it.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pidfile.h"

static char dir[] = "/tmp/perfkit-test-pidfile-XXXXXX";
static char path[64];
static char error[256];

static int
set_up(void **state)
{
	(void) state;
	log_set_stderr(false);
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/pid", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	return rmdir(dir);
}

static long
number(void)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld\n", &n), 1);
	fclose(f);
	return n;
}

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
}

static bool
there(void)
{
	return access(path, F_OK) == 0;
}

static void
test_life(void **state)
{
	(void) state;
	pidfile_release();
	assert_true(pidfile_take(path, error, sizeof(error)));
	assert_int_equal(number(), getpid());
	pidfile_release();
	assert_false(there());
	pidfile_release();
}

static void
test_none_wanted(void **state)
{
	(void) state;
	assert_true(pidfile_take("", error, sizeof(error)));
	assert_true(pidfile_take(NULL, error, sizeof(error)));
}

/* Longer than ours, of a process that lives, or no number at all: nobody holds the lock. */
static void
test_stale(void **state)
{
	static const char *const texts[] = {"1\n", "123456789012345678\n", "no number", ""};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		put(texts[i]);
		assert_true(pidfile_take(path, error, sizeof(error)));
		assert_int_equal(number(), getpid());
		pidfile_release();
	}
}

static void
test_taken(void **state)
{
	char said[64];
	int ends[2];
	int status;
	char byte;
	pid_t child;

	(void) state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
	{
		if (pidfile_take(path, error, sizeof(error)) && write(ends[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_false(pidfile_take(path, error, sizeof(error)));
	snprintf(said, sizeof(said), "its process runs (pid %d)", (int) child);
	assert_non_null(strstr(error, said));
	assert_int_equal(number(), child);
	/* However it ends, the lock goes with it. */
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_true(there());
	assert_true(pidfile_take(path, error, sizeof(error)));
	assert_int_equal(number(), getpid());
	pidfile_release();
	close(ends[0]);
	close(ends[1]);
}

/* Somebody has put another file there: that one is not ours to remove. */
static void
test_replaced(void **state)
{
	(void) state;
	assert_true(pidfile_take(path, error, sizeof(error)));
	unlink(path);
	put("7\n");
	pidfile_release();
	assert_int_equal(number(), 7);
	unlink(path);
}

static void
test_impossible(void **state)
{
	(void) state;
	assert_false(pidfile_take("/nowhere/at/all", error, sizeof(error)));
	assert_non_null(strstr(error, "No such file"));
	assert_false(pidfile_take(dir, error, sizeof(error)));
	assert_non_null(strstr(error, "directory"));
	pidfile_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),     cmocka_unit_test(test_none_wanted),
		cmocka_unit_test(test_stale),    cmocka_unit_test(test_taken),
		cmocka_unit_test(test_replaced), cmocka_unit_test(test_impossible),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
