/*-------------------------------------------------------------------------
 * jsonlog.h
 *	  A row as one line of JSON, for the server log.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_JSONLOG_H
#define PERFKIT_JSONLOG_H

#include "row.h"

/* No text of a line is longer, in bytes before it is escaped. */
#define PERFKIT_JSONLOG_MAX_TEXT 2048

/*
 * A JSON object of the row's columns that are not null, palloc'd: numbers as
 * numbers, jsonb as it is, all else as strings.  It has no line break.  Texts
 * are cut, between characters; a jsonb that is larger is left out; "cut" then
 * names them.  Plan and normalized text stay in the table.
 */
extern char *perfkit_jsonlog_line(const PerfkitRow *row);

#endif /* PERFKIT_JSONLOG_H */
