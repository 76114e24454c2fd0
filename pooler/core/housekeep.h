/*
 * housekeep.h - the main thread's work: signals, orders of the console, reload, statistics,
 * shutdown.
 */
#ifndef PERFKIT_CORE_HOUSEKEEP_H
#define PERFKIT_CORE_HOUSEKEEP_H

struct registry;

/* Sets up signals, timers and orders on the main loop; the threads run already. */
void housekeep_start(struct registry *r);

/* Stops the timers and signals again. */
void housekeep_stop(void);

#endif
