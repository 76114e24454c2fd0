/*
 * check.h - what a loaded file asks for that cannot be had: refused where neglect would be a hole
 * or silently wrong, else warned about.
 */
#ifndef PERFKIT_CONF_CHECK_H
#define PERFKIT_CONF_CHECK_H

#include <stdbool.h>

struct conf;
struct conf_error;
struct ini_place;

/*
 * Judges the options of the main section, and how clients may log in, once all files are read.
 * `places` has one entry per row of option_table: where the option was set last, with file NULL
 * when it was not. False with err filled in.
 */
bool check_options(const struct conf *c, const struct ini_place *places,
				   void (*warn)(void *arg, const char *text), void *arg, struct conf_error *err);

#endif
