/*
 * order.h - what the console asks of the main thread, which alone changes how the process runs.
 *
 * The order travels there by mail, is carried out by core/housekeep, and comes back with its
 * result.
 */
#ifndef PERFKIT_CORE_ORDER_H
#define PERFKIT_CORE_ORDER_H

#include <stdbool.h>

#include "net/loop.h"

#define ORDER_TEXT_MAX 1100

enum order_kind
{
	ORDER_RELOAD,
	ORDER_PAUSE,
	ORDER_RESUME,
	ORDER_SHUTDOWN,
	ORDER_SHUTDOWN_WAIT_FOR_SERVERS,
	ORDER_SHUTDOWN_WAIT_FOR_CLIENTS
};

struct order
{
	struct mail mail;
	struct list node; /* among those that wait: housekeep */
	enum order_kind kind;
	char database[64]; /* "" for all */
	struct loop *from; /* where the answer goes */
	bool failed;
	char text[ORDER_TEXT_MAX]; /* of the error */
	void (*answer)(struct mail *mail);
	void *arg;
};

#endif
