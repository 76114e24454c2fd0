/*
 * order.h - what the console asks of the main thread, which alone changes how the process runs.
 *
 * The order travels there by mail, is carried out by core/housekeep and core/operate, and comes
 * back with its result: at once, when it is complete, or when another order has overtaken it.
 */
#ifndef PERFKIT_CORE_ORDER_H
#define PERFKIT_CORE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

#define ORDER_NAME_MAX 64
#define ORDER_VALUE_MAX 1024
#define ORDER_TEXT_MAX 1100

enum order_kind
{
	ORDER_DISABLE,
	ORDER_ENABLE,
	ORDER_KILL,
	ORDER_KILL_CLIENT,
	ORDER_PAUSE,
	ORDER_RECONNECT,
	ORDER_RELOAD,
	ORDER_RESUME,
	ORDER_SET,
	ORDER_SHUTDOWN,
	ORDER_SHUTDOWN_WAIT_FOR_SERVERS,
	ORDER_SHUTDOWN_WAIT_FOR_CLIENTS,
	ORDER_SUSPEND,
	ORDER_WAIT_CLOSE
};

struct order
{
	struct mail mail;
	struct list node; /* among those that wait: housekeep, operate */
	enum order_kind kind;
	char name[ORDER_NAME_MAX];   /* a database, "" for all; SET: the setting */
	char value[ORDER_VALUE_MAX]; /* SET */
	uint64_t client;             /* KILL_CLIENT: an id of SHOW CLIENTS … */
	uintptr_t pointer;           /* … or, if not 0, its ptr */
	uint64_t deadline_us;        /* SUSPEND: what is not sent by then is not waited for */
	struct loop *from;           /* where the answer goes */
	const char *sqlstate;        /* of the error; NULL: it was carried out */
	char text[ORDER_TEXT_MAX];
	char detail[ORDER_TEXT_MAX]; /* "": none */
	char notice[ORDER_TEXT_MAX]; /* of one that was carried out; "": none */
	void (*answer)(struct mail *mail);
	void *arg;
};

/* Sends it back. It belongs to who gave it from then on; NULL is an order that nobody waits for. */
void order_done(struct order *o);
void order_failed(struct order *o, const char *sqlstate, const char *text, ...)
	__attribute__((format(printf, 3, 4)));

#endif
