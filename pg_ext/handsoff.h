/*-------------------------------------------------------------------------
 * handsoff.h
 *	  DROP DATABASE and the like fail while anybody is connected: our worker
 *	  leaves before them and stays away until their transaction has ended.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_HANDSOFF_H
#define PERFKIT_HANDSOFF_H

#include "postgres.h"

#include "nodes/nodes.h"

/*
 * Before a utility statement runs: when it is one of those (DROP, RENAME, SET
 * TABLESPACE, use as a template) and the user owns the database, marks the
 * database and returns it: perfkit_handsoff_end() has to follow.  Else InvalidOid.
 */
extern Oid perfkit_handsoff_begin(Node *statement);

/* Ends our worker in a marked database and waits up to 5 s for it to go.  May throw a cancel. */
extern void perfkit_handsoff_wait(Oid database);

/* At the end of the transaction: takes this backend's marks away. */
extern void perfkit_handsoff_end(void);

/* Whether nobody of ours may be connected to the database now. */
extern bool perfkit_handsoff_stands(Oid database);

#endif /* PERFKIT_HANDSOFF_H */
