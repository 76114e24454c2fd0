/*
 * greet_name.c - see greet_name.h.
 */
#include "core/greet_name.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "core/params.h"
#include "core/registry.h"
#include "core/session.h"

#define HOST_MAX 128

/* Where it comes from. */
static void
origin(const struct session *s, char *text, size_t cap)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	char host[HOST_MAX] = "";

	if (s->port != 0)
	{
		snprintf(text, cap, strchr(s->addr, ':') != NULL ? "[%s]:%u" : "%s:%u", s->addr, s->port);
		return;
	}
	getsockopt(s->conn.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	gethostname(host, sizeof(host) - 1);
	snprintf(text, cap, "unix(%d@%s):%d", (int) cred.pid, host, (int) s->shard->conf->listen_port);
}

void
greet_name_add_host(struct session *s)
{
	const char *name = s->params.value[PARAM_APPLICATION_NAME];
	char whole[PARAMS_MAX_VALUE];
	char from[HOST_MAX + 64];

	if (name == NULL || name[0] == '\0')
		name = "app";
	origin(s, from, sizeof(from));
	/* One that leaves no room stays as it is: PostgreSQL keeps no more than 63 bytes in any case.
	 */
	if (snprintf(whole, sizeof(whole), "%s - %s", name, from) < (int) sizeof(whole))
		params_set(&s->params, PARAM_APPLICATION_NAME, whole);
}
