/*
 * hosts.c - see hosts.h.
 */
#include "core/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "net/outage.h"

#define DEFAULT_SOCKET_DIR "/var/run/postgresql"

/* Without a host: the directory of our own socket, as in PgBouncer. */
static const char *
list_of(const struct conf *conf, const struct conf_database *db)
{
	if (db->host != NULL)
		return db->host;
	return conf->unix_socket_dir[0] != '\0' ? conf->unix_socket_dir : DEFAULT_SOCKET_DIR;
}

/* conf/entry has seen to it that there are neither too many nor empty ones. */
static void
cut(struct hosts *h, const char *list)
{
	char *rest = NULL;

	h->text = mem_strdup(list);
	for (char *item = strtok_r(h->text, ",", &rest); item != NULL && h->n < CONF_HOSTS_MAX;
		 item = strtok_r(NULL, ",", &rest))
		h->item[h->n++] = str_trim(item);
}

/* From `first` on round the list; those that failed a moment ago stand behind the others. */
static void
put_in_order(struct hosts *h, uint32_t first)
{
	uint64_t now = clock_now_us();
	uint8_t away[CONF_HOSTS_MAX];
	int n_away = 0;
	int n = 0;

	for (int i = 0; i < h->n; i++)
	{
		uint8_t k = (uint8_t) ((first + (uint32_t) i) % (uint32_t) h->n);

		if (outage_is(h->item[k], h->port, now))
			away[n_away++] = k;
		else
			h->order[n++] = k;
	}
	for (int i = 0; i < n_away; i++)
		h->order[n++] = away[i];
}

void
hosts_begin(struct hosts *h, const struct conf *conf, const struct conf_database *db,
			_Atomic uint32_t *turn)
{
	*h = (struct hosts){
		.port = db->port,
		.turn = turn,
		.retry_us = conf->server_login_retry_us,
		.sticky = db->load_balance_hosts == 0,
	};
	cut(h, list_of(conf, db));
	if (h->n > 1)
		put_in_order(h, h->sticky ? atomic_load(turn) : atomic_fetch_add(turn, 1));
}

void
hosts_fini(struct hosts *h)
{
	free(h->text);
	*h = (struct hosts){0};
}

const char *
hosts_current(const struct hosts *h)
{
	return h->at < h->n ? h->item[h->order[h->at]] : "";
}

bool
hosts_next(struct hosts *h)
{
	uint32_t turn;

	/* Alone, or the last of them has failed before. */
	if (h->n <= 1 || h->at >= h->n)
		return false;
	outage_note(hosts_current(h), h->port, clock_now_us() + h->retry_us);
	/* One of those who have met the same failure moves the list on. */
	turn = atomic_load(h->turn);
	if (h->sticky && turn % (uint32_t) h->n == h->order[h->at])
		atomic_compare_exchange_strong(h->turn, &turn, turn + 1);
	return ++h->at < h->n;
}

void
hosts_worked(const struct hosts *h)
{
	if (h->n > 1)
		outage_over(hosts_current(h), h->port);
}

uint64_t
hosts_time_us(const struct hosts *h, const struct conf *conf)
{
	return h->n > 1 ? conf->server_connect_timeout_us / (uint64_t) h->n
					: conf->server_connect_timeout_us;
}
