/*
 * readings.c - see readings.h.
 */
#include "core/readings.h"

#include <stdlib.h>

void
readings_free(struct readings *r)
{
	if (r == NULL)
		return;
	free(r->reading);
	free(r->text);
	free(r);
}
