/*
 * home_fetch.h - the texts of perfkit.metrics(): who waits for one, and what was answered last.
 *
 * A text is good for a second, and asked for once for all who want it meanwhile. Nobody waits
 * longer than HOME_PATIENCE_US, whatever becomes of the question. Main thread.
 */
#ifndef PERFKIT_CORE_HOME_FETCH_H
#define PERFKIT_CORE_HOME_FETCH_H

#include <stdbool.h>
#include <stddef.h>

/* Less than the ten seconds in which a Prometheus gives up, so that it hears why. */
#define HOME_PATIENCE_US 5000000

struct loop;

typedef void (*home_answer)(void *arg, int http_status, const char *body, size_t n);

void home_fetch_start(struct loop *loop);
void home_fetch_stop(void);

/* True: a text was at hand, and has been given. */
bool home_fetch_give(home_answer answer, void *arg, bool openmetrics);

/* answer waits for the next text, or for home_fetch_fail(). */
void home_fetch_wait(home_answer answer, void *arg, bool openmetrics);

/* A format that somebody waits for, as metrics() calls it; NULL: none. */
const char *home_fetch_wanted(void);

/* The answer to that; error: there is no text. */
void home_fetch_answered(const char *format, const char *text, size_t n, const char *error);

/* Nobody waits any more: all are told so with 503. What is kept stays, unless forget. */
void home_fetch_fail(const char *why, bool forget);

/* One 503. */
void home_fetch_refuse(home_answer answer, void *arg, const char *why);

#endif
