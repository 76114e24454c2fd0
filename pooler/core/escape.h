/*
 * escape.h - names that others chose, as text of a format. What is not UTF-8 becomes U+FFFD, since
 * a name is whatever bytes the client sent.
 */
#ifndef PERFKIT_CORE_ESCAPE_H
#define PERFKIT_CORE_ESCAPE_H

struct buf;

/* As the inside of a JSON string (RFC 8259, section 7). */
void escape_json(struct buf *out, const char *text);

/* As the inside of a label's value in Prometheus's text and in OpenMetrics. */
void escape_label(struct buf *out, const char *text);

/* Appends a string. */
void escape_none(struct buf *out, const char *text);

#endif
