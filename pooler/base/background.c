/*
 * background.c - see background.h. The two are joined by a pipe: a byte means ready, its end
 * without one means that the service is gone.
 */
#include "base/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static int ready_fd = -1; /* the service's end of the pipe; -1: nobody waits */

/* The starter's life from here on. */
static _Noreturn void
wait_for(pid_t service, int fd)
{
	char byte;
	int status;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(service, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

bool
background_start(void)
{
	int ends[2];
	pid_t pid;
	int cause;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid < 0)
	{
		cause = errno;
		close(ends[0]);
		close(ends[1]);
		errno = cause;
		return false;
	}
	close(ends[pid == 0 ? 0 : 1]);
	if (pid > 0)
		wait_for(pid, ends[0]);
	ready_fd = ends[1];
	setsid();
	return true;
}

void
background_ready(void)
{
	int null;
	ssize_t n;

	if (ready_fd < 0)
		return;
	log_set_stderr(false);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	do
		n = write(ready_fd, "r", 1);
	while (n < 0 && errno == EINTR);
	close(ready_fd);
	ready_fd = -1;
}
