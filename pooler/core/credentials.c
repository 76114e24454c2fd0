/*
 * credentials.c - see credentials.h.
 */
#include "core/credentials.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/str.h"

void
credentials_init(struct credentials *c)
{
	memset(c, 0, sizeof(*c));
	lock_init(&c->lock);
}

void
credentials_fini(struct credentials *c)
{
	lock_fini(&c->lock);
	OPENSSL_cleanse(c, sizeof(*c));
}

void
credentials_set_keys(struct credentials *c, const uint8_t client_key[SCRAM_KEY_LEN],
					 const uint8_t server_key[SCRAM_KEY_LEN])
{
	lock_acquire(&c->lock);
	c->has_keys = true;
	memcpy(c->client_key, client_key, SCRAM_KEY_LEN);
	memcpy(c->server_key, server_key, SCRAM_KEY_LEN);
	OPENSSL_cleanse(c->password, sizeof(c->password));
	lock_release(&c->lock);
}

void
credentials_set_password(struct credentials *c, const char *password)
{
	lock_acquire(&c->lock);
	c->has_keys = false;
	OPENSSL_cleanse(c->client_key, sizeof(c->client_key));
	OPENSSL_cleanse(c->server_key, sizeof(c->server_key));
	/* One that does not fit is none. */
	if (!str_copy(c->password, sizeof(c->password), password))
		OPENSSL_cleanse(c->password, sizeof(c->password));
	lock_release(&c->lock);
}

void
credentials_get(struct credentials *c, struct credentials *out)
{
	lock_acquire(&c->lock);
	out->has_keys = c->has_keys;
	memcpy(out->client_key, c->client_key, SCRAM_KEY_LEN);
	memcpy(out->server_key, c->server_key, SCRAM_KEY_LEN);
	memcpy(out->password, c->password, sizeof(c->password));
	lock_release(&c->lock);
}
