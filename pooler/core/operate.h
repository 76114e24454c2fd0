/*
 * operate.h - what an operator does to pools and clients while the process runs, and how it ends.
 * Main thread.
 */
#ifndef PERFKIT_CORE_OPERATE_H
#define PERFKIT_CORE_OPERATE_H

struct order;
struct registry;

enum operate_shutdown
{
	OPERATE_NOT,
	OPERATE_WAIT_FOR_SERVERS, /* a pause of everything first */
	OPERATE_WAIT_FOR_CLIENTS, /* no new clients until the last has left */
	OPERATE_LAST_PERIOD,      /* how both end: core/home alone is waited for, for a moment */
	OPERATE_AT_ONCE
};

void operate_start(struct registry *r);
void operate_stop(void);

/* Carries out an order of any kind but RELOAD and SET, and sends it back in the end. */
void operate_order(struct order *o);

/* The same for signals. A second shutdown does not wait. */
void operate_pause(void);
void operate_resume(void);
void operate_shutdown(enum operate_shutdown how);

/* Every loop closes the idle servers that have no place any more, and logs in where servers are to
 * be kept open: limits, pauses or generations of pools have changed. */
void operate_trim(void);

#endif
