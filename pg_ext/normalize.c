/*-------------------------------------------------------------------------
 * normalize.c
 *	  Places of constants, and the text without them.
 *
 *	  analysis: jumble -> slot (queryid, which text, places)
 *	  capture:  text -> slot -> token lengths -> text with $n
 *
 * A text is told by its hash and length.  Of a statement in a simple Query, which is
 * executed before the message and its text are gone, only where it stands is kept:
 * most statements end without anybody asking for their text.
 *
 * Token lengths are found by a scanner of our own, which need not know more
 * than one token at a place where PostgreSQL's has found a constant.  Core's
 * would allocate and could raise.  A token it does not understand costs the
 * normalized text, nothing else.
 *-------------------------------------------------------------------------
 */
#include "normalize.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "source.h"
#include "tcop/tcopprot.h"

/*
 * Each statement has a few slots to choose from: a session with a hundred prepared
 * statements must not lose the places of some to those of others.
 */
#define SETS 128
#define WAYS 4
#define SLOTS (SETS * WAYS)
#define INLINE_PLACES 6

/* And statements in simple Queries a few of their own, which what they run inside does not take. */
#define MESSAGE_SLOTS 16

/* What all slots together may hold beside themselves; more forgets everything. */
#define MAX_BYTES (1024 * 1024)

typedef struct Place
{
	int32 at;     /* from the start of the statement */
	int32 length; /* -1: to be found out */
} Place;

typedef struct Slot
{
	int64 queryid; /* 0: unused */

	/* of a text in the client's message; NULL: it may come again later, and has its hash */
	const char *message_text;
	TimestampTz message;
	int32 location; /* as in Query; the places count from the start of the message */
	int32 length;

	uint32 hash; /* of the statement's own text */
	int32 size;
	int32 first; /* number of the first constant */
	int32 count;
	int32 capacity; /* of `more` */
	bool sorted;
	Place few[INLINE_PLACES];
	Place *more; /* malloc'd, if they are not few */
} Slot;

/* A text being written. */
typedef struct Output
{
	char *bytes;
	Size size;
	Size length;
	bool cut;
} Output;

static Slot table[SLOTS];
static Slot message_table[MESSAGE_SLOTS];
static Size bytes_used = 0;


/* The slot of this statement; without one NULL, and *set is where it could be. */
static Slot *
slot_of(int64 queryid, uint32 hash, Size size, uint32 *set)
{
	Slot *slot;

	*set = ((uint32) queryid ^ hash) % SETS;
	slot = &table[*set * WAYS];
	for (int i = 0; i < WAYS; i++, slot++)
	{
		if (slot->queryid == queryid && slot->hash == hash && (Size) slot->size == size)
			return slot;
	}
	return NULL;
}


/* A slot for a new statement: a free one, or that of the one that was here longest. */
static Slot *
slot_for(uint32 set)
{
	static uint8 oldest[SETS];
	Slot *slots = &table[set * WAYS];

	for (int i = 0; i < WAYS; i++)
	{
		if (slots[i].queryid == 0)
			return &slots[i];
	}
	return &slots[oldest[set]++ % WAYS];
}


static Slot *
slot_in_message(int64 queryid)
{
	return &message_table[(uint32) queryid % MESSAGE_SLOTS];
}


static uint32
hash_of(const char *text, int length)
{
	return hash_bytes((const unsigned char *) text, length);
}


static Place *
places_of(Slot *slot)
{
	return slot->count <= INLINE_PLACES ? slot->few : slot->more;
}


static void
forget(Slot *slot)
{
	bytes_used -= slot->capacity * sizeof(Place);
	free(slot->more);
	slot->more = NULL;
	slot->capacity = 0;
	slot->queryid = 0;
}


/* Room for so many places; false when there is none. */
static bool
make_room(Slot *slot, int count)
{
	Size wanted = (Size) count * sizeof(Place);

	if (count <= INLINE_PLACES || count <= slot->capacity)
		return true;
	if (wanted > MAX_BYTES)
		return false;
	forget(slot);
	if (bytes_used + wanted > MAX_BYTES)
	{
		for (int i = 0; i < SLOTS; i++)
			forget(&table[i]);
		for (int i = 0; i < MESSAGE_SLOTS; i++)
			forget(&message_table[i]);
	}
	slot->more = malloc(wanted);
	if (slot->more == NULL)
		return false;
	slot->capacity = count;
	bytes_used += wanted;
	return true;
}


/* Notes the places of a statement whose text begins at `start` of its source. */
static void
note_places(Slot *slot, const Query *query, const JumbleState *jumble, int start)
{
	Place *places;

	slot->queryid = 0;
	if (!make_room(slot, jumble->clocations_count))
		return;
	slot->queryid = (int64) query->queryId;
	slot->first = jumble->highest_extern_param_id + 1;
	slot->count = 0;
	slot->sorted = false;
	places = jumble->clocations_count <= INLINE_PLACES ? slot->few : slot->more;
	for (int i = 0; i < jumble->clocations_count; i++)
	{
		const LocationLen *constant = &jumble->clocations[i];

		if (PERFKIT_CONSTANT_STAYS(jumble, constant))
			continue;
		places[slot->count].at = constant->location - start;
		places[slot->count++].length = PERFKIT_CONSTANT_LENGTH(constant);
	}

	/* Those that stay may have made many to few. */
	if (slot->count <= INLINE_PLACES && places != slot->few)
		memcpy(slot->few, places, slot->count * sizeof(Place));
}


void
perfkit_normalize_remember_message(const char *source, const Query *query,
								   const JumbleState *jumble)
{
	Slot *slot = slot_in_message((int64) query->queryId);

	note_places(slot, query, jumble, 0);
	slot->message_text = source;
	slot->message = GetCurrentStatementStartTimestamp();
	slot->location = query->stmt_location;
	slot->length = query->stmt_len;
}


void
perfkit_normalize_remember(const char *source, const Query *query, const JumbleState *jumble)
{
	int length;
	const char *text =
		perfkit_source_statement(source, query->stmt_location, query->stmt_len, &length);
	uint32 hash = hash_of(text, length);
	uint32 set;
	Slot *slot;

	if (slot_of((int64) query->queryId, hash, length, &set) != NULL)
		return;
	slot = slot_for(set);
	note_places(slot, query, jumble, text - source);
	slot->message_text = NULL;
	slot->hash = hash;
	slot->size = length;
}


static bool
word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		   c == '$' || IS_HIGHBIT_SET(c);
}


/* The end of white space and comments that begin at `p`. */
static const char *
skip_space(const char *p, const char *end)
{
	while (p < end)
	{
		if (scanner_isspace(*p))
			p++;
		else if (end - p >= 2 && p[0] == '-' && p[1] == '-')
		{
			while (p < end && *p != '\n' && *p != '\r')
				p++;
		}
		else
			break;
	}
	return p;
}


/* The end of a quoted token whose first quote is at `p`; NULL when it has none. */
static const char *
skip_quoted(const char *p, const char *end, bool escapes)
{
	char quote = *p++;
	const char *next;

	while (p < end)
	{
		if (escapes && *p == '\\' && end - p >= 2)
			p += 2;
		else if (*p != quote)
			p++;
		else if (end - p >= 2 && p[1] == quote)
			p += 2;
		else
		{
			/* 'a' and 'b' on the next line are one literal */
			next = skip_space(++p, end);
			if (quote != '\'' || next == end || *next != '\'' ||
				(memchr(p, '\n', next - p) == NULL && memchr(p, '\r', next - p) == NULL))
				return p;
			p = next + 1;
		}
	}
	return NULL;
}


/* The end of a $tag$...$tag$ or of a $1 at `p`; NULL when it is neither. */
static const char *
skip_dollar(const char *p, const char *end)
{
	const char *body = p + 1;
	Size n;

	while (body < end && word_byte(*body) && *body != '$')
		body++;
	if (body == end || *body != '$')
		return body - p > 1 && p[1] >= '0' && p[1] <= '9' ? body : NULL;
	n = ++body - p;
	while ((Size) (end - body) >= n)
	{
		if (memcmp(body, p, n) == 0)
			return body + n;
		body++;
	}
	return NULL;
}


static const char *
skip_number(const char *p, const char *end)
{
	bool hex = end - p >= 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');

	while (p < end && (word_byte(*p) || *p == '.'))
	{
		bool exponent = !hex && (*p == 'e' || *p == 'E');

		p++;
		if (exponent && p < end && (*p == '+' || *p == '-'))
			p++;
	}
	return p;
}


/* The end of the constant at `p`; NULL when it is not understood. */
static const char *
skip_constant(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p = skip_space(p + 1, end);
	if (p >= end)
		return NULL;
	if (*p == '\'')
		return skip_quoted(p, end, !standard_conforming_strings);
	if (*p == '"')
		return skip_quoted(p, end, false);
	if (*p == '$')
		return skip_dollar(p, end);
	if ((*p >= '0' && *p <= '9') || *p == '.')
		return skip_number(p, end);
	if (end - p >= 2 && p[1] == '\'' && strchr("bBxXnN", *p) != NULL)
		return skip_quoted(p + 1, end, false);
	if (end - p >= 2 && p[1] == '\'' && (*p == 'e' || *p == 'E'))
		return skip_quoted(p + 1, end, true);
	if (end - p >= 3 && p[1] == '&' && p[2] == '\'' && (*p == 'u' || *p == 'U'))
		return skip_quoted(p + 2, end, false);

	/* TRUE, NULL, and the field in EXTRACT(year FROM ...) */
	if (!word_byte(*p))
		return NULL;
	while (p < end && word_byte(*p))
		p++;
	return p;
}


static void
emit(Output *out, const char *bytes, Size length)
{
	Size room = out->size - out->length;

	if (length > room)
	{
		length = room;
		out->cut = true;
	}
	memcpy(out->bytes + out->length, bytes, length);
	out->length += length;
}


static int
compare_places(const void *a, const void *b)
{
	int32 left = ((const Place *) a)->at;
	int32 right = ((const Place *) b)->at;

	return left < right ? -1 : left > right ? 1 : 0;
}


/* False when a constant was not understood. */
static bool
write_text(Output *out, Slot *slot, const char *text, Size length)
{
	const char *end = text + length;
	const char *done = text;
	Place *places = places_of(slot);
	int number = slot->first;

	for (int i = 0; i < slot->count && !out->cut; i++)
	{
		const char *at = text + places[i].at;
		const char *behind;
		char parameter[32];

		/* One constant may stand in the tree twice. */
		if (i > 0 && places[i].at == places[i - 1].at)
		{
			number += PERFKIT_NUMBERS_DUPLICATES ? 1 : 0;
			continue;
		}
		if (at < done || at >= end)
			return false;
		behind = places[i].length < 0 ? skip_constant(at, end) : at + places[i].length;
		if (behind == NULL || behind > end)
			return false;
		emit(out, done, at - done);
		snprintf(parameter, sizeof(parameter), places[i].length < 0 ? "$%d" : "$%d /*, ... */",
				 number++);
		emit(out, parameter, strlen(parameter));
		done = behind;
	}
	if (!out->cut)
		emit(out, done, end - done);
	return true;
}


/* Of a statement in the message that is being executed: its places, now counted from its start. */
static Slot *
find_in_message(int64 queryid, const char *text, Size length)
{
	Slot *slot = slot_in_message(queryid);
	const char *own;
	int own_length;
	int start;

	if (slot->queryid != queryid || slot->message_text == NULL ||
		slot->message_text != debug_query_string ||
		slot->message != GetCurrentStatementStartTimestamp())
		return NULL;
	own = perfkit_source_statement(slot->message_text, slot->location, slot->length, &own_length);
	if ((Size) own_length != length || memcmp(own, text, length) != 0)
		return NULL;
	start = own - slot->message_text;
	for (int i = 0; i < slot->count; i++)
		places_of(slot)[i].at -= start;

	/* Kept like any other from here on. */
	slot->message_text = NULL;
	slot->hash = hash_of(text, own_length);
	slot->size = own_length;
	return slot;
}


static Slot *
find(int64 queryid, const char *text, Size length)
{
	uint32 hash;
	uint32 set;
	Slot *slot = find_in_message(queryid, text, length);

	if (slot != NULL)
		return slot;
	hash = hash_of(text, (int) length);
	slot = slot_in_message(queryid);
	if (slot->queryid == queryid && slot->message_text == NULL && slot->hash == hash &&
		(Size) slot->size == length)
		return slot;
	return slot_of(queryid, hash, length, &set);
}


Size
perfkit_normalize(int64 queryid, const char *text, Size length, char *out, Size size, bool *cut)
{
	Output output = {.bytes = out, .size = size};
	Slot *slot = queryid != 0 ? find(queryid, text, length) : NULL;

	*cut = false;
	if (slot == NULL)
		return 0;
	if (!slot->sorted)
		qsort(places_of(slot), slot->count, sizeof(Place), compare_places);
	slot->sorted = true;
	if (!write_text(&output, slot, text, length))
		return 0;
	*cut = output.cut;
	return output.cut ? (Size) pg_mbcliplen(out, output.length, output.length) : output.length;
}
