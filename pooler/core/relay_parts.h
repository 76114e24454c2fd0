/*
 * relay_parts.h - what the two directions of the relay share: the way to the client.
 *
 * relay.c has what comes from the client, relay_server.c what comes from the server.
 */
#ifndef PERFKIT_CORE_RELAY_PARTS_H
#define PERFKIT_CORE_RELAY_PARTS_H

#include <stddef.h>
#include <stdint.h>

struct relay;

/*
 * Sends to the client. When it is lost, or is not to see more, what follows is framed all the same
 * and thrown away, so that the server's state stays known.
 */
void relay_to_client(struct relay *r, const void *p, size_t n);

/* [*start, end) of the server's bytes, behind the answers of ours that stand in front of them. */
void relay_pass_on(struct relay *r, const uint8_t **start, const uint8_t *end);

/* Takes in the requests that we answer ourselves and whose turn has come. */
void relay_answer_fakes(struct relay *r);

/* Sends their answers. */
void relay_send_fakes(struct relay *r);

#endif
