/*
 * sqlskim.h - can sqlscan() find anything in this text? Pure, a byte or so per instruction.
 *
 * Most texts hold nothing that changes what a session keeps, and it takes no lexer to see it:
 *
 *   K1  Whatever sqlscan() tells of begins with one of a few words at the beginning of a statement,
 *       or has "temp", "advisory" or "set_config" in it.
 *   K2  A statement begins at the beginning of the text or behind a semicolon, be it one in a
 * string or a comment.
 *
 * So "clean" is a proof and "not clean" none: sqlscan() has the last word. No text is remembered,
 * so one that is too long to be held is skimmed piece by piece as it streams by.
 */
#ifndef PERFKIT_PROTO_SQLSKIM_H
#define PERFKIT_PROTO_SQLSKIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQLSKIM_WORD 12 /* longer than every word of K1 */
#define SQLSKIM_TAIL 16 /* more than the neighbourhood of a word of K1 takes */

/* Between two pieces. */
struct sqlskim
{
	uint8_t at; /* enum place */
	bool suspicious;
	uint8_t word_len;
	uint8_t tail_len;
	char word[SQLSKIM_WORD]; /* as far as it has come */
	char tail[SQLSKIM_TAIL]; /* the last bytes of the piece before */
};

/* True: sqlscan() would tell of nothing, whatever standard_conforming_strings says. */
bool sqlskim_is_clean(const char *sql, size_t n);

/* The same for a text in pieces. */
void sqlskim_begin(struct sqlskim *s);
void sqlskim_piece(struct sqlskim *s, const char *sql, size_t n);
bool sqlskim_end(struct sqlskim *s);

#endif
