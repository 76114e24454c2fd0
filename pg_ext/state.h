/*-------------------------------------------------------------------------
 * state.h
 *	  The small file that carries perfkit over a stop: pg_stat/perfkit.state.
 *
 * While the server runs it says "running" and lists the databases that have
 * the extension.  A clean stop adds every record not yet written to a table.
 * The next start takes databases and records back into shared memory, so that
 * capture goes on with the first statement, and counts an unclean start when
 * the file still said "running".
 *
 * The file has a magic number, a version, its length and a CRC; one that does
 * not check is set aside with a warning, never believed in part.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STATE_H
#define PERFKIT_STATE_H

/* At the birth of shared memory, in the postmaster: read, mark running, arrange for the stop. */
extern void perfkit_state_start(void);

/* Rewrites the list of databases (launcher only).  Failure is logged, nothing more. */
extern void perfkit_state_note_databases(void);

#endif /* PERFKIT_STATE_H */
