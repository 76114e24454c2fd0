/*
 * show_numbers.h - SHOW ERRORS and SHOW LATENCIES.
 */
#ifndef PERFKIT_CORE_SHOW_NUMBERS_H
#define PERFKIT_CORE_SHOW_NUMBERS_H

struct show;

void show_errors(struct show *show);
void show_latencies(struct show *show);

#endif
