/*
 * test_log.c - the shape of a line, its cuts, rotation, and lines of many threads.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define THREADS 4
#define LINES 500

static char dir[] = "/tmp/perfkit-test-log-XXXXXX";
static char path[64];
static char rotated[64];

static int
make_dir(void **state)
{
	(void) state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(rotated, sizeof(rotated), "%s/log.1", dir);
	log_set_stderr(false);
	return 0;
}

static int
remove_dir(void **state)
{
	(void) state;
	unlink(path);
	unlink(rotated);
	return rmdir(dir);
}

static int
open_log(void **state)
{
	(void) state;
	unlink(path);
	unlink(rotated);
	log_set_level(LOG_LEVEL_INFO);
	return log_open_file(path) ? 0 : -1;
}

static int
close_log(void **state)
{
	(void) state;
	return log_open_file(NULL) ? 0 : -1;
}

/* The whole file, terminated; static memory. */
static const char *
read_file(const char *name)
{
	static char text[2 * 1024 * 1024];
	FILE *f = fopen(name, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

static void
assert_matches(const char *text, const char *pattern)
{
	regex_t re;
	int found;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	if (found != 0)
		fail_msg("'%s' does not match '%s'", text, pattern);
}

static void
a_line_has_time_pid_level_and_text(void **state)
{
	char pattern[200];

	(void) state;
	snprintf(pattern, sizeof(pattern),
			 "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} UTC \\[%d\\] "
			 "WARNING c42 app/orders: 7 left\n$",
			 (int) getpid());
	log_warning("c%d %s: %d left", 42, "app/orders", 7);
	assert_matches(read_file(path), pattern);
}

static void
each_level_has_its_name(void **state)
{
	const char *text;

	(void) state;
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	text = read_file(path);
	assert_matches(text, "ERROR a\n.*WARNING b\n.*INFO c\n.*DEBUG d\n$");
}

static void
hidden_levels_write_nothing(void **state)
{
	(void) state;
	log_set_level(LOG_LEVEL_WARNING);
	assert_true(log_wants(LOG_LEVEL_ERROR));
	assert_true(log_wants(LOG_LEVEL_WARNING));
	assert_false(log_wants(LOG_LEVEL_INFO));
	log_info("hidden");
	log_debug("hidden");
	assert_string_equal(read_file(path), "");
}

static void
control_characters_are_replaced(void **state)
{
	(void) state;
	log_info("user \"a\nb\r\x1b[31m\x7f\tc\xc3\xa4\"");
	assert_matches(read_file(path), "INFO user \"a\\?b\\?\\?\\[31m\\?\\?c\xc3\xa4\"\n$");
}

static void
long_lines_are_cut_and_ended(void **state)
{
	char big[3 * LOG_LINE_MAX];
	const char *text;

	(void) state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	text = read_file(path);
	assert_int_equal(strlen(text), LOG_LINE_MAX);
	assert_int_equal(text[LOG_LINE_MAX - 1], '\n');
	assert_int_equal(text[LOG_LINE_MAX - 2], 'x');
}

/* Whatever the length, the cut never leaves the first bytes of a character. */
static void
a_cut_keeps_characters_whole(void **state)
{
	char big[2 * LOG_LINE_MAX];

	(void) state;
	for (size_t shift = 0; shift < 3; shift++)
	{
		size_t n = 0;
		const char *text;
		size_t len;

		while (n < shift)
			big[n++] = 'x';
		while (n + 3 < sizeof(big))
		{
			memcpy(big + n, "\xe2\x82\xac", 3);
			n += 3;
		}
		big[n] = '\0';
		assert_int_equal(open_log(NULL), 0);
		log_info("%s", big);
		text = read_file(path);
		len = strlen(text);
		assert_in_range(len, LOG_LINE_MAX - 3, LOG_LINE_MAX);
		assert_memory_equal(text + len - 4, "\xe2\x82\xac\n", 4);
	}
}

static void
errno_is_kept_and_printable(void **state)
{
	(void) state;
	errno = ENOENT;
	log_info("cannot: %m");
	assert_int_equal(errno, ENOENT);
	assert_matches(read_file(path), "cannot: No such file or directory\n$");
}

static void
opening_anew_rotates(void **state)
{
	(void) state;
	log_info("old");
	assert_int_equal(rename(path, rotated), 0);
	log_info("still old");
	assert_true(log_open_file(path));
	log_info("new");
	assert_matches(read_file(rotated), "INFO old\n.*INFO still old\n$");
	assert_matches(read_file(path), "^[^\n]*INFO new\n$");
}

static void
a_file_that_cannot_be_opened_leaves_the_old_one(void **state)
{
	(void) state;
	errno = 0;
	assert_false(log_open_file(dir));
	assert_int_equal(errno, EISDIR);
	log_info("still here");
	assert_matches(read_file(path), "INFO still here\n$");
}

static void
a_closed_file_gets_nothing_and_can_be_opened_again(void **state)
{
	(void) state;
	log_info("one");
	assert_true(log_open_file(""));
	assert_true(log_open_file(NULL));
	log_info("two");
	assert_true(log_open_file(path));
	log_info("three");
	assert_matches(read_file(path), "^[^\n]*INFO one\n[^\n]*INFO three\n$");
}

static void
stderr_gets_the_lines_too(void **state)
{
	char name[] = "/tmp/perfkit-test-log-stderr-XXXXXX";
	int fd = mkstemp(name);
	int saved = dup(STDERR_FILENO);

	(void) state;
	assert_true(fd >= 0 && saved >= 0);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	log_set_stderr(true);
	log_info("both");
	log_set_stderr(false);
	log_info("file only");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	assert_matches(read_file(name), "^[^\n]*INFO both\n$");
	unlink(name);
	assert_matches(read_file(path), "INFO both\n.*INFO file only\n$");
}

static void *
write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("thread %d says %0200d end", *(int *) arg, i);
	return NULL;
}

static void
lines_of_many_threads_stay_whole(void **state)
{
	pthread_t threads[THREADS];
	int names[THREADS];
	int count = 0;
	char *save = NULL;
	char *text;

	(void) state;
	for (int i = 0; i < THREADS; i++)
	{
		names[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &names[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	text = strdup(read_file(path));
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
	{
		int thread;
		int number;
		char end[4];

		assert_int_equal(
			sscanf(strstr(line, "thread"), "thread %d says %d %3s", &thread, &number, end), 3);
		assert_string_equal(end, "end");
		count++;
	}
	free(text);
	assert_int_equal(count, THREADS * LINES);
}

static void
memory_helpers_give_memory(void **state)
{
	char *p = mem_alloc(0);
	char *zero = mem_zalloc(100);
	char *copy = mem_strdup("text");

	(void) state;
	assert_non_null(p);
	for (int i = 0; i < 100; i++)
		assert_int_equal(zero[i], 0);
	assert_string_equal(copy, "text");
	copy = mem_realloc(copy, 1000);
	assert_string_equal(copy, "text");
	free(p);
	free(zero);
	free(copy);
}

#define WITH_LOG(f) cmocka_unit_test_setup_teardown(f, open_log, close_log)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOG(a_line_has_time_pid_level_and_text),
		WITH_LOG(each_level_has_its_name),
		WITH_LOG(hidden_levels_write_nothing),
		WITH_LOG(control_characters_are_replaced),
		WITH_LOG(long_lines_are_cut_and_ended),
		WITH_LOG(a_cut_keeps_characters_whole),
		WITH_LOG(errno_is_kept_and_printable),
		WITH_LOG(opening_anew_rotates),
		WITH_LOG(a_file_that_cannot_be_opened_leaves_the_old_one),
		WITH_LOG(a_closed_file_gets_nothing_and_can_be_opened_again),
		WITH_LOG(stderr_gets_the_lines_too),
		WITH_LOG(lines_of_many_threads_stay_whole),
		cmocka_unit_test(memory_helpers_give_memory),
	};

	return cmocka_run_group_tests_name("log", tests, make_dir, remove_dir);
}
