/*
 * sqlscan.h - which statements of an SQL text change what a session keeps. Pure, one pass, no
 * memory.
 *
 * Words only: the text is cut into statements (quotes, comments, dollar quotes, parentheses and
 * BEGIN ATOMIC bodies are seen through) and each is known by its first words; calls of a few
 * functions are found anywhere in one. What happens inside functions and DO blocks cannot be seen.
 *
 *   told as               statements
 *   SQLSCAN_SET           SET [SESSION] name = | TO value, SET ROLE, SET SCHEMA, SET XML OPTION,
 * SET SESSION CHARACTERISTICS, and SELECT set_config('name', 'value', false) alone in its statement
 *   SQLSCAN_RESET         RESET name, SET name TO DEFAULT
 *   SQLSCAN_RESET_ALL     RESET ALL
 *   SQLSCAN_DISCARD_ALL   DISCARD ALL
 *   SQLSCAN_SAVEPOINT, _RELEASE, _ROLLBACK_TO
 *   SQLSCAN_KEEP          state that no SET can carry to another server: `kinds` says which
 *   SQLSCAN_END           what may end such state: UNLISTEN, DEALLOCATE, DROP, CLOSE, DISCARD,
 *                         pg_advisory_unlock()
 *
 * Left out, since they end with their transaction or are reported by the server in any case: SET
 * LOCAL, SET TRANSACTION, SET CONSTRAINTS, set_config(…, true), SET NAMES, SET TIME ZONE, temporary
 * tables ON COMMIT DROP, pg_advisory_xact_lock().
 */
#ifndef PERFKIT_PROTO_SQLSCAN_H
#define PERFKIT_PROTO_SQLSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQLSCAN_NAME_MAX 128   /* with the terminator: of settings and savepoints */
#define SQLSCAN_VALUE_MAX 1024 /* with the terminator */

/* State that belongs to one server; bits of `kinds`. */
enum sqlscan_state
{
	SQLSCAN_LISTEN = 1,
	SQLSCAN_TEMP = 2,
	SQLSCAN_ADVISORY = 4,
	SQLSCAN_CURSOR = 8,
	SQLSCAN_PREPARED = 16,
	SQLSCAN_SETTING = 32,       /* a setting whose value cannot be told from the text */
	SQLSCAN_AUTHORIZATION = 64, /* SET SESSION AUTHORIZATION */
	SQLSCAN_LOAD = 128
};

#define SQLSCAN_STATES 8

enum sqlscan_kind
{
	SQLSCAN_SET,
	SQLSCAN_RESET,
	SQLSCAN_RESET_ALL,
	SQLSCAN_DISCARD_ALL,
	SQLSCAN_SAVEPOINT,
	SQLSCAN_RELEASE,
	SQLSCAN_ROLLBACK_TO,
	SQLSCAN_KEEP,
	SQLSCAN_END
};

struct sqlscan_found
{
	enum sqlscan_kind kind;
	uint32_t statement; /* which one of the text, from 1; empty ones do not count */
	uint8_t kinds;      /* KEEP, END */
	bool maybe;       /* KEEP: succeeds without coming into being, as pg_try_advisory_lock() does */
	bool call;        /* SET: by set_config(), `value` is its literal */
	const char *name; /* SET, RESET: in lower case; savepoints: folded as PostgreSQL does */
	const char *value; /* SET: as it stands behind TO */
};

/* Strings of `found` live as long as the call. */
typedef void sqlscan_report(void *arg, const struct sqlscan_found *found);

/* n bytes, or less when a zero byte comes first. Calls back for each finding, in their order. */
void sqlscan(const char *sql, size_t n, bool standard_strings, sqlscan_report *report, void *arg);

/* "listen" and so on, for one bit. */
const char *sqlscan_state_name(enum sqlscan_state state);

#endif
