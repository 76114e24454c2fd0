/*
 * sockopt.c - see sockopt.h.
 */
#include "net/sockopt.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "conf/conf.h"

/* What 1 means: longer than any client takes that is still there. */
#define DEFER_DEFAULT_S 45

/* Flags of a TCP header: RFC 9293 3.1. */
#define TCP_FLAGS_OFFSET 13
#define TCP_FLAG_SYN 0x02

bool
sockopt_is_local(int fd)
{
	int domain = AF_UNIX;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || domain == AF_UNIX;
}

static void
set(int fd, int level, int option, int64_t value)
{
	int number = value > INT32_MAX ? INT32_MAX : (int) value;

	(void) setsockopt(fd, level, option, &number, sizeof(number));
}

static void
keep_alive(int fd, const struct conf *conf)
{
	const struct
	{
		int option;
		int64_t value; /* 0: the system's */
	} more[] = {
		{TCP_KEEPCNT, conf->tcp_keepcnt},
		{TCP_KEEPIDLE, conf->tcp_keepidle},
		{TCP_KEEPINTVL, conf->tcp_keepintvl},
	};

	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (more[i].value > 0)
			set(fd, IPPROTO_TCP, more[i].option, more[i].value);
}

void
sockopt_tune(int fd, bool local, const struct conf *conf)
{
	if (conf->tcp_socket_buffer > 0)
	{
		set(fd, SOL_SOCKET, SO_SNDBUF, conf->tcp_socket_buffer);
		set(fd, SOL_SOCKET, SO_RCVBUF, conf->tcp_socket_buffer);
	}
	if (local)
		return;
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (conf->tcp_keepalive)
		keep_alive(fd, conf);
	if (conf->tcp_user_timeout_us > 0)
		set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int64_t) (conf->tcp_user_timeout_us / 1000));
}

void
sockopt_defer_accept(int fd, int64_t seconds)
{
	if (!sockopt_is_local(fd))
		set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds == 1 ? DEFER_DEFAULT_S : seconds);
}

bool
sockopt_drop_new(int fd)
{
	/* A socket's filter sees the packet from the TCP header on; only the first one of a connection
	 * has SYN set on its way to a listening socket. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TCP_FLAG_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return !sockopt_is_local(fd) &&
		   setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}
