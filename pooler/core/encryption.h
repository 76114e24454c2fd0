/*
 * encryption.h - the TLS contexts of one configuration: for clients and for servers.
 *
 * They belong to a snapshot as if they stood in it (P9): made when it is loaded, adopted by every
 * loop with it, freed with it. Connections made before live on with what they had.
 */
#ifndef PERFKIT_CORE_ENCRYPTION_H
#define PERFKIT_CORE_ENCRYPTION_H

#include <stdbool.h>

struct conf;
struct conf_error;
struct shard;
struct tls_context;

struct encryption
{
	struct tls_context *client; /* NULL: client_tls_sslmode is disable */
	struct tls_context *server; /* NULL: server_tls_sslmode is disable */
};

/* Reads the files that conf names. NULL with err filled in when one of them will not do. */
struct encryption *encryption_new(const struct conf *conf, struct conf_error *err);
void encryption_free(struct encryption *e);

/* What this loop offers its clients and asks of servers now; NULL: nothing. */
struct tls_context *encryption_of_clients(const struct shard *shard);
struct tls_context *encryption_of_servers(const struct shard *shard);

/* Whether new connections to servers would be made as the old ones were. */
bool encryption_same_servers(const struct encryption *a, const struct encryption *b);

#endif
