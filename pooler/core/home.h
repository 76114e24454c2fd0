/*
 * home.h - the pooler's own connection to the database that perfkit_dsn names: its numbers go into
 * performance_log there, and the extension's come from there.
 *
 *     a period ends -> readings_gather() -> a batch -> backlog -> perfkit.log_pooler() -> written
 *     home_metrics() -> kept for a second, or asked for once for all who want it
 *
 * While the database is away batches wait, as many as perfkit_buffer holds; each bears the time at
 * which it was taken. What is promised: a batch is written once or, when the oldest had to give way
 * or the database has no room for its day, counted as dropped. If the connection dies behind a
 * batch, it is sent again, and log_pooler() knows it by its number.
 *
 * When the pooler ends, what it has measured since the last period is a batch as well, and it waits
 * a moment until the database has all batches.
 *
 * Main thread; what SHOW tells: core/home_view. A line in the log tells when the database has gone
 * and when it is back, none each time that it is tried; and one how many numbers are lost with the
 * end.
 */
#ifndef PERFKIT_CORE_HOME_H
#define PERFKIT_CORE_HOME_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct durations;
struct registry;

/* On the registry's main loop, after its configuration. */
void home_start(struct registry *r);

/* For good, when the pooler stops. Whoever waits for home_metrics() is told that there will be
 * nothing: before that is, who answers him must be there. */
void home_stop(void);

/* A new configuration is in force. */
void home_adopt(const struct conf *conf);

/* Whether there is a database to write to. */
bool home_is_on(void);

/* A stats period has ended, of which these are the times (NULL: none); they are taken away. last:
 * there will be no other, and home_finish() waits for it. */
void home_period(struct durations *durations, bool last);

/* The pooler shuts down when the last client has left: from now on the connection is closed
 * whenever there is nothing to say, as it may lead through this very pooler. */
void home_retire(void);

/* The pooler ends: calls done() when the last period, which is about to come, and all batches
 * before it are written, when the database cannot be had, or after HOME_END_US. Never from within;
 * not behind home_stop(). */
void home_finish(void (*done)(void));

/*
 * perfkit.metrics() of the database that perfkit_dsn names, for /metrics/database. answer(arg,
 * status, body, n) is called once, on the main loop, maybe from within; the body is valid during
 * the call: the text with status 200, else one line that tells why there is none. openmetrics: that
 * format, else Prometheus text. Main thread.
 */
void home_metrics(void (*answer)(void *arg, int http_status, const char *body, size_t n), void *arg,
				  bool openmetrics);

/* After an answer other than 200: in how many seconds it is worth another try; at least 1. */
int home_retry_after_s(void);

#endif
