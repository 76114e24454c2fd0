/*
 * home.c - see home.h. There is no such connection yet, so nothing can be fetched.
 */
#include "core/home.h"

void
home_metrics(void (*answer)(void *arg, int http_status, const char *body, size_t n), void *arg,
			 bool openmetrics)
{
	static const char text[] = "no perfkit_dsn is set\n";

	(void) openmetrics;
	answer(arg, 503, text, sizeof(text) - 1);
}
