/*
 * tls.h - TLS over one non-blocking stream socket, and the contexts that it starts from. Knows
 * nothing of loops and of PostgreSQL, but for the protocol's name in ALPN.
 *
 * A context is what a configuration says: certificates, keys, what to trust, which versions. It
 * never changes, may be used by all threads, and may be freed while connections made from it live
 * on: that is how a RELOAD brings new certificates without touching anybody.
 *
 * A struct tls belongs to one connection and one thread at a time. It keeps no bytes that its owner
 * could have had: a record is read from the socket when it is asked for and handed out whole to who
 * offers TLS_RECORD_MAX bytes of room, so a socket that is not readable has nothing to tell, as
 * without TLS. That is worth the second recv() a record, since a connection can lie idle, be
 * watched by another loop and change its owner without anyone asking what its TLS still holds.
 *
 * SIGPIPE must be ignored by the process: OpenSSL writes with write(2).
 */
#ifndef PERFKIT_NET_TLS_H
#define PERFKIT_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_RECORD_MAX 16384
#define TLS_BINDING_MAX 64 /* longest digest of a certificate */
#define TLS_NAME_MAX 256   /* longest name in a certificate that is looked at */
#define TLS_DESCRIPTION_MAX 96
#define TLS_FINGERPRINT 32

struct tls;
struct tls_context;

/* What is asked of the other side's certificate. */
enum tls_verify
{
	TLS_VERIFY_NONE,
	TLS_VERIFY_ASK,   /* accepted whatever it is, or none; tls_peer_trusted() tells. For clients */
	TLS_VERIFY_CHAIN, /* signed by one of ca_file */
	TLS_VERIFY_NAME   /* and for the host that was asked for; of a client the same as CHAIN */
};

/* Texts as the configuration has them; "" or NULL is not set. */
struct tls_settings
{
	const char *prefix; /* of the options' names in errors: "client_tls" */
	bool accepts;       /* for connections that come in, else for those that are made */
	enum tls_verify verify;
	const char *ca_file; /* none, on connections that are made: what the system trusts */
	const char *cert_file;
	const char *key_file;
	const char *protocols;     /* see tls_context.c */
	const char *ciphers;       /* up to TLS 1.2 */
	const char *tls13_ciphers; /* none: the library's */
	const char *ecdhcurve;     /* accepts only, like the next */
	const char *dheparams;
};

/* NULL: error is one line that names the option. Reads files; asks for no passphrase. */
struct tls_context *tls_context_new(const struct tls_settings *s, char *error, size_t cap);
void tls_context_free(struct tls_context *c);

/* Whether both lead to the same connections: the same settings and the same contents of files. NULL
 * is TLS turned off. */
bool tls_context_same(const struct tls_context *a, const struct tls_context *b);

enum tls_io
{
	TLS_DONE,
	TLS_WANT_READ,  /* nothing there now */
	TLS_WANT_WRITE, /* the socket must take what is pending first */
	TLS_EOF,        /* the peer has closed, with or without saying so: PostgreSQL's protocol tells
					 * for itself what is cut off */
	TLS_BROKEN      /* tls_error() tells */
};

/* The socket stays the caller's and must outlive it. host: whom to expect (a name or an address),
 * for connections that are made. NULL: no memory. */
struct tls *tls_new(struct tls_context *c, int fd, const char *host);
void tls_free(struct tls *t);

/* A step of the handshake: DONE, WANT_READ, WANT_WRITE; all else is the end. */
enum tls_io tls_handshake(struct tls *t);

/* Reads what one record holds; room is at least TLS_RECORD_MAX. */
enum tls_io tls_read(struct tls *t, void *p, size_t room, size_t *n);

/* Writes at most a record. After WANT_WRITE the same bytes must be offered again, with or without
 * more behind them; they may have moved. */
enum tls_io tls_write(struct tls *t, const void *p, size_t n, size_t *written);

/* Says goodbye (close_notify), if it may be said. Does not wait for the answer. */
void tls_bye(struct tls *t);

/* Why the last call of this thread was BROKEN or failed; one line, without secrets. */
const char *tls_error(void);

/* ---- after the handshake ---- */

/* The application protocol "postgresql" has been agreed on. */
bool tls_agreed_on_protocol(const struct tls *t);

/* "TLSv1.3/TLS_AES_256_GCM_SHA384". */
void tls_describe(const struct tls *t, char *text, size_t cap);

/*
 * tls-server-end-point (RFC 5929 4): the digest of the server's certificate, ours or the peer's,
 * whoever is the server. Its length, or 0 where it is undefined, as for Ed25519.
 */
size_t tls_binding(const struct tls *t, uint8_t out[TLS_BINDING_MAX]);

/* The peer has shown a certificate, and it is signed by one of ca_file. */
bool tls_peer_trusted(const struct tls *t);

/* The common name in the peer's certificate; false when there is none that fits. */
bool tls_peer_common_name(const struct tls *t, char out[TLS_NAME_MAX]);

/* Whether the peer's certificate is for exactly this name: its common name or one of its
 * alternative DNS names. */
bool tls_peer_is_named(const struct tls *t, const char *name);

#endif
