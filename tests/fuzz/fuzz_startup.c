/*
 * fuzz_startup.c - the first packet. Whatever it is, what is handed out lies within it, and waiting
 * for more bytes never changes an answer once given.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/startup.h"
#include "proto/startup_options.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const struct startup *s, const uint8_t *data, const char *text)
{
	const uint8_t *p = (const uint8_t *) text;

	CHECK(p >= data && p < data + s->total);
	CHECK(memchr(p, '\0', (size_t) (data + s->total - p)) != NULL);
}

/* Every value may be `options`: what is read of it lies within what was written, and it ends. */
static void
check_options(const char *options)
{
	const char *end = options + strlen(options);
	struct startup_setting one;

	while (startup_option_next(&options, &one) == STARTUP_OPTION_SET)
	{
		CHECK(one.name >= one.text && one.name[0] != '\0');
		CHECK(one.value > one.name && one.value + strlen(one.value) < one.text + sizeof(one.text));
		CHECK(options <= end);
	}
	CHECK(options <= end);
}

static void
check_protocol(const struct startup *s, const uint8_t *data)
{
	CHECK(s->major == 3);
	CHECK(s->n_params + s->n_pq_options <= STARTUP_MAX_PARAMS);
	for (uint32_t i = 0; i < s->n_params; i++)
	{
		check_text(s, data, s->params[i].name);
		check_text(s, data, s->params[i].value);
		CHECK(startup_param(s, s->params[i].name) != NULL);
		check_options(s->params[i].value);
	}
	for (uint32_t i = 0; i < s->n_pq_options; i++)
		check_text(s, data, s->pq_options[i]);
}

static void
check_cancel(const struct startup *s, const uint8_t *data)
{
	CHECK(s->cancel_key_len >= 4 && s->cancel_key_len <= STARTUP_MAX_CANCEL_KEY);
	CHECK(s->cancel_key + s->cancel_key_len == data + s->total);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct startup s;
	struct startup shorter;
	enum startup_kind kind = startup_parse(data, size, &s);
	size_t needed = s.total > 4 && kind != STARTUP_BAD ? s.total : 4;

	CHECK((kind == STARTUP_BAD) == (s.error != NULL));
	if (kind == STARTUP_NEED_MORE)
	{
		CHECK(size < STARTUP_MAX_LEN);
		return 0;
	}
	CHECK(needed <= size || kind == STARTUP_BAD);
	if (kind != STARTUP_BAD)
		CHECK(startup_parse(data, needed - 1, &shorter) == STARTUP_NEED_MORE);
	if (kind == STARTUP_PROTOCOL)
		check_protocol(&s, data);
	if (kind == STARTUP_CANCEL)
		check_cancel(&s, data);
	return 0;
}
