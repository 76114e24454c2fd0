/*
 * random.c - see random.h.
 *
 * A call of OpenSSL's generator costs some ten thousand instructions whatever it is asked for, a
 * quarter of a login without a password. So each thread takes many at once and hands them out; what
 * has been handed out is wiped here.
 */
#include "base/random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#define BATCH 1024

static _Thread_local struct
{
	unsigned char bytes[BATCH];
	size_t left; /* at the end of it */
} batch;

bool
random_bytes(void *out, size_t n)
{
	unsigned char *from;

	if (n > BATCH)
		return RAND_bytes(out, (int) n) == 1;
	if (n > batch.left)
	{
		batch.left = 0;
		if (RAND_bytes(batch.bytes, BATCH) != 1)
			return false;
		batch.left = BATCH;
	}
	from = batch.bytes + BATCH - batch.left;
	memcpy(out, from, n);
	OPENSSL_cleanse(from, n);
	batch.left -= n;
	return true;
}
