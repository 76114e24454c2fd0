/*
 * tls_parts.h - what tls.c and tls_context.c share.
 */
#ifndef PERFKIT_NET_TLS_PARTS_H
#define PERFKIT_NET_TLS_PARTS_H

#include <openssl/ssl.h>

#include "net/tls.h"

#define TLS_PROTOCOL "postgresql" /* in ALPN */

struct tls_context
{
	SSL_CTX *ctx; /* connections hold references of their own */
	bool accepts;
	enum tls_verify verify;
	uint8_t fingerprint[TLS_FINGERPRINT]; /* of settings and files */
};

struct tls
{
	SSL *ssl;
	bool accepts;
	bool distrusted; /* TLS_VERIFY_ASK: the peer's certificate did not verify */
	bool broken;
	bool said_bye;
};

void tls_note_error(const char *text);

/* The cause that OpenSSL gives; empties its queue. */
const char *tls_library_error(void);

#endif
