/*
 * main.c - command line, user, process: then everything is up to the loops.
 *
 *   perfkit-pooler [-d] [-q] [-v] [-R] [-u user] [-V] [-h] config.ini
 *
 * Start order: configuration, background, user, sockets, log file, pidfile, threads; then the
 * service manager and the starter of a background process are told that it is up. All that can fail
 * comes before that, so it is told on stderr and by the exit code (base/background.h).
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/background.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pidfile.h"
#include "conf/conf.h"
#include "core/descriptors.h"
#include "core/encryption.h"
#include "core/housekeep.h"
#include "core/logging.h"
#include "core/porter.h"
#include "core/registry.h"
#include "core/server_login.h"
#include "core/worker.h"
#include "net/dns.h"
#include "net/listen.h"
#include "net/outage.h"
#include "net/resolve.h"
#include "net/systemd.h"

#ifndef PERFKIT_VERSION
#define PERFKIT_VERSION "0.1.0"
#endif

struct arguments
{
	bool daemon;
	bool quiet;
	bool verbose;
	bool reboot;
	const char *user;
	const char *path;
};

static struct registry registry;

static void
usage(FILE *to)
{
	fputs(
		"perfkit-pooler: connection pooler for PostgreSQL\n"
		"\n"
		"Usage: perfkit-pooler [-d] [-q] [-v] [-R] [-u user] config.ini\n"
		"       perfkit-pooler -V | -h | --sample-config\n"
		"\n"
		"  -d, --daemon         run in the background (needs pidfile, and logfile or syslog)\n"
		"  -q, --quiet          do not log to stderr\n"
		"  -v, --verbose        log more\n"
		"  -R, --reboot         as without it: connections are not taken over (see so_reuseport)\n"
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
		{"daemon", no_argument, NULL, 'd'},
		{"quiet", no_argument, NULL, 'q'},
		{"verbose", no_argument, NULL, 'v'},
		{"user", required_argument, NULL, 'u'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{"sample-config", no_argument, NULL, 's'},
		{"reboot", no_argument, NULL, 'R'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "dqvRu:Vh", options, NULL)) != -1)
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
			case 'R':
				a->reboot = true;
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
	if (pw->pw_uid == 0)
		die("will not run as root", "give another user with -u or the option \"user\"");
	if (pw->pw_uid == geteuid())
		return;
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		die(name, strerror(errno));
}

/* As PgBouncer: what runs unseen must be found again, by its pid and by its log. */
static void
go_to_background(const struct conf *conf)
{
	if (conf->pidfile[0] == '\0')
		die("cannot run in the background", "pidfile must be set");
	if (conf->logfile[0] == '\0' && !conf->syslog)
		die("cannot run in the background", "logfile or syslog must be set");
	if (!background_start())
		die("cannot run in the background", strerror(errno));
}

static void
open_sockets(const struct conf *conf)
{
	struct listen_where where = {
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

	where.n_ready = systemd_sockets(&where.first_ready);
	if (where.n_ready > 0)
		log_info("listening on %d sockets of the service manager, instead of listen_addr and "
				 "unix_socket_dir",
				 where.n_ready);
	if (!listen_open(&where, error, sizeof(error)))
	{
		log_error("%s", error);
		exit(1);
	}
}

/* Those that core/housekeep takes: until it is there they would end the process, although its port
 * already answers, so they wait. */
static void
hold_signals(int how)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGHUP);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGQUIT);
	sigaddset(&held, SIGUSR1);
	sigaddset(&held, SIGUSR2);
	sigprocmask(how, &held, NULL);
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
	systemd_start();
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
	if (a.verbose)
		log_set_least(LOG_LEVEL_DEBUG);
	if (a.reboot)
		log_warning("-R: the connections of a running process are not taken over; for a restart "
					"without an interruption see so_reuseport and SHUTDOWN WAIT_FOR_CLIENTS");
	if (conf->resolv_conf[0] != '\0')
		resolve_set_conf(mem_strdup(conf->resolv_conf)); /* for as long as the process runs */
	n = conf->threads > 0 ? (int) conf->threads : (int) sysconf(_SC_NPROCESSORS_ONLN);
	if (a.daemon)
		go_to_background(conf);
	descriptors_raise(conf, n);
	if (!registry_init(&registry, n, conf))
		die("event loops", strerror(errno));
	registry_encrypt(&registry, encryption);
	registry.start_login = server_login_start;
	become_user(a.user != NULL ? a.user : conf->user);
	hold_signals(SIG_BLOCK);
	open_sockets(conf);
	if (!logging_apply(conf))
		die(conf->logfile, strerror(errno));
	if (!pidfile_take(conf->pidfile, error.text, sizeof(error.text)))
		die("cannot start", error.text);
	if (!worker_start_all(&registry))
		die("threads", strerror(errno));
	housekeep_start(&registry);
	porter_start(&registry); /* nobody comes in, and on to the console, before that is there */
	hold_signals(SIG_UNBLOCK);
	log_info("perfkit-pooler " PERFKIT_VERSION " is up: %d threads, pid %d", n, (int) getpid());
	systemd_ready();
	background_ready();
	loop_run(&registry.main_loop);

	worker_join_all(&registry);
	porter_stop();
	listen_fini();
	housekeep_stop();
	pidfile_release();
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
