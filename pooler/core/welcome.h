/*
 * welcome.h - what a server says about itself at login, kept for greeting the clients of its pool.
 *
 * Clients log in without a server of their own, so a pool keeps what its last login said, in a box
 * that all loops share. It may change while the pooler runs (another version of PostgreSQL, ALTER
 * SYSTEM, ALTER ROLE), but never for a client that is there: that one holds what it was greeted
 * with, since this is what its parameters are where it has set none.
 */
#ifndef PERFKIT_CORE_WELCOME_H
#define PERFKIT_CORE_WELCOME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/lock.h"
#include "core/params.h"

/* One of the messages that tells a tracked parameter. */
struct welcome_told
{
	int param;
	size_t at; /* in messages */
	size_t len;
};

struct welcome
{
	_Atomic int64_t holders;
	struct params params;      /* the tracked ones among them */
	struct welcome_told *told; /* in the order of messages; owned */
	int n_told;
	size_t len;
	uint8_t messages[]; /* ParameterStatus messages as they came */
};

/* A pool's, for any thread. */
struct welcome_box
{
	struct lock lock;
	struct welcome *last; /* lock; NULL: nobody has logged in yet */
};

void welcome_box_init(struct welcome_box *box);
void welcome_box_fini(struct welcome_box *box);

/* A login has told this. */
void welcome_put(struct welcome_box *box, const struct params *params, const struct buf *messages);

/* What the last login told, the caller's to release; NULL: there was none. */
struct welcome *welcome_take(struct welcome_box *box);
void welcome_release(struct welcome **w);

/* Appends the messages for a client: where it asked for a value of its own, that one stands
 * instead. */
void welcome_write(const struct welcome *w, const struct params *own, struct buf *out);

/* login_notify_message: appends it as a notice, unless it is empty. */
void welcome_notify(const char *message, struct buf *out);

#endif
