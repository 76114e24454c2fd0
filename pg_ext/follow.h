/*-------------------------------------------------------------------------
 * follow.h
 *	  Schedules and the views they are of: identity by OID while there is such a
 *	  view, by name when it has gone and come again.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_FOLLOW_H
#define PERFKIT_FOLLOW_H

#include "postgres.h"

/*
 * Names and owners of schedules brought up to date, and those bound whose view has come.
 * Rows that somebody is changing are left for the next time.  Within SPI.
 */
extern void perfkit_follow(void);

/* Names and owners alone: for a session whose transaction may stay open, and must hold up nobody.
 */
extern void perfkit_follow_names(void);

#endif /* PERFKIT_FOLLOW_H */
