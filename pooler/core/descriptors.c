/*
 * descriptors.c - see descriptors.h.
 */
#include "core/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"
#include "conf/conf.h"

/* Standard files, log, listeners, resolver sockets, connections of auth_query. */
#define OF_PROCESS 64
/* A loop has its epoll, its wake-up and its timers. */
#define OF_LOOP 8

/*
 * Servers of one entry of [databases]. How many users share it is not known, so one pool is counted
 * where no limit says more: a site with many users a database knows max_db_connections.
 */
static int64_t
servers_of(const struct conf *conf, const struct conf_database *db)
{
	struct conf_limits limits;

	conf_limits(conf, db, db->user, &limits);
	if (limits.max_db_connections > 0)
		return limits.max_db_connections;
	return limits.pool_size + limits.reserve_pool_size;
}

int64_t
descriptors_wanted(const struct conf *conf, int n_threads)
{
	int64_t n = OF_PROCESS + (int64_t) OF_LOOP * n_threads + conf->max_client_conn;

	for (size_t i = 0; i < conf->n_databases; i++)
		n += servers_of(conf, &conf->databases[i]);
	return n;
}

void
descriptors_raise(const struct conf *conf, int n_threads)
{
	static int64_t told; /* not again after a reload that changes nothing about it */
	struct rlimit limit;
	int64_t wanted = descriptors_wanted(conf, n_threads);

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
			return;
	}
	if (limit.rlim_cur < (rlim_t) wanted && wanted != told)
		log_warning("only %llu file descriptors are allowed; max_client_conn = %lld and the pools "
					"may need %lld: raise the limit (LimitNOFILE, ulimit -n)",
					(unsigned long long) limit.rlim_cur, (long long) conf->max_client_conn,
					(long long) wanted);
	told = limit.rlim_cur < (rlim_t) wanted ? wanted : 0;
}
