/*
 * syslog.h - log lines to the system's log as well, besides stderr and the file.
 *
 * Not syslog(3): that waits when the log daemon does not read, and a loop must not wait. A line
 * that finds no room is lost here, and stands in the log file if there is one.
 */
#ifndef PERFKIT_NET_SYSLOG_H
#define PERFKIT_NET_SYSLOG_H

#include <stdbool.h>

/*
 * From now on every line of every thread goes there too, under this facility (LOG_DAEMON …) and
 * name; called again, under others. path NULL: the system's socket. False with errno set when
 * nobody listens there: every line tries again then, since the daemon may come back. Main thread.
 */
bool syslog_start(const char *path, int facility, const char *ident);

/* And no more. Legal in every state. */
void syslog_stop(void);

#endif
