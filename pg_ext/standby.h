/*-------------------------------------------------------------------------
 * standby.h
 *	  What a standby captures: it cannot be stored, so it stays in the ring,
 *	  where the oldest give way to the newest and perfkit._memory() reads.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STANDBY_H
#define PERFKIT_STANDBY_H

#include "shmem.h"

/*
 * The ring had no room for a record: gives up its oldest ones, counted as
 * dropped_overwritten.  False, and nothing done, when this is no standby or
 * somebody else is at it: then the record is the one that is dropped.  Any
 * backend, failing and exiting ones too; neither waits nor raises.
 */
extern bool perfkit_standby_make_room(PerfkitDatabase *db, uint32 length);

/*
 * Recovery has ended, as this process knows: from here on nobody takes
 * anything out of rings for want of room, so that they may be emptied into the table.
 */
extern void perfkit_standby_leave(void);

#endif /* PERFKIT_STANDBY_H */
