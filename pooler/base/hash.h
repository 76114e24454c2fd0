/*
 * hash.h - 64-bit keyed hash (SipHash-1-3) for tables whose keys come from the network.
 *
 * uthash holds the tables; this is the HASH_FUNCTION it is given, keyed with random bytes at start
 * so that nobody outside can build collisions. Tests may leave the key at zero.
 */
#ifndef PERFKIT_BASE_HASH_H
#define PERFKIT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

void hash_set_key(uint64_t k0, uint64_t k1);
uint64_t hash_bytes(const void *p, size_t n);

#define HASH_FUNCTION(keyptr, keylen, hashv)                                                       \
	do                                                                                             \
	{                                                                                              \
		(hashv) = (unsigned) hash_bytes((keyptr), (keylen));                                       \
	} while (0)

#endif
