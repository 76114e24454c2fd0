/*
 * admit.h - by which rule a client may come in, before it is asked to prove anything.
 *
 *     auth_type, or the line of the HBA file that fits -> reject
 *                                                      -> cert, peer: who the client is stands in
 *                                                         its certificate, or the kernel knows it
 *                                                      -> a password method: where is its secret?
 *                                                         auth_file, else auth_query
 */
#ifndef PERFKIT_CORE_ADMIT_H
#define PERFKIT_CORE_ADMIT_H

#include <stdbool.h>

struct auth_who;
struct session;

/*
 * The session has its names, and its socket is not read meanwhile. Calls done(s, who), now or
 * later, with what core/auth is to find out; or ends the session, which has been told why.
 */
void admit_start(struct session *s, void (*done)(struct session *s, const struct auth_who *who));

/* The client could not prove it: what was looked up is asked for anew next time. */
void admit_failed(struct session *s);

#endif
