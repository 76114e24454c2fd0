/*-------------------------------------------------------------------------
 * chunks.c
 *	  Chains of chunks and the list of the free ones.
 *-------------------------------------------------------------------------
 */
#include "chunks.h"

#define CHUNK_SIZE 256

typedef struct Chunk
{
	int32 next; /* of its text, or of the free ones */
	char bytes[CHUNK_SIZE - sizeof(int32)];
} Chunk;

struct PerfkitChunks
{
	int32 n;
	int32 n_free;
	int32 free; /* the first free one */
	Chunk chunks[FLEXIBLE_ARRAY_MEMBER];
};


static int32
count_for(Size size)
{
	return (int32) Min(size / CHUNK_SIZE, (Size) PG_INT32_MAX);
}


Size
perfkit_chunks_memory(Size size)
{
	return offsetof(PerfkitChunks, chunks) + (Size) count_for(size) * sizeof(Chunk);
}


PerfkitChunks *
perfkit_chunks_init(void *memory, Size size)
{
	PerfkitChunks *c = memory;

	c->n = c->n_free = count_for(size);
	c->free = PERFKIT_NO_CHUNK;
	for (int32 i = c->n - 1; i >= 0; i--)
	{
		c->chunks[i].next = c->free;
		c->free = i;
	}
	return c;
}


int32
perfkit_chunks_put(PerfkitChunks *c, const char *text, Size length)
{
	Size wanted = (length + sizeof(c->chunks->bytes) - 1) / sizeof(c->chunks->bytes);
	int32 first = PERFKIT_NO_CHUNK;
	int32 *link = &first;

	if (wanted == 0 || wanted > (Size) c->n_free)
		return PERFKIT_NO_CHUNK;
	while (length > 0)
	{
		Chunk *chunk = &c->chunks[c->free];
		Size part = Min(length, sizeof(chunk->bytes));

		*link = c->free;
		c->free = chunk->next;
		c->n_free--;
		memcpy(chunk->bytes, text, part);
		text += part;
		length -= part;
		chunk->next = PERFKIT_NO_CHUNK;
		link = &chunk->next;
	}
	return first;
}


void
perfkit_chunks_get(const PerfkitChunks *c, int32 first, Size length, char *out)
{
	while (length > 0 && first != PERFKIT_NO_CHUNK)
	{
		const Chunk *chunk = &c->chunks[first];
		Size part = Min(length, sizeof(chunk->bytes));

		memcpy(out, chunk->bytes, part);
		out += part;
		length -= part;
		first = chunk->next;
	}
}


void
perfkit_chunks_free(PerfkitChunks *c, int32 first)
{
	while (first != PERFKIT_NO_CHUNK)
	{
		int32 next = c->chunks[first].next;

		c->chunks[first].next = c->free;
		c->free = first;
		c->n_free++;
		first = next;
	}
}


Size
perfkit_chunks_used(const PerfkitChunks *c)
{
	return (Size) (c->n - c->n_free) * CHUNK_SIZE;
}
