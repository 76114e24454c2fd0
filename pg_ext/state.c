/*-------------------------------------------------------------------------
 * state.c
 *	  pg_stat/perfkit.state: what outlives shared memory.
 *
 *	  header | database, n, (length, record) * n | database, n, ...
 *
 * Written beside and renamed, so a crash in the middle leaves the old file.
 * Runs in the postmaster (start, stop) and in the launcher (list of databases);
 * never in both at once, for the postmaster writes only when all others are gone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "record.h"
#include "shmem.h"
#include "state.h"
#include "statements_file.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#define STATE_FILE PGSTAT_STAT_PERMANENT_DIRECTORY "/perfkit.state"
#define STATE_TEMP STATE_FILE ".tmp"
#define STATE_BAD STATE_FILE ".bad"
#define STATE_MAGIC 0x704b6974 /* "pKit" */
#define STATE_VERSION 1

typedef struct StateHeader
{
	uint32 magic;
	uint32 version;
	uint32 record_layout; /* PERFKIT_RECORD_LAYOUT of the writer */
	uint32 clean;         /* 1: a clean stop, the records are all there */
	uint64 unclean_starts;
	uint64 length; /* of the whole file */
	uint32 n_databases;
	pg_crc32c crc; /* of the whole file, with this field 0 */
} StateHeader;

typedef struct StateDatabase
{
	Oid database;
	uint32 n_records;
} StateDatabase;

/* A buffer that is read or filled from the front. */
typedef struct StateBuffer
{
	char *start;
	Size length;
	Size at;
} StateBuffer;


static pg_crc32c
checksum(char *file, Size length)
{
	StateHeader *header = (StateHeader *) file;
	pg_crc32c kept = header->crc;
	pg_crc32c crc;

	header->crc = 0;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, file, length);
	FIN_CRC32C(crc);
	header->crc = kept;
	return crc;
}


/* Bytes that the file may need at most. */
static Size
upper_bound(bool clean)
{
	Size bytes = sizeof(StateHeader);

	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];
		PerfkitRing *ring = perfkit_shmem_ring(db);

		/* An entry in the ring has 8 bytes of its own, more than a length here. */
		bytes += sizeof(StateDatabase) + (clean && ring ? perfkit_ring_used(ring) : 0);
	}
	return bytes;
}


static void
append(StateBuffer *buffer, const void *bytes, Size length)
{
	memcpy(buffer->start + buffer->at, bytes, length);
	buffer->at += length;
}


static void
append_records(StateBuffer *buffer, PerfkitRing *ring, uint32 *n_records)
{
	PerfkitRingCursor cursor;
	uint32 length;

	perfkit_ring_start(ring, &cursor);
	while ((length = perfkit_ring_peek(ring, &cursor)) > 0)
	{
		append(buffer, &length, sizeof(length));
		perfkit_ring_next(ring, &cursor, buffer->start + buffer->at);
		buffer->at += length;
		(*n_records)++;
	}
}


static void
fill(StateBuffer *buffer, bool clean)
{
	StateHeader header = {
		.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.record_layout = PERFKIT_RECORD_LAYOUT,
		.clean = clean,
		.unclean_starts = perfkit_shared->unclean_starts,
	};

	buffer->at = sizeof(header);
	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];
		StateDatabase entry = {.database = pg_atomic_read_u32(&db->database)};
		Size entry_at = buffer->at;

		if (!OidIsValid(entry.database) || db->dropped)
			continue;
		header.n_databases++;
		append(buffer, &entry, sizeof(entry));
		if (clean && db->ring >= 0)
			append_records(buffer, perfkit_shmem_ring(db), &entry.n_records);
		memcpy(buffer->start + entry_at, &entry, sizeof(entry));
	}
	header.length = buffer->at;
	memcpy(buffer->start, &header, sizeof(header));
	((StateHeader *) buffer->start)->crc = checksum(buffer->start, buffer->at);
}


static bool
write_file(const StateBuffer *buffer)
{
	FILE *file = AllocateFile(STATE_TEMP, PG_BINARY_W);
	bool ok;

	if (file == NULL)
		return false;
	ok = fwrite(buffer->start, 1, buffer->at, file) == buffer->at;
	if (FreeFile(file) != 0)
		ok = false;

	/* durable_rename() syncs the file and the directory. */
	return ok && durable_rename(STATE_TEMP, STATE_FILE, LOG) == 0;
}


static void
write_state(bool clean)
{
	StateBuffer buffer = {NULL, upper_bound(clean), 0};

	buffer.start = malloc(buffer.length);
	if (buffer.start != NULL)
		fill(&buffer, clean);
	if (buffer.start == NULL || !write_file(&buffer))
		ereport(LOG, (errmsg("perfkit: could not write file \"%s\": %m", STATE_FILE),
					  errdetail("Captured statements not yet stored may be lost.")));
	free(buffer.start);
}


/* Reads the whole file; false when there is none or it cannot be read. */
static bool
read_file(StateBuffer *buffer)
{
	struct stat status;
	FILE *file;
	bool ok = false;

	if (stat(STATE_FILE, &status) != 0)
		return false;
	file = AllocateFile(STATE_FILE, PG_BINARY_R);
	if (file == NULL)
		return false;
	buffer->length = status.st_size;
	buffer->start = malloc(buffer->length + 1);
	if (buffer->start != NULL)
		ok = fread(buffer->start, 1, buffer->length, file) == buffer->length;
	FreeFile(file);
	return ok;
}


static bool
valid(const StateBuffer *buffer)
{
	const StateHeader *header = (const StateHeader *) buffer->start;

	return buffer->length >= sizeof(StateHeader) && header->magic == STATE_MAGIC &&
		   header->version == STATE_VERSION && header->record_layout == PERFKIT_RECORD_LAYOUT &&
		   header->length == buffer->length &&
		   EQ_CRC32C(header->crc, checksum(buffer->start, buffer->length));
}


/* Takes the next bytes; false at the end of the buffer. */
static bool
take(StateBuffer *buffer, void *out, Size length)
{
	if (buffer->length - buffer->at < length)
		return false;
	memcpy(out, buffer->start + buffer->at, length);
	buffer->at += length;
	return true;
}


/* One record from the file back into the ring, counted as captured in this life. */
static void
restore_record(PerfkitDatabase *db, const char *record, uint32 length)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);

	perfkit_count(db, PERFKIT_CAPTURED, 1);
	if (ring == NULL)
	{
		perfkit_count(db, PERFKIT_DROPPED_NO_RING, 1);
		return;
	}
	switch (perfkit_ring_put(ring, record, length))
	{
		case PERFKIT_RING_STORED:
			break;
		case PERFKIT_RING_FULL:
			perfkit_count(db, PERFKIT_DROPPED_RING_FULL, 1);
			break;
		case PERFKIT_RING_TOO_LARGE:
			perfkit_count(db, PERFKIT_DROPPED_TOO_LARGE, 1);
			break;
	}
}


static void
restore(StateBuffer *buffer)
{
	uint32 n_databases = ((StateHeader *) buffer->start)->n_databases;
	StateDatabase entry;

	buffer->at = sizeof(StateHeader);
	while (n_databases-- > 0 && take(buffer, &entry, sizeof(entry)))
	{
		PerfkitDatabase *db = perfkit_shmem_attach(entry.database);
		uint32 length;

		while (entry.n_records-- > 0 && take(buffer, &length, sizeof(length)) &&
			   buffer->length - buffer->at >= length)
		{
			if (db != NULL)
				restore_record(db, buffer->start + buffer->at, length);
			buffer->at += length;
		}
	}
}


/* Has the checkpointer written its last checkpoint? */
static bool
database_is_shut_down(void)
{
	bool crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool down =
		crc_ok && (control->state == DB_SHUTDOWNED || control->state == DB_SHUTDOWNED_IN_RECOVERY);

	pfree(control);
	return down;
}


/* In the postmaster, after every other process has gone. */
static void
save_at_stop(int code, Datum arg)
{
	/*
	 * After a crash the rings cannot be trusted; the file keeps saying "running".
	 * So it does after an immediate stop, which ends with code 0 too.
	 */
	if (code == 0 && perfkit_shared != NULL && database_is_shut_down())
	{
		write_state(true);
		perfkit_statements_file_write();
	}
}


void
perfkit_state_start(void)
{
	StateBuffer buffer = {NULL, 0, 0};

	if (read_file(&buffer))
	{
		if (valid(&buffer))
		{
			const StateHeader *header = (const StateHeader *) buffer.start;

			perfkit_shared->unclean_starts = header->unclean_starts + (header->clean ? 0 : 1);
			restore(&buffer);
		}
		else
		{
			ereport(WARNING,
					(errmsg("perfkit: file \"%s\" is damaged or of another version", STATE_FILE),
					 errdetail("It is kept as \"%s\".", STATE_BAD)));
			durable_rename(STATE_FILE, STATE_BAD, LOG);
		}
	}
	free(buffer.start);
	perfkit_statements_file_read();
	write_state(false);

	/* Every time: a crash of a child has used the list of callbacks up. */
	on_shmem_exit(save_at_stop, (Datum) 0);
}


void
perfkit_state_note_databases(void)
{
	write_state(false);
}
