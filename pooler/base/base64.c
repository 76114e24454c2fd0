/*
 * base64.c - RFC 4648, section 4, strict.
 *
 * OpenSSL's decoder takes white space and returns padding as zero bytes; secrets that are compared
 * should have one spelling only.
 */
#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(const uint8_t *p, size_t n, char *out)
{
	while (n > 0)
	{
		size_t taken = n < 3 ? n : 3;
		uint32_t group = (uint32_t) p[0] << 16;

		if (n > 1)
			group |= (uint32_t) p[1] << 8;
		if (n > 2)
			group |= p[2];
		*out++ = digits[group >> 18];
		*out++ = digits[group >> 12 & 63];
		*out++ = n > 1 ? digits[group >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[group & 63] : '=';
		p += taken;
		n -= taken;
	}
	*out = '\0';
}

static int
digit_value(char c)
{
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int) (at - digits) : -1;
}

/* Decodes one group of four; returns its number of bytes, or -1. Unused bits must be zero. */
static int
decode_group(const char *in, uint8_t out[3])
{
	int bytes = in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
	uint32_t group = 0;

	for (int i = 0; i < 4; i++)
	{
		int value = i <= bytes ? digit_value(in[i]) : 0;

		if (value < 0)
			return -1;
		group = group << 6 | (uint32_t) value;
	}
	if ((group & (0xffffffu >> (8 * bytes))) != 0)
		return -1;
	out[0] = (uint8_t) (group >> 16);
	out[1] = (uint8_t) (group >> 8);
	out[2] = (uint8_t) group;
	return bytes;
}

int
base64_decode(const char *in, size_t n, uint8_t *out, size_t cap)
{
	size_t len = 0;

	if (n % 4 != 0)
		return -1;
	for (size_t i = 0; i < n; i += 4)
	{
		uint8_t group[3];
		int bytes = decode_group(in + i, group);

		if (bytes < 0 || (bytes < 3 && i + 4 < n) || len + (size_t) bytes > cap)
			return -1;
		memcpy(out + len, group, (size_t) bytes);
		len += (size_t) bytes;
	}
	return (int) len;
}
