/*
 * show_pins.h - SHOW PINS.
 */
#ifndef PERFKIT_CORE_SHOW_PINS_H
#define PERFKIT_CORE_SHOW_PINS_H

struct show;

void show_pins(struct show *show);

#endif
