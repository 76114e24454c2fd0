/*
 * main.c - command line, user, process: then everything is up to the loops.
 *
 *   perfkit-pooler [-d] [-q] [-v] [-u user] [-V] [-h] config.ini
 *
 * Start order: configuration, log, sockets (so that a taken port is told on stderr and by the exit
 * code), user, background, threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/encryption.h"
#include "core/housekeep.h"
#include "core/registry.h"
#include "core/server_login.h"
#include "core/worker.h"
#include "net/dns.h"
#include "net/listen.h"
#include "net/outage.h"
#include "net/resolve.h"
#include "net/sockopt.h"

#ifndef PERFKIT_VERSION
#define PERFKIT_VERSION "0.1.0"
#endif

struct arguments
{
	bool daemon;
	bool quiet;
	bool verbose;
	const char *user;
	const char *path;
};

static struct registry registry;

static void
usage(FILE *to)
{
	fputs("perfkit-pooler: connection pooler for PostgreSQL\n"
		  "\n"
		  "Usage: perfkit-pooler [-d] [-q] [-v] [-u user] config.ini\n"
		  "       perfkit-pooler -V | -h | --sample-config\n"
		  "\n"
		  "  -d, --daemon         run in the background (needs logfile)\n"
		  "  -q, --quiet          do not log to stderr\n"
		  "  -v, --verbose        log more\n"
		  "  -u, --user=NAME      run as this user\n"
		  "  -V, --version        show the version\n"
		  "  -h, --help           show this\n"
		  "      --sample-config  print a commented configuration file\n",
		  to);
}

static void
print_line(const char *text, void *arg)
{
	(void) arg;
	puts(text);
}

/* Exits for -V, -h, --sample-config and mistakes. */
static void
parse_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"daemon", no_argument, NULL, 'd'},        {"quiet", no_argument, NULL, 'q'},
		{"verbose", no_argument, NULL, 'v'},       {"user", required_argument, NULL, 'u'},
		{"version", no_argument, NULL, 'V'},       {"help", no_argument, NULL, 'h'},
		{"sample-config", no_argument, NULL, 's'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "dqvu:Vh", options, NULL)) != -1)
	{
		switch (c)
		{
			case 'd':
				a->daemon = true;
				break;
			case 'q':
				a->quiet = true;
				break;
			case 'v':
				a->verbose = true;
				break;
			case 'u':
				a->user = optarg;
				break;
			case 'V':
				puts("perfkit-pooler " PERFKIT_VERSION
					 " (speaks PgBouncer 1.26's configuration and console)");
				exit(0);
			case 'h':
				usage(stdout);
				exit(0);
			case 's':
				conf_print_sample(print_line, NULL);
				exit(0);
			default:
				usage(stderr);
				exit(1);
		}
	}
	if (optind != argc - 1)
	{
		usage(stderr);
		exit(1);
	}
	a->path = argv[optind];
}

static _Noreturn void
die(const char *what, const char *why)
{
	log_error("%s: %s", what, why);
	exit(1);
}

/* One descriptor per client and server; the soft limit is raised as far as the hard one lets us. */
static void
raise_descriptor_limit(const struct conf *conf)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t) conf->max_client_conn + 1000;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < wanted)
		log_warning("only %llu file descriptors are allowed; max_client_conn=%lld may need %llu",
					(unsigned long long) limit.rlim_cur, (long long) conf->max_client_conn,
					(unsigned long long) wanted);
}

static void
become_user(const char *name)
{
	struct passwd *pw;

	if (name == NULL || name[0] == '\0')
	{
		if (geteuid() == 0)
			die("will not run as root", "give a user with -u or the option \"user\"");
		return;
	}
	pw = getpwnam(name);
	if (pw == NULL)
		die(name, "no such user");
	if (pw->pw_uid == geteuid())
		return;
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		die(name, strerror(errno));
	if (geteuid() == 0)
		die("will not run as root", "give a user with -u or the option \"user\"");
}

static void
go_to_background(const struct conf *conf)
{
	int null;

	if (conf->logfile[0] == '\0')
		die("cannot run in the background", "logfile must be set");
	switch (fork())
	{
		case -1:
			die("fork", strerror(errno));
		case 0:
			break;
		default:
			_exit(0);
	}
	setsid();
	null = open("/dev/null", O_RDWR);
	if (null >= 0)
	{
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		if (null > 2)
			close(null);
	}
	log_set_stderr(false);
}

/* False when another process that still runs has written it. */
static void
write_pidfile(const char *path)
{
	FILE *f;
	long pid = 0;

	if (path[0] == '\0')
		return;
	f = fopen(path, "r");
	if (f != NULL)
	{
		if (fscanf(f, "%ld", &pid) == 1 && pid > 0 && pid != getpid() && kill((pid_t) pid, 0) == 0)
			die(path, "pidfile exists and its process runs");
		fclose(f);
	}
	f = fopen(path, "w");
	if (f == NULL || fprintf(f, "%ld\n", (long) getpid()) < 0 || fclose(f) != 0)
		die(path, strerror(errno));
}

static void
accepted(int fd, const struct peer_addr *peer, void *arg)
{
	struct registry *r = arg;

	sockopt_tune(fd, r->conf);
	worker_hand_over(r, fd, peer);
}

static void
open_sockets(const struct conf *conf)
{
	const struct listen_where where = {
		.addr = conf->listen_addr,
		.port = (int) conf->listen_port,
		.unix_dir = conf->unix_socket_dir,
		.unix_mode = (int) conf->unix_socket_mode,
		.unix_group = conf->unix_socket_group,
		.backlog = (int) conf->listen_backlog,
		.reuse_port = conf->so_reuseport,
		.defer_accept = conf->tcp_defer_accept,
	};
	char error[512];

	if (!listen_open(&registry.main_loop, &where, accepted, &registry, error, sizeof(error)))
	{
		log_error("%s", error);
		exit(1);
	}
}

static void
seed(void)
{
	uint64_t key[2];

	if (RAND_bytes((unsigned char *) key, sizeof(key)) != 1)
		die("random numbers", "not available");
	hash_set_key(key[0], key[1]);
}

int
main(int argc, char **argv)
{
	struct arguments a = {0};
	struct conf_error error;
	struct encryption *encryption;
	struct conf *conf;
	int n;

	parse_arguments(argc, argv, &a);
	log_set_stderr(!a.quiet);
	seed();
	signal(SIGPIPE, SIG_IGN); /* OpenSSL's writes to those who have left */
	conf = conf_load(a.path, true, &error);
	encryption = conf == NULL ? NULL : encryption_new(conf, &error);
	if (encryption == NULL)
	{
		/* Always on stderr: nothing else would tell why there is no pooler. */
		fprintf(stderr, "perfkit-pooler: %s\n", error.text);
		conf_free(conf);
		return 1;
	}
	log_set_level(a.verbose || conf->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	raise_descriptor_limit(conf);
	if (conf->resolv_conf[0] != '\0')
		resolve_set_conf(mem_strdup(conf->resolv_conf)); /* for as long as the process runs */
	n = conf->threads > 0 ? (int) conf->threads : (int) sysconf(_SC_NPROCESSORS_ONLN);
	if (a.daemon)
		go_to_background(conf);
	if (!registry_init(&registry, n, conf))
		die("event loops", strerror(errno));
	registry_encrypt(&registry, encryption);
	registry.start_login = server_login_start;
	become_user(a.user != NULL ? a.user : conf->user);
	open_sockets(conf);
	if (!log_open_file(conf->logfile))
		die(conf->logfile, strerror(errno));
	write_pidfile(conf->pidfile);
	if (!worker_start_all(&registry))
		die("threads", strerror(errno));
	housekeep_start(&registry);
	log_info("perfkit-pooler " PERFKIT_VERSION " is up: %d threads, pid %d", n, (int) getpid());
	loop_run(&registry.main_loop);

	worker_join_all(&registry);
	housekeep_stop();
	if (registry.conf->pidfile[0] != '\0')
		unlink(registry.conf->pidfile);
	log_info("bye");
	conf = (struct conf *) registry.conf;
	encryption = registry.encryption;
	resolve_fini(&registry.main_loop);
	dns_fini();
	outage_fini();
	registry_fini(&registry);
	encryption_free(encryption);
	conf_free(conf);
	return 0;
}
