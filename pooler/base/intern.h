/*
 * intern.h - texts of which every thread has the same copy, so that equal ones have equal
 * addresses.
 *
 * For values that thousands of clients share and that are compared more often than made: the
 * comparison is one of two pointers, and a client has no copy of its own. The table has a lock,
 * taken when a text is asked for and when its last user lets go.
 */
#ifndef PERFKIT_BASE_INTERN_H
#define PERFKIT_BASE_INTERN_H

#include <stddef.h>

/* The one copy of a text; the caller is a user now. */
const char *intern_get(const char *text);

/* One user less (takes the pointer away; NULL does nothing). */
void intern_drop(const char **text);

/* How many texts there are, for tests. */
size_t intern_count(void);

#endif
