/*
 * welcome.c - see welcome.h.
 */
#include "core/welcome.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

struct welcome *
welcome_new(const struct params *params, const struct buf *messages)
{
	struct welcome *w = mem_zalloc(sizeof(*w) + buf_len(messages));

	for (int i = 0; i < PARAMS; i++)
		params_set(&w->params, i, params->value[i]);
	w->len = buf_len(messages);
	if (w->len > 0)
		memcpy(w->messages, buf_data(messages), w->len);
	return w;
}

void
welcome_free(struct welcome *w)
{
	if (w == NULL)
		return;
	params_fini(&w->params);
	free(w);
}

void
welcome_write(const struct welcome *w, const struct params *own, struct buf *out)
{
	const uint8_t *p = w->messages;
	size_t n = w->len;
	struct pgmsg m;

	while (n > 0 && pgmsg_peek(p, n, &m) == PGMSG_OK && m.whole)
	{
		int i = params_find((const char *) m.body);

		if (i >= 0 && own->value[i] != NULL)
		{
			uint8_t mem[PARAMS_MAX_VALUE + 64];
			struct pgwriter writer;

			pgw_init(&writer, mem, sizeof(mem));
			pgw_parameter_status(&writer, params_name(i), own->value[i]);
			buf_append(out, writer.mem, writer.len);
		}
		else
			buf_append(out, p, m.total);
		p += m.total;
		n -= m.total;
	}
}
