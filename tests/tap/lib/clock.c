/*
 * clock.c - clocks that a test moves: preloaded into a server, it adds what stands in the file of
 * $PERFKIT_CLOCK to what the C library says.
 *
 * The file has two numbers of 64 bits, in microseconds: the first is for the clock on the wall, the
 * second for the one that only counts. A clock that is set moves the first; time that passes moves
 * both. The kernel knows nothing of it: naps and timers last as long as they do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S 1000000
#define NS_PER_US 1000

static const volatile int64_t still[2];
static const volatile int64_t *moved = still; /* wall, counting */

__attribute__((constructor)) static void
find_file(void)
{
	const char *path = getenv("PERFKIT_CLOCK");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(still), PROT_READ, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		moved = memory;
	(void) close(fd);
}

static int64_t
moved_by(clockid_t clock)
{
	switch (clock)
	{
		case CLOCK_REALTIME:
		case CLOCK_REALTIME_COARSE:
			return moved[0];
		case CLOCK_MONOTONIC:
		case CLOCK_MONOTONIC_RAW:
		case CLOCK_MONOTONIC_COARSE:
		case CLOCK_BOOTTIME:
			return moved[1];
		default: /* CPU time */
			return 0;
	}
}

int
clock_gettime(clockid_t clock, struct timespec *at)
{
	static int (*original)(clockid_t, struct timespec *);
	int64_t ns;
	int result;

	if (original == NULL)
		original = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = original(clock, at);
	if (result != 0)
		return result;
	ns = at->tv_nsec + moved_by(clock) % US_PER_S * NS_PER_US;
	at->tv_sec += moved_by(clock) / US_PER_S;
	if (ns < 0)
		at->tv_sec--;
	else if (ns >= US_PER_S * NS_PER_US)
		at->tv_sec++;
	at->tv_nsec = (ns + US_PER_S * NS_PER_US) % (US_PER_S * NS_PER_US);
	return 0;
}

int
gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / NS_PER_US;
	return 0;
}

time_t
time(time_t *at)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	if (at != NULL)
		*at = now.tv_sec;
	return now.tv_sec;
}
