/*
 * fuzz_saslprep.c - any bytes as a password, as a client may send it in clear.
 *
 * No crash, no leak; ASCII stays what it is, and nothing that was typed becomes nothing.
 */
#include "base/log.h"
#include "base/saslprep.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *typed = mem_alloc(size + 1);
	char *prepared;
	bool ascii = true;

	memcpy(typed, data, size);
	typed[size] = '\0';
	for (const char *p = typed; *p != '\0'; p++)
		ascii = ascii && (*p & 0x80) == 0;
	prepared = saslprep(typed);
	if ((prepared[0] == '\0') != (typed[0] == '\0') || (ascii && strcmp(typed, prepared) != 0))
		abort();
	saslprep_free(&prepared);
	free(typed);
	return 0;
}
