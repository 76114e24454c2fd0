/*
 * admin_parts.h - what the files behind admin.h share.
 */
#ifndef PERFKIT_CORE_ADMIN_PARTS_H
#define PERFKIT_CORE_ADMIN_PARTS_H

#include <stdbool.h>

#include "base/buf.h"

struct command;
struct pgw_error;
struct pgmsg;
struct session;

/* ---- admin_run.c ---- */

/* Runs a command, whose one answer is one of those below, now or later (session->busy is raised
 * until then). False: the session is gone. */
bool admin_run(struct session *s, const struct command *c);

/* The columns of the answer as rows_head() takes them; NULL: it has none. */
const char *admin_columns(const struct command *c);

/* ---- admin.c: how it is answered, by the protocol in use. False: the session is gone. ---- */

/* Bytes in front of the answer: a notice. */
bool admin_say(struct session *s, const void *p, size_t n);

/* A result set, from its RowDescription to its CommandComplete. */
bool admin_answer(struct session *s, const struct buf *answer);
bool admin_answer_tag(struct session *s, const char *tag);
bool admin_answer_error(struct session *s, const struct pgw_error *e);

/* An answer that came later is complete: the client may be read again, and what it has sent
 * meanwhile is worked off. */
void admin_go_on(struct session *s);

/* ---- admin_extended.c ---- */

/* A message of the extended protocol. False: the session is gone. */
bool admin_extended(struct session *s, const struct pgmsg *m);

/* The answer of the portal that runs. */
bool admin_portal_answered(struct session *s, const struct buf *answer);

#endif
