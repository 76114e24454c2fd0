/*
 * base64.h - base64 with padding, as in SCRAM messages and password verifiers (RFC 4648, section
 * 4).
 */
#ifndef PERFKIT_BASE_BASE64_H
#define PERFKIT_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that n bytes take, without terminator. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_LEN(n) characters and a terminator. */
void base64_encode(const uint8_t *p, size_t n, char *out);

/*
 * Decodes n characters. Returns the number of bytes, or -1 when the text is not base64 (white
 * space, missing padding, unused bits that are not zero) or the bytes do not fit into cap.
 */
int base64_decode(const char *in, size_t n, uint8_t *out, size_t cap);

#endif
