/*-------------------------------------------------------------------------
 * perfkit.c
 *	  The library's entry: settings, shared memory, hooks, launcher.
 *
 * Everything needs shared_preload_libraries.  Loaded later (by a function of
 * the extension), the library installs nothing, and its functions say which
 * line is missing from postgresql.conf (sqlfuncs.c).
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "capture.h"
#include "failure.h"
#include "fmgr.h"
#include "guc.h"
#include "launcher.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utility.h"

PERFKIT_MODULE_MAGIC;

void _PG_init(void);


void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	perfkit_guc_init();
	perfkit_shmem_init();
	perfkit_capture_init();
	perfkit_utility_init();
	perfkit_failure_init();

	/*
	 * For pg_upgrade both servers run, one after the other, and nobody but pg_upgrade can make a
	 * relation: a refresh or a new day would fail, and be suspended for it.
	 */
	if (!IsBinaryUpgrade)
		perfkit_launcher_init();
}
