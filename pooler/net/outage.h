/*
 * outage.h - who could not be reached a moment ago: hosts and addresses that are tried last.
 *
 * One table for all loops, so that what one login has found out costs the next ones no time. Hosts
 * are known by the text they are dialled with. Any thread may call.
 */
#ifndef PERFKIT_NET_OUTAGE_H
#define PERFKIT_NET_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

/* It did not answer: to be tried last until then. */
void outage_note(const char *host, int port, uint64_t until_us);

/* It did. */
void outage_over(const char *host, int port);

/* Whether it is to be tried last. Costs an atomic load while nobody is away. */
bool outage_is(const char *host, int port, uint64_t now_us);

/* At exit. */
void outage_fini(void);

#endif
