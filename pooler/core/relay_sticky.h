/*
 * relay_sticky.h - the relay's part in what a client keeps in its session (core/sticky): requests
 * of ours that carry a tag of that file, and their answers.
 */
#ifndef PERFKIT_CORE_RELAY_STICKY_H
#define PERFKIT_CORE_RELAY_STICKY_H

#include <stdbool.h>
#include <stdint.h>

struct outgoing;
struct pgmsg;
struct pgwriter;
struct relay;
struct tx_reply;

/* In place of a message of this type, which the client may not send, the server gets one that must
 * fail (S5 of core/sticky.h). */
void relay_refuse(struct relay *r, uint8_t type, struct outgoing *out);

/* The error to that: writes what the client sees instead. */
bool relay_replace_refused(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply,
						   struct pgwriter *text);

/* Whether the oldest request is a question of ours about the client's state, and its answer: true
 * when it was one. */
bool relay_probes(const struct relay *r);
bool relay_probe_answer(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply);

/* What an answer of the client's says about its state (S2, S3). */
void relay_follow_state(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply);

#endif
