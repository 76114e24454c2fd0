/*
 * pidfile.c - see pidfile.h.
 *
 * Between the opening and the lock the owner before may have removed the file: then what is locked
 * has no name any more, and the next process would lock another one. So the name is looked at
 * again, and the turn begins anew when it leads elsewhere.
 */
#include "base/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define NUMBER_MAX 32

static struct
{
	char *path; /* NULL: none */
	int fd;
} taken;

static bool
is_file(int fd, const char *path)
{
	struct stat opened;
	struct stat named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
		   opened.st_ino == named.st_ino;
}

static bool
write_number(int fd)
{
	char text[NUMBER_MAX];
	int len = snprintf(text, sizeof(text), "%ld\n", (long) getpid());

	return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t) len, 0) == len;
}

/* What the owner wrote, for the error alone. */
static long
read_number(int fd)
{
	char text[NUMBER_MAX] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

/* A descriptor of the file at path, locked; -1 with error filled in. */
static int
open_locked(const char *path, char *error, size_t cap)
{
	for (;;)
	{
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);

		if (fd < 0)
		{
			snprintf(error, cap, "pidfile \"%s\": %s", path, strerror(errno));
			return -1;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		{
			if (errno == EWOULDBLOCK)
				snprintf(error, cap, "pidfile \"%s\": its process runs (pid %ld)", path,
						 read_number(fd));
			else
				snprintf(error, cap, "pidfile \"%s\": %s", path, strerror(errno));
			close(fd);
			return -1;
		}
		if (is_file(fd, path))
			return fd;
		close(fd);
	}
}

bool
pidfile_take(const char *path, char *error, size_t cap)
{
	int fd;
	long before;

	if (path == NULL || *path == '\0')
		return true;
	fd = open_locked(path, error, cap);
	if (fd < 0)
		return false;
	before = read_number(fd);
	if (!write_number(fd))
	{
		snprintf(error, cap, "pidfile \"%s\": %s", path, strerror(errno));
		close(fd);
		return false;
	}
	if (before > 0)
		log_info("pidfile \"%s\" was left behind by process %ld, which is gone", path, before);
	taken.path = mem_strdup(path);
	taken.fd = fd;
	return true;
}

void
pidfile_release(void)
{
	if (taken.path == NULL)
		return;
	if (is_file(taken.fd, taken.path))
		unlink(taken.path);
	close(taken.fd);
	free(taken.path);
	taken.path = NULL;
}
