/*-------------------------------------------------------------------------
 * record.c
 *	  Filling, cutting and reading the flat record of one statement.
 *
 * The backend's buffer comes from malloc(), not palloc(): it must be there in
 * a transaction that is being aborted, and running out of memory must not
 * raise an error.  It is made once and grows only with perfkit.max_query_size and
 * max_plan_size: the query, the normalized one, the same before it is redacted,
 * and the plan.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "mb/pg_wchar.h"
#include "normalize.h"
#include "record.h"
#include "parameters.h"
#include "redact.h"
#include "tags.h"

/* User, address, application and tag are names; the message has its own limit. */
#define SMALL_TEXTS 1024
#define MAX_MESSAGE 2048

static PerfkitRecord *buffer = NULL;
static Size buffer_size = 0;

static const char *const outcome_names[] = {
	[PERFKIT_OK] = "ok",
	[PERFKIT_ERROR] = "error",
	[PERFKIT_CANCEL] = "cancel",
	[PERFKIT_STATEMENT_TIMEOUT] = "statement_timeout",
	[PERFKIT_LOCK_TIMEOUT] = "lock_timeout",
	[PERFKIT_TERMINATED] = "terminated",
	[PERFKIT_RECOVERY_CONFLICT] = "recovery_conflict",
	[PERFKIT_CLIENT_GONE] = "client_gone",
	[PERFKIT_RUNNING] = "running",
	[PERFKIT_CRASHED] = "crashed",
};

static const char *const reason_names[] = {
	[PERFKIT_REASON_THRESHOLD] = "threshold",       [PERFKIT_REASON_ERROR] = "error",
	[PERFKIT_REASON_SAMPLED] = "sampled",           [PERFKIT_REASON_FIRST_SEEN] = "first_seen",
	[PERFKIT_REASON_PLAN_CHANGED] = "plan_changed", [PERFKIT_REASON_LONG_RUNNING] = "long_running",
};

static const char *const plan_kind_names[] = {
	[PERFKIT_PLAN_KIND_NONE] = NULL,
	[PERFKIT_PLAN_KIND_ESTIMATE] = "estimate",
	[PERFKIT_PLAN_KIND_ACTUAL] = "actual",
	[PERFKIT_PLAN_KIND_PARTIAL] = "partial",
};


const char *
perfkit_outcome_name(PerfkitOutcome outcome)
{
	return outcome_names[outcome];
}


const char *
perfkit_reason_name(PerfkitReason reason)
{
	return reason_names[reason];
}


const char *
perfkit_plan_kind_name(PerfkitPlanKind kind)
{
	return plan_kind_names[kind];
}


void
perfkit_wait_add(PerfkitWait waits[PERFKIT_MAX_WAITS], uint32 event, uint32 ms)
{
	int i = 0;

	while (i < PERFKIT_MAX_WAITS - 1 && waits[i].ms > 0 && waits[i].event != event)
		i++;
	if (waits[i].ms == 0)
		waits[i].event = event;
	else if (waits[i].event != event)
		waits[i].event = PERFKIT_OTHER_WAITS;
	waits[i].ms += ms;
}


PerfkitRecord *
perfkit_record_begin(void)
{
	Size wanted = sizeof(PerfkitRecord) + SMALL_TEXTS + MAX_MESSAGE + PERFKIT_MAX_TAGS_SIZE +
				  PERFKIT_MAX_PARAMETERS_SIZE + 3 * (Size) perfkit_max_query_size +
				  (Size) perfkit_max_plan_size;

	if (wanted > buffer_size)
	{
		void *larger = realloc(buffer, wanted);

		/* The old one still serves, with shorter texts. */
		if (larger != NULL)
		{
			buffer = larger;
			buffer_size = wanted;
		}
	}
	if (buffer == NULL)
		return NULL;
	memset(buffer, 0, sizeof(PerfkitRecord));
	buffer->length = offsetof(PerfkitRecord, text);
	return buffer;
}


void
perfkit_record_add(PerfkitRecord *record, PerfkitText which, const char *raw, Size length)
{
	Size room = buffer_size - record->length;

	/* Half a plan is none.  There is no room only if the buffer could not grow. */
	if (which == PERFKIT_TEXT_PLAN && length > room)
		length = 0;
	if (length > room)
		length = pg_mbcliplen(raw, length, room);
	memcpy((char *) record + record->length, raw, length);
	record->text_length[which] = length;
	record->length += length;
}


bool
perfkit_record_add_query(PerfkitRecord *record, const char *query, Size length, bool unparsed)
{
	PerfkitRedaction text = {
		.out = (char *) record + record->length,
		.size = Min(buffer_size - record->length - MAX_MESSAGE, (Size) perfkit_max_query_size),
		.kind = unparsed ? PERFKIT_SECRET_UNPARSED : PERFKIT_SECRET_STATEMENT,
	};

	perfkit_redact(&text, query, length);
	record->text_length[PERFKIT_TEXT_QUERY] = text.length;
	record->length += text.length;
	return text.cut;
}


void
perfkit_record_add_message(PerfkitRecord *record, const char *message, Size length)
{
	PerfkitRedaction text = {
		.out = (char *) record + record->length,
		.size = Min(buffer_size - record->length, MAX_MESSAGE),
		.kind = PERFKIT_SECRET_VALUE,
	};

	perfkit_redact(&text, message, length);
	record->text_length[PERFKIT_TEXT_MESSAGE] = text.length;
	record->length += text.length;
}


bool
perfkit_record_add_normalized(PerfkitRecord *record, const char *query, Size length)
{
	char *at = (char *) record + record->length;
	Size room = Min((buffer_size - record->length) / 2, (Size) perfkit_max_query_size);
	PerfkitRedaction text = {.out = at, .size = room};
	bool cut;

	/* What is to be redacted waits in the free half of the buffer. */
	length = perfkit_normalize(record->queryid, query, length, at + room, room, &cut);
	if (length == 0)
		return false;
	perfkit_redact(&text, at + room, length);
	record->text_length[PERFKIT_TEXT_NORMALIZED] = text.length;
	record->length += text.length;
	return cut || text.cut;
}


bool
perfkit_record_add_tags(PerfkitRecord *record, const char *query, Size length)
{
	PerfkitTags tags = {
		.out = (char *) record + record->length,
		.size = Min(buffer_size - record->length, PERFKIT_MAX_TAGS_SIZE),
	};

	perfkit_tags_find(&tags, query, length);
	record->text_length[PERFKIT_TEXT_TAGS] = tags.length;
	record->length += tags.length;
	return tags.cut;
}


void
perfkit_record_leave_plan_out(PerfkitRecord *record)
{
	record->length -= record->text_length[PERFKIT_TEXT_PLAN];
	record->text_length[PERFKIT_TEXT_PLAN] = 0;
	record->plan_kind = PERFKIT_PLAN_KIND_NONE;
}


const char *
perfkit_record_text(const PerfkitRecord *record, PerfkitText which, uint32 *length)
{
	const char *text = record->text;

	for (int i = 0; i < (int) which; i++)
		text += record->text_length[i];
	*length = record->text_length[which];
	return text;
}


bool
perfkit_record_valid(const PerfkitRecord *record, uint32 length)
{
	uint64 sum = offsetof(PerfkitRecord, text);

	if (length < offsetof(PerfkitRecord, text) || record->length != length)
		return false;
	for (int i = 0; i < PERFKIT_N_TEXTS; i++)
		sum += record->text_length[i];
	return sum == length && record->outcome < lengthof(outcome_names) &&
		   record->reason < lengthof(reason_names) && record->plan_kind < lengthof(plan_kind_names);
}
