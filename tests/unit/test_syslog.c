/*
 * test_syslog.c - lines to a log daemon of our own: their shape, a daemon that is away, comes back,
 * or does not read.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "net/syslog.h"

static char dir[] = "/tmp/perfkit-test-syslog-XXXXXX";
static char path[64];
static int daemon_fd = -1;

static void
open_daemon(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	daemon_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(daemon_fd, (struct sockaddr *) &a, sizeof(a)), 0);
}

static void
close_daemon(void)
{
	close(daemon_fd);
	unlink(path);
}

static int
set_up(void **state)
{
	(void) state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", dir);
	log_set_stderr(false);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	syslog_stop();
	return rmdir(dir);
}

/* The next line that the daemon has got, "" for none. */
static const char *
line(void)
{
	static char text[LOG_LINE_MAX + 200];
	ssize_t n = recv(daemon_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
test_shape(void **state)
{
	char wanted[200];

	(void) state;
	open_daemon();
	assert_true(syslog_start(path, LOG_LOCAL5, "front"));
	log_error("c1 app/alice: one\ntwo");
	snprintf(wanted, sizeof(wanted), "<%d>front[%d]: c1 app/alice: one?two", LOG_LOCAL5 | LOG_ERR,
			 (int) getpid());
	assert_string_equal(line(), wanted);
	log_warning("careful");
	assert_non_null(strstr(line(), "careful"));
	log_debug("hidden");
	assert_string_equal(line(), "");
	/* Under another name from now on, without a gap. */
	assert_true(syslog_start(path, LOG_DAEMON, "back"));
	log_info("three");
	snprintf(wanted, sizeof(wanted), "<%d>back[%d]: three", LOG_DAEMON | LOG_INFO, (int) getpid());
	assert_string_equal(line(), wanted);
	syslog_stop();
	log_info("four");
	assert_string_equal(line(), "");
	close_daemon();
}

static void
test_away_and_back(void **state)
{
	(void) state;
	assert_false(syslog_start(path, LOG_DAEMON, "front"));
	assert_int_equal(errno, ENOENT);
	log_info("nobody hears it");
	open_daemon();
	log_info("here again");
	assert_non_null(strstr(line(), "here again"));
	close_daemon();
	log_info("lost");
	open_daemon();
	log_info("restarted");
	assert_non_null(strstr(line(), "restarted"));
	close_daemon();
}

/* Would never return if a full socket were waited for. */
static void
test_daemon_that_does_not_read(void **state)
{
	int n = 0;

	(void) state;
	open_daemon();
	assert_true(syslog_start(path, LOG_DAEMON, "front"));
	for (int i = 0; i < 5000; i++)
		log_info("line %d", i);
	while (*line() != '\0')
		n++;
	assert_in_range(n, 1, 4999);
	log_info("room again");
	assert_non_null(strstr(line(), "room again"));
	close_daemon();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_away_and_back),
		cmocka_unit_test(test_daemon_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
