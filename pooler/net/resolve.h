/*
 * resolve.h - host names to addresses by c-ares on the loop.
 *
 * What net/dns still knows is not asked again, and look-ups of one name on one loop share a
 * question. One c-ares channel per loop, made at the first question. /etc/hosts counts before DNS,
 * as nsswitch.conf says. Address literals never come here: dial knows them itself.
 *
 * c-ares cannot cancel one look-up: a cancelled one runs on unheard and is freed when its answer or
 * the resolver's time limit comes.
 */
#ifndef PERFKIT_NET_RESOLVE_H
#define PERFKIT_NET_RESOLVE_H

#include "net/dns.h"

struct loop;
struct resolve; /* one look-up */

/* The result is valid within the callback; the look-up is gone after it. Its addresses have the
 * port, and those that could not be reached a moment ago (net/outage) stand last. */
typedef void (*resolve_cb)(void *arg, const struct dns_answer *result);

/* Starts a look-up; the callback never runs from within. NULL when c-ares cannot be set up. */
struct resolve *resolve_start(struct loop *loop, const char *host, int port, resolve_cb cb,
							  void *arg);

/* The callback will not run; *r may be NULL and is NULL afterwards. */
void resolve_cancel(struct resolve **r);

/* Frees a loop's channel at exit. Look-ups under way fall silent, their handles are still to be
 * cancelled. */
void resolve_fini(struct loop *loop);

/*
 * Another resolv.conf than the system's; NULL is the system's. Before the first look-up; the string
 * is not copied. A name server in it may have a port: "nameserver [127.0.0.1]:8600".
 */
void resolve_set_conf(const char *path);

#endif
