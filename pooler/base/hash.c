/*
 * hash.c - SipHash-1-3.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2, with one
 * compression round and three finalization rounds. The input is read as 64-bit little-endian words;
 * the last word holds the remaining bytes and, in its top byte, the length modulo 256.
 */
#include "base/hash.h"

#include <endian.h>
#include <string.h>

struct sip
{
	uint64_t v0;
	uint64_t v1;
	uint64_t v2;
	uint64_t v3;
};

/* Written once before the threads start, read by all of them. */
static uint64_t key[2];

void
hash_set_key(uint64_t k0, uint64_t k1)
{
	key[0] = k0;
	key[1] = k1;
}

static inline uint64_t
rotl(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline void
sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);

	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static inline void
sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

uint64_t
hash_bytes(const void *p, size_t n)
{
	/* The constants spell "somepseudorandomlygeneratedbytes". */
	struct sip s = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
					key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
	const uint8_t *bytes = p;
	uint64_t last = (uint64_t) n << 56;
	uint64_t word;

	for (size_t left = n; left >= 8; left -= 8, bytes += 8)
	{
		memcpy(&word, bytes, 8);
		sip_word(&s, le64toh(word));
	}
	for (size_t i = 0; i < n % 8; i++)
		last |= (uint64_t) bytes[i] << (8 * i);
	sip_word(&s, last);

	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
