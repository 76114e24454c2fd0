/*
 * logging.h - what the settings of group LOG say about where lines go.
 */
#ifndef PERFKIT_CORE_LOGGING_H
#define PERFKIT_CORE_LOGGING_H

#include <stdbool.h>

struct conf;

/*
 * How much is logged, the log file (opened anew, as it may have been rotated) and syslog. False
 * with errno set when the file cannot be opened; the one before is kept then, and all else is done.
 * A syslog daemon that is not there is a warning. Main thread.
 */
bool logging_apply(const struct conf *conf);

#endif
