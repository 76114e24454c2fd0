/*
 * greet_cancel.h - the part of greeting in which the client turns out to be a cancel request.
 */
#ifndef PERFKIT_CORE_GREET_CANCEL_H
#define PERFKIT_CORE_GREET_CANCEL_H

struct session;
struct startup;

/* The CancelRequest has come. The session ends when it has been carried out. */
void greet_cancel(struct session *s, const struct startup *packet);

#endif
