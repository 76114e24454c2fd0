/*
 * errclass.c - see errclass.h.
 */
#include "core/errclass.h"

#include <string.h>

static const struct
{
	const char *code;
	const char *name;
} classes[ERRCLASSES] = {
#define ERRCLASS(code, name) {#code, name},
#include "core/errclass.def"
};

int
errclass_of(const char *sqlstate)
{
	for (int i = 0; i < ERRCLASSES - 1; i++)
		if (strncmp(sqlstate, classes[i].code, 2) == 0)
			return i;
	return ERRCLASSES - 1;
}

const char *
errclass_code(int i)
{
	return classes[i].code;
}

const char *
errclass_name(int i)
{
	return classes[i].name;
}
