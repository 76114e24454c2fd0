/*
 * descriptors.h - how many file descriptors the process may have, and how many it may come to need.
 */
#ifndef PERFKIT_CORE_DESCRIPTORS_H
#define PERFKIT_CORE_DESCRIPTORS_H

#include <stdint.h>

struct conf;

/* What the configuration can ask for at most, n_threads loops included: one a client, one a server,
 * and a few for the process. */
int64_t descriptors_wanted(const struct conf *conf, int n_threads);

/* Raises the soft limit as far as the hard one lets us, and warns when that is less than wanted. At
 * start and after every reload; main thread. */
void descriptors_raise(const struct conf *conf, int n_threads);

#endif
