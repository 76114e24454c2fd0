/*
 * replicate.h - a client that speaks the replication protocol: pg_basebackup, pg_receivewal,
 * pg_recvlogical, a standby, a subscription.
 *
 * It says so in its startup packet. What it asks for there must be asked of PostgreSQL in a startup
 * packet too (a WAL sender knows no SET), so it cannot share a server: it gets one of its own, made
 * when its turn has come, with its own parameters, and closed when it leaves. Until then the server
 * is a mere place in a pool (core/server_own), which is how it counts against the limits.
 *
 *     startup packet -> replicate_asked -> (waits for a place) -> replicate_dial -> done
 *
 * Source: PostgreSQL, "Streaming Replication Protocol"; ProcessStartupPacket() for the values.
 */
#ifndef PERFKIT_CORE_REPLICATE_H
#define PERFKIT_CORE_REPLICATE_H

#include <stdbool.h>

struct buf;
struct pgw_error;
struct replicate;
struct server;
struct startup;

/*
 * What the packet says about replication: NULL in *out for an ordinary client. False: the value of
 * the parameter makes no sense; `error` then holds what PostgreSQL says to that.
 */
bool replicate_asked(const struct startup *packet, struct replicate **out, struct pgw_error *error);

/* Ends a login that is under way; `done` is not called any more. Of NULL nothing. */
void replicate_hang_up(struct replicate *r);
void replicate_free(struct replicate *r);

/* "physical", "logical"; of NULL "none". */
const char *replicate_name(const struct replicate *r);

/*
 * Logs in for the place `server`, on its loop. done(arg, welcome, NULL): server is connected and
 * its caller's to attach; welcome holds its ParameterStatus messages, for the time of the call. Or
 * done(arg, NULL, error): there will be none, and the place is the caller's to close.
 */
void replicate_dial(struct replicate *r, struct server *server,
					void (*done)(void *arg, const struct buf *welcome,
								 const struct pgw_error *error),
					void *arg);

#endif
