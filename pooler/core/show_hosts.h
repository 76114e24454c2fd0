/*
 * show_hosts.h - SHOW DNS_HOSTS, PEERS and PEER_POOLS: where this process looks for others.
 *
 * Each appends its data rows; head and end are the caller's. What they read needs no other loop.
 */
#ifndef PERFKIT_CORE_SHOW_HOSTS_H
#define PERFKIT_CORE_SHOW_HOSTS_H

struct buf;
struct conf;

/* hostname, ttl (seconds), addrs */
void show_hosts_dns(struct buf *out);

/* peer_id, host, port, pool_size */
void show_hosts_peers(const struct conf *conf, struct buf *out);

/* peer_id, cl_active_cancel_req, cl_waiting_cancel_req, sv_active_cancel, sv_login */
void show_hosts_peer_pools(const struct conf *conf, struct buf *out);

#endif
