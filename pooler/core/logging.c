/*
 * logging.c - see logging.h.
 */
#include "core/logging.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/syslog.h"

bool
logging_apply(const struct conf *conf)
{
	bool opened;
	int cause;

	log_set_level(conf->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	opened = log_open_file(conf->logfile);
	cause = errno;
	if (!conf->syslog)
		syslog_stop();
	else if (!syslog_start(NULL, conf->syslog_facility, conf->syslog_ident))
		log_warning("syslog: nobody takes the lines: %s", strerror(errno));
	errno = cause;
	return opened;
}
