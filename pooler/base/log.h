/*
 * log.h - one line per event, object first: `c42 app/orders 10.0.0.7:51234: login failed: no such
 * user`.
 *
 * error = an operator must act; warning = may; info = life-cycle; debug = per message. Passwords,
 * query text and parameters never appear. Lines are written whole by one write(), so threads do not
 * mix; a line is cut at LOG_LINE_MAX bytes and control characters from the network are replaced by
 * '?'.
 */
#ifndef PERFKIT_BASE_LOG_H
#define PERFKIT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_LINE_MAX 2048

enum log_level
{
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* What is shown: everything up to this level. Callable from any thread at any time. */
void log_set_level(enum log_level level);

/* At least this much is shown, whatever log_set_level() says from now on: -v on the command line.
 */
void log_set_least(enum log_level level);

/* False when the level is hidden: spares building arguments. */
bool log_wants(enum log_level level);

/* Whether lines also go to stderr (default yes; -q and daemon mode turn it off). */
void log_set_stderr(bool on);

/*
 * Opens `path` for appending (and opens it anew when called again: log rotation). NULL or "" closes
 * the file. Returns false with errno set and keeps the old file when the new one cannot be opened.
 */
bool log_open_file(const char *path);

/*
 * Where lines go besides (NULL: nowhere else): called by every thread, with a line that has neither
 * a date nor an end of line. It must not log.
 */
void log_set_sink(void (*sink)(enum log_level level, const char *line, size_t len));

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do                                                                                             \
	{                                                                                              \
		if (log_wants(LOG_LEVEL_DEBUG))                                                            \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                \
	} while (0)

/* malloc and friends that end the process with one clear line when memory is out. Free with free().
 */
void *mem_alloc(unsigned long size);
void *mem_zalloc(unsigned long size);
void *mem_realloc(void *p, unsigned long size);
char *mem_strdup(const char *s);

#endif
