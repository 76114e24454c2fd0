/*
 * pidfile.h - the file with the process id, and the lock on it that keeps a second process out.
 *
 * The lock decides, not the number in the file: it goes with the process however that ends, so a
 * file that was left behind stops nobody, and a foreign process that has got the old number since
 * does not either. One file a process.
 */
#ifndef PERFKIT_BASE_PIDFILE_H
#define PERFKIT_BASE_PIDFILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Locks the file and writes this process's id into it; NULL and "": nothing to do. False with one
 * line in error when another process has it, or when it cannot be written. After fork(), if at all.
 */
bool pidfile_take(const char *path, char *error, size_t cap);

/* Removes it, unless somebody else has put another one there. Legal in every state. */
void pidfile_release(void);

#endif
