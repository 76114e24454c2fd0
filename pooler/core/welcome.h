/*
 * welcome.h - what a server says about itself at login, kept for greeting the clients of its pool.
 *
 * Made by the first login of a pool and never changed: clients that log in later need no server for
 * it.
 */
#ifndef PERFKIT_CORE_WELCOME_H
#define PERFKIT_CORE_WELCOME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/params.h"

struct welcome
{
	struct params params; /* the tracked ones among them */
	size_t len;
	uint8_t messages[]; /* ParameterStatus messages as they came */
};

struct welcome *welcome_new(const struct params *params, const struct buf *messages);
void welcome_free(struct welcome *w);

/* Appends the messages for a client: where it asked for a value of its own, that one stands
 * instead. */
void welcome_write(const struct welcome *w, const struct params *own, struct buf *out);

#endif
