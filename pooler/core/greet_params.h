/*
 * greet_params.h - the parameters of a startup packet, and those in its `options`.
 */
#ifndef PERFKIT_CORE_GREET_PARAMS_H
#define PERFKIT_CORE_GREET_PARAMS_H

#include <stdbool.h>

struct session;
struct startup;

/* Takes them over into the session. False: one is refused, and the session is gone. */
bool greet_params_take(struct session *s, const struct startup *packet);

#endif
