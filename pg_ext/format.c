/*-------------------------------------------------------------------------
 * format.c
 *	  Values as text by our own means.
 *
 * Numeric is read as it lies on disk (its layout is part of every data
 * directory, so it cannot change), for numeric_out() allocates.
 *-------------------------------------------------------------------------
 */
#include "format.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "compat.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* The header of a numeric: two bits tell the kind, the rest depends on it. */
#define NUMERIC_KIND 0xC000
#define NUMERIC_NEGATIVE 0x4000 /* long form */
#define NUMERIC_SHORT 0x8000
#define NUMERIC_SPECIAL 0xC000
#define NUMERIC_INFINITE 0xD000
#define NUMERIC_MINUS_INFINITE 0xF000
#define NUMERIC_SHORT_NEGATIVE 0x2000
#define NUMERIC_SHORT_SCALE(header) (((header) &0x1F80) >> 7)
#define NUMERIC_SHORT_WEIGHT(header) (((header) &0x0040 ? ~0x003F : 0) | ((header) &0x003F))
#define NUMERIC_LONG_SCALE(header) ((header) &0x3FFF)

/* Base 10000: four decimal digits each. */
typedef struct Digits
{
	const char *bytes;
	int count;
	int weight; /* of the first */
} Digits;


/* The digit group that counts 10000^power. */
static int
group_of(const Digits *d, int power)
{
	int16 group;
	int i = d->weight - power;

	if (i < 0 || i >= d->count)
		return 0;
	memcpy(&group, d->bytes + i * sizeof(group), sizeof(group));
	return group;
}


static Size
write_digits(const Digits *d, bool negative, int scale, char *buffer, bool *cut)
{
	Size n = 0;
	int whole = Max(d->weight, 0);
	int fraction = (scale + 3) / 4;

	if (negative)
		buffer[n++] = '-';
	for (int power = whole; power >= -fraction; power--)
	{
		char four[8];
		int take;

		if (n + 6 > PERFKIT_FORMAT_SIZE)
		{
			*cut = true;
			return n;
		}
		if (power == -1)
			buffer[n++] = '.';
		snprintf(four, sizeof(four), power == whole ? "%d" : "%04d",
				 Min(Max(group_of(d, power), 0), 9999));
		take = power >= 0 ? (int) strlen(four) : Min(4, scale + (power + 1) * 4);
		memcpy(buffer + n, four, take);
		n += take;
	}
	return n;
}


static Size
format_numeric(const char *bytes, Size size, char *buffer, bool *cut)
{
	Digits d;
	uint16 header;
	int16 weight;
	bool negative;
	int scale;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if ((header & NUMERIC_KIND) == NUMERIC_SPECIAL)
	{
		const char *word = header == NUMERIC_INFINITE         ? "Infinity"
						   : header == NUMERIC_MINUS_INFINITE ? "-Infinity"
															  : "NaN";

		strcpy(buffer, word);
		return strlen(word);
	}
	d.bytes = bytes + sizeof(header);
	if ((header & NUMERIC_KIND) == NUMERIC_SHORT)
	{
		negative = header & NUMERIC_SHORT_NEGATIVE;
		scale = NUMERIC_SHORT_SCALE(header);
		d.weight = NUMERIC_SHORT_WEIGHT(header);
	}
	else
	{
		if (size < sizeof(header) + sizeof(weight))
			return 0;
		memcpy(&weight, d.bytes, sizeof(weight));
		d.bytes += sizeof(weight);
		negative = header & NUMERIC_NEGATIVE;
		scale = NUMERIC_LONG_SCALE(header);
		d.weight = weight;
	}
	d.count = (int) (bytes + size - d.bytes) / (int) sizeof(int16);
	return write_digits(&d, negative, scale, buffer, cut);
}


static void
format_date(DateADT date, char *buffer)
{
	struct pg_tm tm = {0};

	if (DATE_NOT_FINITE(date))
	{
		strcpy(buffer, DATE_IS_NOBEGIN(date) ? "-infinity" : "infinity");
		return;
	}
	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, buffer);
}


static void
format_time(TimeADT time, char *buffer)
{
	struct pg_tm tm = {0};
	fsec_t fsec;

	time2tm(time, &tm, &fsec);
	EncodeTimeOnly(&tm, fsec, false, 0, USE_ISO_DATES, buffer);
}


static bool
format_timestamp(Timestamp timestamp, bool with_zone, char *buffer)
{
	struct pg_tm tm;
	fsec_t fsec;
	int zone = 0;
	const char *zone_name = NULL;

	if (TIMESTAMP_NOT_FINITE(timestamp))
	{
		strcpy(buffer, TIMESTAMP_IS_NOBEGIN(timestamp) ? "-infinity" : "infinity");
		return true;
	}
	if (timestamp2tm(timestamp, with_zone ? &zone : NULL, &tm, &fsec, with_zone ? &zone_name : NULL,
					 NULL) != 0)
		return false;
	EncodeDateTime(&tm, fsec, with_zone, zone, zone_name, USE_ISO_DATES, buffer);
	return true;
}


static void
format_uuid(const pg_uuid_t *uuid, char *buffer)
{
	for (int i = 0; i < UUID_LEN; i++)
		buffer += sprintf(buffer, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
						  uuid->data[i]);
}


/* Types of fixed length; false when it is none, or the value makes no sense. */
static bool
format_fixed(Oid type, Datum value, char *buffer)
{
	switch (type)
	{
		case BOOLOID:
			strcpy(buffer, DatumGetBool(value) ? "t" : "f");
			return true;
		case INT2OID:
			snprintf(buffer, PERFKIT_FORMAT_SIZE, "%d", DatumGetInt16(value));
			return true;
		case INT4OID:
			snprintf(buffer, PERFKIT_FORMAT_SIZE, "%d", DatumGetInt32(value));
			return true;
		case INT8OID:
			snprintf(buffer, PERFKIT_FORMAT_SIZE, INT64_FORMAT, DatumGetInt64(value));
			return true;
		case OIDOID:
			snprintf(buffer, PERFKIT_FORMAT_SIZE, "%u", DatumGetObjectId(value));
			return true;
		case FLOAT4OID:
			float_to_shortest_decimal_buf(DatumGetFloat4(value), buffer);
			return true;
		case FLOAT8OID:
			double_to_shortest_decimal_buf(DatumGetFloat8(value), buffer);
			return true;
		case UUIDOID:
			format_uuid(DatumGetUUIDP(value), buffer);
			return true;
		case DATEOID:
			format_date(DatumGetDateADT(value), buffer);
			return true;
		case TIMEOID:
			format_time(DatumGetTimeADT(value), buffer);
			return true;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return format_timestamp(DatumGetTimestamp(value), type == TIMESTAMPTZOID, buffer);
		default:
			return false;
	}
}


bool
perfkit_format_knows(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case UUIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
		case NAMEOID:
		case UNKNOWNOID:
			return true;
		default:
			return false;
	}
}


const char *
perfkit_format(Oid type, Datum value, char *buffer, Size *length, bool *cut)
{
	struct varlena *bytes;

	if (type == NAMEOID || type == UNKNOWNOID)
	{
		*length = strlen(DatumGetCString(value));
		return DatumGetCString(value);
	}
	if (type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == JSONOID ||
		type == NUMERICOID)
	{
		bytes = (struct varlena *) DatumGetPointer(value);
		if (VARATT_IS_EXTERNAL(bytes) || VARATT_IS_COMPRESSED(bytes))
			return NULL;
		*length = VARSIZE_ANY_EXHDR(bytes);
		if (type != NUMERICOID)
			return VARDATA_ANY(bytes);
		*length = format_numeric(VARDATA_ANY(bytes), *length, buffer, cut);
		return *length > 0 ? buffer : NULL;
	}
	if (!format_fixed(type, value, buffer))
		return NULL;
	*length = strlen(buffer);
	return buffer;
}
