/*
 * snapshot.h - what a struct conf is made of while it is being built: an arena for all its text,
 * growing tables of databases and users, and a hash over the names of both. Private to conf/.
 */
#ifndef PERFKIT_CONF_SNAPSHOT_H
#define PERFKIT_CONF_SNAPSHOT_H

#include <stddef.h>

struct conf;
struct conf_database;
struct conf_peer;
struct conf_user;

/* A snapshot with every option at its default and no entries. Freed with conf_free(). */
struct conf *snapshot_new(const char *path);

/* A copy of n bytes and a terminator, living as long as the snapshot; wiped when it goes. */
char *snapshot_text(struct conf *c, const char *bytes, size_t n);

/* The entry of that name, added with nothing given when it is new. Valid until the next call. */
struct conf_database *snapshot_database(struct conf *c, const char *name);
struct conf_user *snapshot_user(struct conf *c, const char *name);
struct conf_peer *snapshot_peer(struct conf *c, int id);

#endif
