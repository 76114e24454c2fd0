/*
 * show_mem.h - SHOW MEM.
 */
#ifndef PERFKIT_CORE_SHOW_MEM_H
#define PERFKIT_CORE_SHOW_MEM_H

struct show;

void show_mem(struct show *show);

#endif
