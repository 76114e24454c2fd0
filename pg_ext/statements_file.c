/*-------------------------------------------------------------------------
 * statements_file.c
 *	  The file of statement statistics.
 *
 *	  header | statement, (bucket, count) * n, text | statement, ...
 *
 * Of a histogram only the buckets in use are written.  Written beside and renamed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "catalog/catversion.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "statements_file.h"
#include "statements_table.h"
#include "storage/fd.h"

#define FILE_NAME PGSTAT_STAT_PERMANENT_DIRECTORY "/perfkit.statements"
#define FILE_TEMP FILE_NAME ".tmp"
#define FILE_BAD FILE_NAME ".bad"
#define FILE_MAGIC 0x704b5374 /* "pKSt" */
#define FILE_VERSION 1

typedef struct FileHeader
{
	uint32 magic;
	uint32 version;
	uint32 catalog; /* CATALOG_VERSION_NO: queryids are of one major version */
	uint32 sums;    /* PERFKIT_N_TALLY_SUMS and */
	uint32 buckets; /* PERFKIT_HISTOGRAM_BUCKETS of the writer */
	uint32 n_statements;
	uint64 length; /* of the whole file */
	pg_crc32c crc; /* of what follows the header */
} FileHeader;

typedef struct FileStatement
{
	PerfkitStatementKey key;
	TimestampTz since;
	PerfkitTally tally;
	uint32 text_length; /* 0: none */
	uint16 n_counts;
	uint8 usage;
	bool text_cut;
} FileStatement;

typedef struct FileCount
{
	uint64 count;
	uint32 bucket;
} FileCount;

/* A buffer that is read or filled from the front. */
typedef struct Buffer
{
	char *start;
	Size length;
	Size at;
} Buffer;


static bool
worth_keeping(const PerfkitStatement *s)
{
	return s->key.queryid != 0 &&
		   (s->tally.sums[PERFKIT_TALLY_CALLS] > 0 || s->tally.sums[PERFKIT_TALLY_ERRORS] > 0);
}


static uint16
n_counts(const PerfkitStatement *s)
{
	uint16 n = 0;

	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		n += s->counts[i] != 0;
	return n;
}


static uint32
text_length(const PerfkitStatement *s)
{
	return s->text >= 0 ? s->text_length : 0;
}


static void
append(Buffer *b, const void *bytes, Size length)
{
	memcpy(b->start + b->at, bytes, length);
	b->at += length;
}


static bool
take(Buffer *b, void *out, Size length)
{
	if (b->length - b->at < length)
		return false;
	memcpy(out, b->start + b->at, length);
	b->at += length;
	return true;
}


static Size
bytes_needed(void)
{
	Size bytes = sizeof(FileHeader);

	for (int i = 0; i < perfkit_statements_table_size(); i++)
	{
		const PerfkitStatement *s = perfkit_statements_table_at(i);

		if (worth_keeping(s))
			bytes +=
				sizeof(FileStatement) + n_counts(s) * sizeof(FileCount) + (Size) text_length(s);
	}
	return bytes;
}


static void
append_statement(Buffer *b, const PerfkitStatement *s)
{
	FileStatement f;
	FileCount c;

	/* The padding too goes into the file. */
	memset(&f, 0, sizeof(f));
	memset(&c, 0, sizeof(c));
	f.key = s->key;
	f.since = s->since;
	f.tally = s->tally;
	f.text_length = text_length(s);
	f.n_counts = n_counts(s);
	f.usage = s->usage;
	f.text_cut = s->text_cut;
	append(b, &f, sizeof(f));
	for (uint32 i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		c.bucket = i;
		c.count = s->counts[i];
		if (c.count != 0)
			append(b, &c, sizeof(c));
	}
	perfkit_statements_table_text(s, b->start + b->at);
	b->at += f.text_length;
}


static pg_crc32c
checksum(const Buffer *b)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, b->start + sizeof(FileHeader), b->length - sizeof(FileHeader));
	FIN_CRC32C(crc);
	return crc;
}


static void
fill(Buffer *b)
{
	FileHeader *header = (FileHeader *) b->start;

	memset(header, 0, sizeof(*header));
	header->magic = FILE_MAGIC;
	header->version = FILE_VERSION;
	header->catalog = CATALOG_VERSION_NO;
	header->sums = PERFKIT_N_TALLY_SUMS;
	header->buckets = PERFKIT_HISTOGRAM_BUCKETS;
	b->at = sizeof(*header);
	for (int i = 0; i < perfkit_statements_table_size(); i++)
	{
		const PerfkitStatement *s = perfkit_statements_table_at(i);

		if (!worth_keeping(s))
			continue;
		append_statement(b, s);
		header->n_statements++;
	}
	header->length = b->length = b->at;
	header->crc = checksum(b);
}


static bool
write_bytes(const Buffer *b)
{
	FILE *file = AllocateFile(FILE_TEMP, PG_BINARY_W);
	bool ok;

	if (file == NULL)
		return false;
	ok = fwrite(b->start, 1, b->length, file) == b->length;
	if (FreeFile(file) != 0)
		ok = false;

	/* durable_rename() syncs the file and the directory. */
	return ok && durable_rename(FILE_TEMP, FILE_NAME, LOG) == 0;
}


void
perfkit_statements_file_write(void)
{
	Buffer b = {NULL, bytes_needed(), 0};

	b.start = malloc(b.length);
	if (b.start != NULL)
		fill(&b);
	if (b.start == NULL || !write_bytes(&b))
		ereport(LOG, (errmsg("perfkit: could not write file \"%s\": %m", FILE_NAME),
					  errdetail("Statement statistics begin anew.")));
	free(b.start);
}


/* Reads the whole file; false when there is none or it cannot be read. */
static bool
read_bytes(Buffer *b)
{
	struct stat status;
	FILE *file;
	bool ok = false;

	if (stat(FILE_NAME, &status) != 0)
		return false;
	file = AllocateFile(FILE_NAME, PG_BINARY_R);
	if (file == NULL)
		return false;
	b->length = (Size) status.st_size;
	b->start = malloc(b->length + 1);
	if (b->start != NULL)
		ok = fread(b->start, 1, b->length, file) == b->length;
	FreeFile(file);
	return ok;
}


static bool
valid(const Buffer *b)
{
	const FileHeader *header = (const FileHeader *) b->start;

	return b->length >= sizeof(FileHeader) && header->magic == FILE_MAGIC &&
		   header->version == FILE_VERSION && header->catalog == CATALOG_VERSION_NO &&
		   header->sums == PERFKIT_N_TALLY_SUMS && header->buckets == PERFKIT_HISTOGRAM_BUCKETS &&
		   header->length == b->length && EQ_CRC32C(header->crc, checksum(b));
}


static bool
restore_statement(Buffer *b)
{
	FileStatement f;
	FileCount c;
	PerfkitStatement *s;

	if (!take(b, &f, sizeof(f)) || f.key.queryid == 0)
		return false;
	s = perfkit_statements_table_find(&f.key, f.since);
	s->tally = f.tally;
	s->usage = f.usage;
	while (f.n_counts-- > 0)
	{
		if (!take(b, &c, sizeof(c)) || c.bucket >= PERFKIT_HISTOGRAM_BUCKETS)
			return false;
		s->counts[c.bucket] = c.count;
	}
	if (b->length - b->at < f.text_length)
		return false;
	perfkit_statements_table_set_text(s, b->start + b->at, f.text_length, f.text_cut);
	b->at += f.text_length;
	return true;
}


static void
restore(Buffer *b)
{
	uint32 n = ((const FileHeader *) b->start)->n_statements;

	b->at = sizeof(FileHeader);
	while (n-- > 0 && restore_statement(b))
		;
}


void
perfkit_statements_file_read(void)
{
	Buffer b = {NULL, 0, 0};

	if (read_bytes(&b))
	{
		if (valid(&b))
		{
			restore(&b);
			if (unlink(FILE_NAME) != 0)
				ereport(LOG, (errcode_for_file_access(),
							  errmsg("perfkit: could not remove file \"%s\": %m", FILE_NAME)));
		}
		else
		{
			ereport(WARNING,
					(errmsg("perfkit: file \"%s\" is damaged or of another version", FILE_NAME),
					 errdetail("It is kept as \"%s\", and statement statistics begin anew.",
							   FILE_BAD)));
			durable_rename(FILE_NAME, FILE_BAD, LOG);
		}
	}
	free(b.start);
}
