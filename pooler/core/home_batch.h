/*
 * home_batch.h - the readings of a period as log_pooler() of the extension takes them.
 */
#ifndef PERFKIT_CORE_HOME_BATCH_H
#define PERFKIT_CORE_HOME_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define HOME_NAME_MAX 256

struct readings;

/*
 * Fills out, which is empty, with [["pool_clients_waiting", {"database": "app", "user": "joe"}, 3],
 * …] and a terminator; durations have their histogram behind the value. dropped: rows that could
 * not be kept since the period before; a row tells it as a rate. Returns the number of rows.
 */
uint64_t home_batch(const struct readings *r, uint64_t dropped, struct buf *out);

/* What tells poolers apart that write into one database: given (application_name in perfkit_dsn;
 * NULL: not given), else the machine's name and the port, and peer_id where there is one. Plain
 * ASCII. */
void home_name(char name[HOME_NAME_MAX], const char *given, int port, int peer_id);

/* A string of the form of a UUID that no other run has; false: there are no random numbers. */
bool home_run(char run[37]);

/* Question marks in the place of all that is not ASCII, for a database that cannot hold it. False:
 * there was nothing of it. */
bool home_plain(char *text);

#endif
