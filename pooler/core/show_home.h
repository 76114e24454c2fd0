/*
 * show_home.h - SHOW PERFORMANCE_LOG.
 */
#ifndef PERFKIT_CORE_SHOW_HOME_H
#define PERFKIT_CORE_SHOW_HOME_H

struct show;

void show_performance_log(struct show *show);

#endif
