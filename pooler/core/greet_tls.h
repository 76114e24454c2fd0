/*
 * greet_tls.h - the part of greeting in which a client asks for TLS, or begins with it.
 */
#ifndef PERFKIT_CORE_GREET_TLS_H
#define PERFKIT_CORE_GREET_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct session;

/* Whether an SSLRequest of this client is answered with 'S': not on a unix socket. */
bool greet_tls_offered(const struct session *s);

/* The SSLRequest has come with `behind` more bytes after it. The session's on_event goes on behind
 * the handshake, or the session has been ended. */
void greet_tls_answer(struct session *s, size_t behind);

/* Before the very first bytes are read. True: they begin a TLS handshake (or nothing can be told
 * yet), which takes its course as above. */
bool greet_tls_direct(struct session *s);

/* False: client_tls_sslmode asks for TLS, and the client came without; it has been told. */
bool greet_tls_enough(struct session *s);

#endif
