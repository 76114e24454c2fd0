/*
 * serve_prefix.h - what goes in front of a client's first bytes to a server that it was just given.
 */
#ifndef PERFKIT_CORE_SERVE_PREFIX_H
#define PERFKIT_CORE_SERVE_PREFIX_H

#include <stddef.h>
#include <stdint.h>

#include "core/params.h"
#include "core/settings.h"

/* Bytes of all that may have to be set. */
#define SERVE_PREFIX_MAX (PARAMS * (4 * PARAMS_MAX_VALUE + 64) + SETTINGS_SQL_MAX)

struct session;

/* Builds the Query message that makes the server of the session fit for it. Length, 0 when it is,
 * or -1 when it does not fit. */
int serve_prefix(struct session *s, uint8_t *mem, size_t cap);

#endif
