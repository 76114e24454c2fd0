/*
 * hosts.h - the hosts of one database, in the order in which one login tries them.
 *
 *     hosts_begin -> hosts_current -> connected and logged in: hosts_worked
 *                        ^   `------> it did not: hosts_next --+--> false: none is left
 *                        +-------------------------------------+
 *
 * load_balance_hosts decides where an order begins: at the next host of the list each time
 * (round-robin), or always at the same one until it fails (disable). A host that has failed is put
 * behind the others for server_login_retry, in every order of every loop.
 */
#ifndef PERFKIT_CORE_HOSTS_H
#define PERFKIT_CORE_HOSTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

struct hosts
{
	char *text;                       /* the list, cut into its items; owned */
	const char *item[CONF_HOSTS_MAX]; /* into text */
	uint8_t order[CONF_HOSTS_MAX];    /* indexes of items */
	int n;
	int at; /* into order: the one being tried */
	int port;
	bool sticky; /* load_balance_hosts = disable */
	_Atomic uint32_t *turn;
	uint64_t retry_us; /* server_login_retry */
};

/* turn: where the list stands, shared by all who log in to the same database; it outlives h. */
void hosts_begin(struct hosts *h, const struct conf *conf, const struct conf_database *db,
				 _Atomic uint32_t *turn);

/* Frees what it holds; one that was never begun (zeroes) is fine. */
void hosts_fini(struct hosts *h);

/* The host to be tried now: name, address, "/dir" or "@abstract". */
const char *hosts_current(const struct hosts *h);

/* The current one has failed: the next is current. False: none is left. */
bool hosts_next(struct hosts *h);

/* The current one has let us in. */
void hosts_worked(const struct hosts *h);

/* The share of server_connect_timeout for the current host, so that all of them have their turn
 * within it; 0: no limit. */
uint64_t hosts_time_us(const struct hosts *h, const struct conf *conf);

#endif
