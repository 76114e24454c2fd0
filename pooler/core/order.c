/*
 * order.c - see order.h.
 */
#include "core/order.h"

#include <stdarg.h>
#include <stdio.h>

void
order_done(struct order *o)
{
	if (o != NULL)
		loop_post(o->from, &o->mail, o->answer);
}

void
order_failed(struct order *o, const char *sqlstate, const char *text, ...)
{
	va_list ap;

	if (o == NULL)
		return;
	o->sqlstate = sqlstate;
	va_start(ap, text);
	vsnprintf(o->text, sizeof(o->text), text, ap);
	va_end(ap);
	order_done(o);
}
