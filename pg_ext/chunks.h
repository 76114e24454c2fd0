/*-------------------------------------------------------------------------
 * chunks.h
 *	  Texts of any length in a fixed piece of shared memory: chains of chunks.
 *
 * Chunks of one size need no tidying up: what was given back serves any text.
 * The caller holds a lock, exclusively for put and free.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CHUNKS_H
#define PERFKIT_CHUNKS_H

#include "postgres.h"

#define PERFKIT_NO_CHUNK (-1)

typedef struct PerfkitChunks PerfkitChunks;

/* Bytes of shared memory for chunks of `size` bytes together; and all of them free. */
extern Size perfkit_chunks_memory(Size size);
extern PerfkitChunks *perfkit_chunks_init(void *memory, Size size);

/* The first chunk of a copy of the text, or PERFKIT_NO_CHUNK: there is no room, or no text. */
extern int32 perfkit_chunks_put(PerfkitChunks *c, const char *text, Size length);

/* Copies out a text of this length; not terminated. */
extern void perfkit_chunks_get(const PerfkitChunks *c, int32 first, Size length, char *out);

/* Gives a text back; PERFKIT_NO_CHUNK is none. */
extern void perfkit_chunks_free(PerfkitChunks *c, int32 first);

/* Bytes in use, for chunks are used whole. */
extern Size perfkit_chunks_used(const PerfkitChunks *c);

#endif /* PERFKIT_CHUNKS_H */
