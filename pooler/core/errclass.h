/*
 * errclass.h - the classes of SQLSTATEs, after the table in errclass.def: a set small enough for a
 * counter each, whatever servers say.
 */
#ifndef PERFKIT_CORE_ERRCLASS_H
#define PERFKIT_CORE_ERRCLASS_H

enum
{
#define ERRCLASS(code, name) ERRCLASS_##code,
#include "core/errclass.def"
	ERRCLASSES
};

/* Of an SQLSTATE: 0 to ERRCLASSES - 1, the last for what stands in no row. */
int errclass_of(const char *sqlstate);

/* "57" and "operator intervention"; "other" of the last. */
const char *errclass_code(int i);
const char *errclass_name(int i);

#endif
