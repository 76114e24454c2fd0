/*
 * home.h - the pooler's own connection to its database (perfkit_dsn): its numbers go there, and the
 * extension's come from there.
 */
#ifndef PERFKIT_CORE_HOME_H
#define PERFKIT_CORE_HOME_H

#include <stdbool.h>
#include <stddef.h>

/*
 * perfkit.metrics() of the database that perfkit_dsn names, for /metrics/database. answer(arg,
 * status, body, n) is called once, on the main loop, maybe from within; the body is valid during
 * the call: the text with status 200, else one line that tells why there is none. openmetrics: that
 * format, else Prometheus text. Main thread.
 */
void home_metrics(void (*answer)(void *arg, int http_status, const char *body, size_t n), void *arg,
				  bool openmetrics);

#endif
