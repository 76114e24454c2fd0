/*
 * log.c - formats a line on the stack and writes it with one write().
 *
 * Threads: any, at any time, without a lock. The file keeps one descriptor number from its first
 * opening to the end of the process: a rotation puts the new file under the same number (dup3), and
 * closing puts /dev/null there, so a line in flight on another thread never meets a closed or
 * foreign descriptor.
 *
 * Failure: a line that cannot be written is lost; the pooler serves on.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic(int) shown_level = LOG_LEVEL_INFO;
static _Atomic(int) least_level = LOG_LEVEL_ERROR;
static _Atomic(bool) to_stderr = true;
static _Atomic(int) file_fd = -1;
static void (*_Atomic sink)(enum log_level level, const char *line, size_t len);

static const char *const level_names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};

void
log_set_level(enum log_level level)
{
	int least = atomic_load(&least_level);

	atomic_store_explicit(&shown_level, (int) level > least ? (int) level : least,
						  memory_order_relaxed);
}

void
log_set_least(enum log_level level)
{
	atomic_store(&least_level, (int) level);
	log_set_level((enum log_level) atomic_load(&shown_level));
}

void
log_set_sink(void (*to)(enum log_level level, const char *line, size_t len))
{
	atomic_store(&sink, to);
}

bool
log_wants(enum log_level level)
{
	return (int) level <= atomic_load_explicit(&shown_level, memory_order_relaxed);
}

void
log_set_stderr(bool on)
{
	atomic_store(&to_stderr, on);
}

bool
log_open_file(const char *path)
{
	bool closing = path == NULL || path[0] == '\0';
	int old_fd = atomic_load(&file_fd);
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
	int saved_errno;
	int fd;
	bool ok;

	if (closing && old_fd < 0)
		return true;
	fd = closing ? open("/dev/null", O_WRONLY | O_CLOEXEC) : open(path, flags, 0640);
	if (fd < 0)
		return false;
	if (old_fd < 0)
	{
		atomic_store(&file_fd, fd);
		return true;
	}
	ok = dup3(fd, old_fd, O_CLOEXEC) >= 0;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return ok;
}

/* "2026-11-20 23:59:59.123 UTC [pid] LEVEL "; returns its length. */
static size_t
format_prefix(char *dst, size_t cap, enum log_level level)
{
	uint64_t now_us = clock_wall_us();
	time_t now_s = (time_t) (now_us / 1000000);
	struct tm tm;
	size_t len;

	gmtime_r(&now_s, &tm);
	len = strftime(dst, cap, "%Y-%m-%d %H:%M:%S", &tm);
	len += (size_t) snprintf(dst + len, cap - len, ".%03u UTC [%d] %s ",
							 (unsigned) (now_us / 1000 % 1000), (int) getpid(), level_names[level]);
	return len;
}

/* A cut must not leave the first bytes of a UTF-8 character at the end. */
static size_t
cut_before_partial_char(const char *line, size_t len)
{
	size_t start = len;

	while (start > 0 && len - start < 3 && ((uint8_t) line[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (uint8_t) line[start - 1] >= 0xc0)
		return start - 1;
	return len;
}

static void
replace_control_chars(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((uint8_t) p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
}

static void
write_line(int fd, const char *line, size_t len)
{
	ssize_t written;

	do
		written = write(fd, line, len);
	while (written < 0 && errno == EINTR);
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX + 1];
	int saved_errno = errno;
	size_t prefix;
	size_t len;
	int wanted;
	int fd;
	void (*also)(enum log_level, const char *, size_t);
	va_list args;

	if (!log_wants(level))
		return;
	prefix = format_prefix(line, sizeof(line), level);
	va_start(args, fmt);
	errno = saved_errno; /* for %m */
	wanted = vsnprintf(line + prefix, LOG_LINE_MAX - prefix, fmt, args);
	va_end(args);

	/* vsnprintf() fails only on a bad multibyte conversion, which no caller uses. */
	len = prefix + (wanted < 0 ? 0 : (size_t) wanted);
	if (len > LOG_LINE_MAX - 1)
		len = cut_before_partial_char(line, LOG_LINE_MAX - 1);
	replace_control_chars(line + prefix, len - prefix);
	also = atomic_load(&sink);
	if (also != NULL)
		also(level, line + prefix, len - prefix);
	line[len++] = '\n';

	fd = atomic_load(&file_fd);
	if (fd >= 0)
		write_line(fd, line, len);
	if (atomic_load(&to_stderr))
		write_line(STDERR_FILENO, line, len);
	errno = saved_errno;
}

static void
log_oom(unsigned long size)
{
	log_error("out of memory: cannot allocate %lu bytes", size);
	_exit(1); /* other threads still run: no exit handlers */
}

void *
mem_alloc(unsigned long size)
{
	return mem_realloc(NULL, size);
}

void *
mem_zalloc(unsigned long size)
{
	void *p = calloc(1, size != 0 ? size : 1);

	if (p == NULL)
		log_oom(size);
	return p;
}

void *
mem_realloc(void *p, unsigned long size)
{
	p = realloc(p, size != 0 ? size : 1);
	if (p == NULL)
		log_oom(size);
	return p;
}

char *
mem_strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(mem_alloc(size), s, size);
}
