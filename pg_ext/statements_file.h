/*-------------------------------------------------------------------------
 * statements_file.h
 *	  pg_stat/perfkit.statements: statement statistics from a clean stop to the
 *	  next start.
 *
 * The file has a magic number, the layout of what it holds, its length and a CRC;
 * one that does not check is set aside with a warning.  It is removed once read: after
 * a crash there are no statistics rather than old ones.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STATEMENTS_FILE_H
#define PERFKIT_STATEMENTS_FILE_H

/* In the postmaster, when nobody else is there: at the birth of shared memory, and at its end. */
extern void perfkit_statements_file_read(void);
extern void perfkit_statements_file_write(void);

#endif /* PERFKIT_STATEMENTS_FILE_H */
