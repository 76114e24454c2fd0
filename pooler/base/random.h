/*
 * random.h - unpredictable bytes in small portions, as each login needs some.
 */
#ifndef PERFKIT_BASE_RANDOM_H
#define PERFKIT_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

/* As RAND_bytes(); false: there are none. Any thread. */
bool random_bytes(void *out, size_t n);

#endif
