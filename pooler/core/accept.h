/*
 * accept.h - the Accept header of a request for metrics.
 */
#ifndef PERFKIT_CORE_ACCEPT_H
#define PERFKIT_CORE_ACCEPT_H

#include <stdbool.h>

/*
 * Whether OpenMetrics 1.0 is wanted rather than Prometheus text: it must be named, as
 * application/openmetrics-text, with at least the weight of what stands for text/plain. header as
 * in RFC 9110, section 12.5.1; NULL: there is none. What cannot be read is passed over.
 */
bool accept_openmetrics(const char *header);

#endif
