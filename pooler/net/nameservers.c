/*
 * nameservers.c - see nameservers.h.
 */
#include "net/nameservers.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "net/peer_addr.h"

#define LINE_MAX_LEN 512

/* An address and its port, or none; false for anything else. `text` is changed. */
static bool
split(char *text, const char **addr, int64_t *port)
{
	struct peer_addr unused;
	char *end;

	*addr = text;
	*port = 0;
	if (*text == '[')
	{
		*addr = text + 1;
		end = strchr(text, ']');
		if (end == NULL)
			return false;
		*end++ = '\0';
		if (*end == ':' ? !str_to_int64(end + 1, 1, 65535, port) : *end != '\0')
			return false;
	}
	return peer_addr_literal(&unused, *addr, 0);
}

static void
append(const char *addr, int64_t port, char *out, size_t cap)
{
	size_t len = strlen(out);
	bool six = strchr(addr, ':') != NULL;
	char behind[16] = "";
	int n;

	if (port > 0)
		snprintf(behind, sizeof(behind), ":%d", (int) port);
	n = snprintf(out + len, cap - len, "%s%s%s%s%s", len > 0 ? "," : "", six ? "[" : "", addr,
				 six ? "]" : "", behind);
	/* Half an address would be another one. */
	if (n < 0 || (size_t) n >= cap - len)
		out[len] = '\0';
}

void
nameservers_line(const char *line, char *out, size_t cap, bool *has_port)
{
	static const char word[] = "nameserver";
	char copy[LINE_MAX_LEN];
	const char *addr;
	char *rest = NULL;
	char *text;
	int64_t port;

	if (!str_copy(copy, sizeof(copy), line))
		return;
	text = strtok_r(copy, " \t\r\n", &rest);
	if (text == NULL || strcmp(text, word) != 0)
		return;
	text = strtok_r(NULL, " \t\r\n", &rest);
	if (text == NULL || !split(text, &addr, &port))
		return;
	*has_port = *has_port || port > 0;
	append(addr, port, out, cap);
}

bool
nameservers_with_ports(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	char line[LINE_MAX_LEN];
	bool has_port = false;

	*out = '\0';
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL)
		nameservers_line(line, out, cap, &has_port);
	fclose(f);
	return has_port;
}
