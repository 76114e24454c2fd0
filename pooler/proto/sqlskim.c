/*
 * sqlskim.c - see sqlskim.h.
 *
 * Two passes over the bytes, neither of which looks at quotes: one for the beginnings of
 * statements, which jumps from semicolon to semicolon, and one for the words that count anywhere,
 * sixteen bytes at a time.
 */
#include "proto/sqlskim.h"

#include <string.h>

#include "proto/sqllex.h"

/* ---- words anywhere ---- */

typedef uint8_t lanes __attribute__((vector_size(16)));

/* Bytes that are looked at for the words that have their middle in sixteen of them. */
#define BLOCK (sizeof(lanes) + 2)

static lanes
load_lower(const char *p)
{
	lanes v;

	memcpy(&v, p, sizeof(v));
	return v | 0x20;
}

/* Whether "tem", "vis" or "fig" stands in the block: "temp", "advisory" or "set_config" may. */
static inline bool
block_hit(const char *p)
{
	lanes a = load_lower(p);
	lanes b = load_lower(p + 1);
	lanes c = load_lower(p + 2);
	lanes hit =
		(lanes) (((a == 't') & (b == 'e') & (c == 'm')) | ((a == 'v') & (b == 'i') & (c == 's')) |
				 ((a == 'f') & (b == 'i') & (c == 'g')));
	uint64_t half[2];

	memcpy(half, &hit, sizeof(half));
	return (half[0] | half[1]) != 0;
}

/* A stretch of the text that is looked at by itself. */
struct stretch
{
	const char *p;
	size_t n;
};

/* Whether this word, in lower case, begins `back` bytes in front of i. */
static bool
has(const struct stretch *t, size_t i, size_t back, const char *lower)
{
	size_t n = strlen(lower);

	if (i < back || t->n - (i - back) < n)
		return false;
	for (size_t k = 0; k < n; k++)
		if ((t->p[i - back + k] | 0x20) != (lower[k] | 0x20))
			return false;
	return true;
}

static bool
continues_word(const struct stretch *t, size_t i)
{
	return t->p[i] != '$' && sqllex_may_be(t->p[i], SQLLEX_LATER);
}

/* The "temp" at i is no part of another word, as in "attempt" and "template"; or that cannot be
 * told here. */
static bool
temp_counts(const struct stretch *t, size_t i)
{
	size_t behind = i + (has(t, i, 0, "temporary") ? 9 : 4);

	if (behind < t->n && continues_word(t, behind))
		return false;
	return i < 3 || !continues_word(t, i - 1) || has(t, i, 3, "pg_");
}

static bool
word_at(const struct stretch *t, size_t i)
{
	switch (t->p[i] | 0x20)
	{
		case 't':
			return has(t, i, 0, "temp") && temp_counts(t, i);
		case 'v':
			return has(t, i, 2, "advisory");
		case 'f':
			return has(t, i, 7, "set_config");
		default:
			return false;
	}
}

static __attribute__((noinline)) bool
look_closer(const struct stretch *t, size_t from)
{
	for (size_t i = from; i < from + sizeof(lanes) && i < t->n; i++)
		if (word_at(t, i))
			return true;
	return false;
}

static bool
words_anywhere(const char *p, size_t n)
{
	const struct stretch t = {.p = p, .n = n};
	size_t i = 0;

	if (n < BLOCK)
	{
		char whole[BLOCK] = "";

		memcpy(whole, p, n);
		return block_hit(whole) && look_closer(&t, 0);
	}
	for (; n - i >= BLOCK; i += sizeof(lanes))
		if (block_hit(p + i) && look_closer(&t, i))
			return true;
	/* The last block overlaps with the one before. */
	i = n - BLOCK;
	return block_hit(p + i) && look_closer(&t, i);
}

/* ---- the beginnings of statements ---- */

enum place
{
	INSIDE, /* a statement, or what may be one */
	FRONT,  /* nothing but blanks in front */
	WORD    /* in the first word */
};

static bool
is_word(const char *p, const char *lower, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] | 0x20) != lower[i])
			return false;
	return true;
}

/* K1, without those that sqlscan() follows for "temp" only. */
static bool
tells(const char *word, size_t n)
{
	static const char words[SQLSKIM_WORD][5][SQLSKIM_WORD] = {
		[3] = {"set"},
		[4] = {"drop", "load"},
		[5] = {"close", "reset"},
		[6] = {"create", "listen"},
		[7] = {"declare", "discard", "prepare", "release"},
		[8] = {"rollback", "unlisten"},
		[9] = {"savepoint"},
		[10] = {"deallocate"},
	};

	for (int i = 0; n < SQLSKIM_WORD && words[n][i][0] != '\0'; i++)
		if (is_word(word, words[n][i], n))
			return true;
	return false;
}

/* Keeps a word, or its beginning; one that is longer than any of K1 is as good as any other. */
static void
keep_word(struct sqlskim *s, const char *p, size_t n)
{
	size_t room = sizeof(s->word) - s->word_len;

	if (n > room)
		n = room;
	memcpy(s->word + s->word_len, p, n);
	s->word_len = (uint8_t) (s->word_len + n);
}

static const char *
read_word(struct sqlskim *s, const char *p, const char *end)
{
	const char *start = p;

	while (p < end && sqllex_may_be(*p, SQLLEX_LATER))
		p++;
	/* Another piece may follow, or this is one. */
	if (p == end || s->word_len > 0)
		keep_word(s, start, (size_t) (p - start));
	if (p == end)
		return p;
	s->suspicious =
		s->word_len > 0 ? tells(s->word, s->word_len) : tells(start, (size_t) (p - start));
	s->at = INSIDE;
	return p;
}

/* What may stand in front of a statement beside blanks needs the lexer. */
static const char *
read_front(struct sqlskim *s, const char *p, const char *end)
{
	while (p < end && sqllex_may_be(*p, SQLLEX_BLANK))
		p++;
	if (p == end)
		return p;
	s->word_len = 0;
	s->at = sqllex_may_be(*p, SQLLEX_FIRST) ? WORD : INSIDE;
	s->suspicious = *p == '-' || *p == '/';
	return p;
}

static void
statements(struct sqlskim *s, const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end && !s->suspicious)
	{
		if (s->at == WORD)
			p = read_word(s, p, end);
		else if (s->at == FRONT)
			p = read_front(s, p, end);
		else
		{
			p = memchr(p, ';', (size_t) (end - p));
			if (p == NULL)
				return;
			p++;
			s->at = FRONT;
		}
	}
}

/* ---- texts ---- */

void
sqlskim_begin(struct sqlskim *s)
{
	s->at = FRONT;
	s->suspicious = false;
	s->word_len = 0;
	s->tail_len = 0;
}

/* Words that begin in one piece and end in the next, with what stands around them. */
static bool
words_between(const struct sqlskim *s, const char *sql, size_t n)
{
	char joint[2 * SQLSKIM_TAIL];
	size_t head = n < SQLSKIM_TAIL ? n : SQLSKIM_TAIL;

	memcpy(joint, s->tail, s->tail_len);
	memcpy(joint + s->tail_len, sql, head);
	return words_anywhere(joint, s->tail_len + head);
}

static void
keep_tail(struct sqlskim *s, const char *sql, size_t n)
{
	size_t old = SQLSKIM_TAIL - (n < SQLSKIM_TAIL ? n : SQLSKIM_TAIL);

	if (old > s->tail_len)
		old = s->tail_len;
	memmove(s->tail, s->tail + s->tail_len - old, old);
	if (n > SQLSKIM_TAIL)
	{
		sql += n - SQLSKIM_TAIL;
		n = SQLSKIM_TAIL;
	}
	memcpy(s->tail + old, sql, n);
	s->tail_len = (uint8_t) (old + n);
}

void
sqlskim_piece(struct sqlskim *s, const char *sql, size_t n)
{
	if (s->suspicious)
		return;
	statements(s, sql, n);
	s->suspicious = s->suspicious || words_between(s, sql, n) || words_anywhere(sql, n);
	keep_tail(s, sql, n);
}

bool
sqlskim_end(struct sqlskim *s)
{
	if (s->at == WORD)
		s->suspicious = s->suspicious || tells(s->word, s->word_len);
	return !s->suspicious;
}

bool
sqlskim_is_clean(const char *sql, size_t n)
{
	struct sqlskim s;
	size_t blanks = 0;

	/* Comments in front are what some libraries put into every text. */
	if (n > 0 && (*sql == '/' || *sql == '-'))
		blanks = sqllex_blanks(sql, n);
	sqlskim_begin(&s);
	statements(&s, sql + blanks, n - blanks);
	return sqlskim_end(&s) && !words_anywhere(sql, n);
}
