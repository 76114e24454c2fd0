/*
 * fake_dns.h - a name server on the test's own loop, for c-ares to ask.
 *
 * A resolv.conf cannot say a port (c-ares 1.18), and port 53 needs privileges and may be taken: so
 * this file defines connect() for the test's program, through which c-ares connects its UDP
 * sockets, and sends what is meant for 127.0.0.1:53 to the fake's port. All other connects pass
 * unchanged.
 *
 * Names: "a.b.c.d.e.f.g.h.test" has the addresses a.b.c.d and e.f.g.h (any number of them),
 * "silent.test" gets no answer, every other name does not exist. No name has an IPv6 address.
 */
#ifndef PERFKIT_TEST_FAKE_DNS_H
#define PERFKIT_TEST_FAKE_DNS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "net/resolve.h"
#include "turning.h"

struct fake_dns
{
	struct loop *loop;
	int fd;
	ev_io io;
	int questions;
	char conf[32]; /* path of the resolv.conf */
};

static int fake_dns_port; /* 0: none runs */

int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_in *to = (const struct sockaddr_in *) addr;

	if (addr->sa_family == AF_INET && to->sin_port == htons(53) && fake_dns_port != 0)
	{
		struct sockaddr_in sin = *to;

		sin.sin_port = htons((uint16_t) fake_dns_port);
		return (int) syscall(SYS_connect, fd, &sin, sizeof(sin));
	}
	return (int) syscall(SYS_connect, fd, addr, len);
}

/* Reads the labels of a question (RFC 1035 4.1.2) into numbers; false when it is no name of
 * addresses. */
static inline bool
fake_dns_numbers(const uint8_t *p, const uint8_t *end, uint8_t *numbers, int *n)
{
	*n = 0;
	for (; p < end && *p != 0; p += 1 + *p)
	{
		char label[64] = {0};
		char *rest;
		long value;

		if (*p >= sizeof(label) || p + 1 + *p > end)
			return false;
		memcpy(label, p + 1, *p);
		if (strcmp(label, "test") == 0)
			return *n > 0 && *n % 4 == 0;
		value = strtol(label, &rest, 10);
		if (*rest != '\0' || value < 0 || value > 255 || *n == 128)
			return false;
		numbers[(*n)++] = (uint8_t) value;
	}
	return false;
}

static inline void
fake_dns_answer(struct ev_loop *ev, ev_io *w, int revents)
{
	struct fake_dns *dns = w->data;
	uint8_t m[1024];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(dns->fd, m, 512, MSG_DONTWAIT, (struct sockaddr *) &from, &from_len);
	uint8_t numbers[128];
	int n;
	bool found;
	uint8_t *p = m + 12;

	(void) ev;
	(void) revents;
	if (got < 12 + 5)
		return;
	dns->questions++;
	if (memcmp(p, "\6silent\4test", 12) == 0)
		return;
	found = fake_dns_numbers(p, m + got, numbers, &n);
	while (p < m + got && *p != 0)
		p += 1 + *p;
	p += 5; /* the root label, type and class end the question */
	if (p > m + got || m[5] != 1)
		return;

	/* Header: an answer, recursion available, the name exists or not; the question stays,
	 * additional records go. */
	m[2] = 0x81;
	m[3] = found ? 0x80 : 0x83;
	memset(m + 6, 0, 6);
	if (found && p[-3] == 1) /* type A */
	{
		m[7] = (uint8_t) (n / 4);
		for (int i = 0; i < n; i += 4)
		{
			memcpy(p, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4", 12);
			memcpy(p + 12, numbers + i, 4);
			p += 16;
		}
	}
	sendto(dns->fd, m, (size_t) (p - m), 0, (struct sockaddr *) &from, from_len);
}

static inline void
fake_dns_start(struct fake_dns *dns, struct loop *loop)
{
	static const char text[] = "nameserver 127.0.0.1\noptions retrans:100 retry:2\n";
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int conf_fd;

	memset(dns, 0, sizeof(*dns));
	dns->loop = loop;
	dns->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(dns->fd >= 0);
	assert_int_equal(bind(dns->fd, (struct sockaddr *) &sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(dns->fd, (struct sockaddr *) &sin, &len), 0);
	fake_dns_port = ntohs(sin.sin_port);

	strcpy(dns->conf, "/tmp/fake_dns.XXXXXX");
	conf_fd = mkstemp(dns->conf);
	assert_true(conf_fd >= 0);
	assert_int_equal(write(conf_fd, text, sizeof(text) - 1), (ssize_t) sizeof(text) - 1);
	close(conf_fd);
	resolve_set_conf(dns->conf);

	ev_io_init(&dns->io, fake_dns_answer, dns->fd, EV_READ);
	dns->io.data = dns;
	ev_io_start(loop->ev, &dns->io);
}

static inline void
fake_dns_stop(struct fake_dns *dns)
{
	ev_io_stop(dns->loop->ev, &dns->io);
	close(dns->fd);
	unlink(dns->conf);
	resolve_set_conf(NULL);
	fake_dns_port = 0;
}

#endif
