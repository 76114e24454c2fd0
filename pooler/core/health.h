/*
 * health.h - whether clients are well served here, for load balancers and for people.
 */
#ifndef PERFKIT_CORE_HEALTH_H
#define PERFKIT_CORE_HEALTH_H

#include "base/buf.h"

struct registry;

/* The first that is true. */
enum health_status
{
	HEALTH_DRAINING,  /* the pooler ends: nobody is let in */
	HEALTH_PAUSED,    /* all databases: PAUSE, KILL, SUSPEND */
	HEALTH_NO_SERVER, /* of the servers that were asked for lately none could be reached */
	HEALTH_OK
};

/* "draining", "paused", "no server", "ok". */
const char *health_name(enum health_status status);

/* Main thread. json, NULL: not wanted: an object with the status, the reasons and some numbers. A
 * database that is paused or disabled or away by itself is a reason, while the status is ok. */
enum health_status health_look(struct registry *r, struct buf *json);

#endif
