/*-------------------------------------------------------------------------
 * series.c
 *	  The table of series.
 *
 * A series is looked for in a window of entries that begins where its hash says, so
 * an entry may become free without a trace.  One that nobody has touched for a day
 * makes room.
 *-------------------------------------------------------------------------
 */
#include "series.h"

#include "common/hashfn.h"
#include "guc.h"
#include "metric.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#define WINDOW 64
#define WAVERING 0.99 /* of the total before: a smaller total was reset */

/* Entries: of the server, and of each database. */
#define SERVER_SERIES 256
#define DATABASE_SERIES 256

#define STALE_NS (INT64CONST(24) * 60 * 60 * 1000 * 1000 * 1000)

typedef struct Table
{
	pg_atomic_uint64 refused;
	int used;
	PerfkitSeries entries[FLEXIBLE_ARRAY_MEMBER];
} Table;

static LWLock *lock = NULL;
static Table *table = NULL;


int
perfkit_series_room(void)
{
	return SERVER_SERIES + perfkit_max_databases * DATABASE_SERIES;
}


Size
perfkit_series_memory(void)
{
	return CACHELINEALIGN(
		add_size(offsetof(Table, entries), mul_size(perfkit_series_room(), sizeof(PerfkitSeries))));
}


void
perfkit_series_init(void *memory, bool fresh)
{
	lock = &GetNamedLWLockTranche(PERFKIT_SERIES_TRANCHE)->lock;
	table = memory;
	if (!fresh)
		return;
	pg_atomic_init_u64(&table->refused, 0);
	for (int i = 0; i < perfkit_series_room(); i++)
		table->entries[i].metric = -1;
}


static bool
is_of(const PerfkitSeries *s, const PerfkitMeasurement *m)
{
	return s->metric == m->metric && s->database == m->database &&
		   strcmp(s->labels, m->labels) == 0;
}


static PerfkitSeries *
entry_at(uint32 start, int i)
{
	return &table->entries[(start + (uint32) i) % (uint32) perfkit_series_room()];
}


/* Its entry, made if it has none; NULL when there is no room.  Lock held. */
static PerfkitSeries *
find(const PerfkitMeasurement *m)
{
	uint32 start = hash_combine(hash_bytes((const unsigned char *) m->labels, strlen(m->labels)),
								hash_combine((uint32) m->metric, m->database));
	PerfkitSeries *room = NULL;

	for (int i = 0; i < WINDOW; i++)
	{
		PerfkitSeries *s = entry_at(start, i);

		if (is_of(s, m))
			return s;
		if (room == NULL && (s->metric < 0 || m->now_ns - s->seen_ns > STALE_NS))
			room = s;
	}
	if (room == NULL)
		return NULL;
	table->used += room->metric < 0;
	memset(room, 0, sizeof(*room));
	room->database = m->database;
	room->metric = m->metric;
	strlcpy(room->labels, m->labels, sizeof(room->labels));
	return room;
}


/*
 * What has happened since the last look, per second; false if there was none.  Lock held.  A total
 * that is smaller was reset; but if it is only a little smaller it has merely wavered, as the
 * kernel's iowait does (proc_stat(5)).
 */
static bool
rate(PerfkitSeries *s, const PerfkitMeasurement *m, bool events, double *value)
{
	bool reset = m->value < s->total * WAVERING;
	double delta = events || reset ? m->value : Max(m->value - s->total, 0);
	int64 since_ns = events ? m->last_ns : s->seen_ns;
	double seconds = (double) (m->now_ns - since_ns) / 1e9;
	bool known = since_ns != 0 && seconds > 0;

	s->total = events ? s->total + m->value : m->value;
	*value = known ? delta / seconds : 0;
	return known;
}


bool
perfkit_series_note(const PerfkitMeasurement *m, double *value)
{
	PerfkitMetricKind kind = perfkit_metrics[m->metric].kind;
	PerfkitSeries *s;
	bool known = false;

	if (strlen(m->labels) >= PERFKIT_LABELS_SIZE)
	{
		pg_atomic_fetch_add_u64(&table->refused, 1);
		return false;
	}
	LWLockAcquire(lock, LW_EXCLUSIVE);
	s = find(m);
	if (s == NULL)
		pg_atomic_fetch_add_u64(&table->refused, 1);
	else
	{
		known = true;
		*value = m->value;
		if (kind != PERFKIT_GAUGE)
			known = rate(s, m, kind == PERFKIT_EVENTS, value);
		s->seen_ns = m->now_ns;
		s->has_value = known;
		s->value = *value;
		s->at = m->at;
		s->good_until = m->good_until;
	}
	LWLockRelease(lock);
	return known;
}


int
perfkit_series_read(Oid database, int64 after_ns, PerfkitSeries *out)
{
	int n = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < perfkit_series_room(); i++)
	{
		const PerfkitSeries *s = &table->entries[i];

		if (s->metric >= 0 && s->database == database && s->has_value && s->seen_ns > after_ns)
			out[n++] = *s;
	}
	LWLockRelease(lock);
	return n;
}


void
perfkit_series_forget(Oid database)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < perfkit_series_room(); i++)
	{
		PerfkitSeries *s = &table->entries[i];

		if (s->metric < 0 || s->database != database)
			continue;
		s->metric = -1;
		table->used--;
	}
	LWLockRelease(lock);
}


int
perfkit_series_used(void)
{
	return table->used;
}


uint64
perfkit_series_refused(void)
{
	return pg_atomic_read_u64(&table->refused);
}
