/*
 * http.h - a small HTTP server on the main loop, for machines that ask how we are: GET and HEAD, no
 * bodies, answers that may come later.
 *
 *     accept -> libmicrohttpd reads the request -> ask(request) -> … -> http_answer()
 *
 * libmicrohttpd speaks HTTP, without a thread of its own: its epoll descriptor is watched by the
 * loop. It runs beside everything else of the main thread, which serves no client of PostgreSQL.
 *
 * It is asked by strangers: so many connections at once (HTTP_CONNECTIONS; more wait in the
 * kernel), so much memory for each (HTTP_REQUEST_MEMORY, more is answered with 431 or 413), and so
 * much time: a connection is cut when no request came, or no answer was taken, for as long as the
 * owner says.
 *
 * Main thread.
 */
#ifndef PERFKIT_NET_HTTP_H
#define PERFKIT_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_CONNECTIONS 32
#define HTTP_REQUEST_MEMORY 8192

struct http;
struct http_request;
struct loop;

/* A request for a path (without its query) has come; http_answer() is due, at once or later. */
typedef void (*http_ask)(struct http_request *q, const char *path, void *arg);

/* Listens; NULL with one line in error. timeout_us: see above. */
struct http *http_open(struct loop *loop, const char *address, int port, uint64_t timeout_us,
					   http_ask ask, void *arg, char *error, size_t cap);

void http_set_timeout(struct http *h, uint64_t timeout_us);

/* Those who wait for an answer hear 503, if they listen; what is answered later goes nowhere. Nulls
 * the pointer; NULL is allowed. */
void http_close(struct http **h);

/* A header of the request, valid until it is answered; NULL: it has none. */
const char *http_header(const struct http_request *q, const char *name);

/* The answer will be a refusal, and worth another try after so long. */
void http_retry_after(struct http_request *q, int seconds);

/* Once for each request, which is dead afterwards. The body is copied. */
void http_answer(struct http_request **q, int status, const char *type, const void *body, size_t n);

#endif
