/*-------------------------------------------------------------------------
 * launcher.h
 *	  The cluster launcher: one database worker per database with the extension.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_LAUNCHER_H
#define PERFKIT_LAUNCHER_H

#include "compat.h"

/* Registers the launcher; while preloading. */
extern void perfkit_launcher_init(void);

/* Its entry point. */
PERFKIT_NORETURN extern PGDLLEXPORT void perfkit_launcher_main(Datum arg);

#endif /* PERFKIT_LAUNCHER_H */
