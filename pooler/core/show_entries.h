/*
 * show_entries.h - SHOW POOLS, DATABASES and USERS.
 */
#ifndef PERFKIT_CORE_SHOW_ENTRIES_H
#define PERFKIT_CORE_SHOW_ENTRIES_H

struct show;

void show_pools(struct show *show);
void show_databases(struct show *show);
void show_users(struct show *show);

#endif
