/*
 * dns.h - what names have been resolved to: one table for all loops.
 *
 * An answer is used for as long as the name server allows, at most dns_max_ttl; that there is none,
 * for dns_nxdomain_ttl. Of several addresses another one stands first each time it is asked for.
 * Names come from the configuration, so the table does not grow.
 *
 * net/resolve fills it. Any thread may call.
 */
#ifndef PERFKIT_NET_DNS_H
#define PERFKIT_NET_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/peer_addr.h"

#define DNS_MAX_ADDRS 16 /* more are left out */

struct dns_answer
{
	int n;                                /* 0: none, error tells */
	const char *error;                    /* static text */
	struct peer_addr addr[DNS_MAX_ADDRS]; /* in the order in which to try them; port 0 */
};

/* dns_max_ttl and dns_nxdomain_ttl, for what is put from now on. */
void dns_limits(uint64_t max_ttl_us, uint64_t nxdomain_ttl_us);

/* What is known of a name; false: nothing, or nothing that may still be used. */
bool dns_get(const char *name, struct dns_answer *out);

/* The same however old it is. */
bool dns_get_any(const char *name, struct dns_answer *out);

/*
 * What a name server has just said, with its own time to live. certain: it has said so; false: it
 * could not be asked, and addresses that are known are kept for dns_nxdomain_ttl.
 */
void dns_put(const char *name, const struct dns_answer *answer, uint64_t ttl_us, bool certain);

/* Counts the answers in which an address is missing that stood in the one before. */
uint32_t dns_moves(void);

/* Called in the thread that put such an answer. Set before the threads start; NULL: nobody. */
void dns_on_move(void (*moved)(void *arg), void *arg);

/* False when the name is known to stand for other addresses than this one. True of an address that
 * is a literal itself. */
bool dns_stands_for(const char *name, const char *addr);

/* SHOW DNS_HOSTS: calls back for each name, without a lock held. Valid within the callback. */
struct dns_row
{
	const char *name;
	int64_t ttl_s;     /* how long it is still used; 0: it is too old */
	const char *addrs; /* separated by commas; "" when there is none */
};
void dns_rows(void (*row)(void *arg, const struct dns_row *row), void *arg);

/* How many names are known. */
int dns_count(void);

/* At exit. */
void dns_fini(void);

#endif
