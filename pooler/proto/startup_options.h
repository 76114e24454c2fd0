/*
 * startup_options.h - the startup parameter `options`: command-line arguments that set parameters.
 * Pure.
 *
 * Source: PostgreSQL's documentation of libpq's `options` and of the server's -c and --name=value.
 * Arguments are separated by white space; a backslash makes the character behind it part of the
 * argument, whatever it is.
 */
#ifndef PERFKIT_PROTO_STARTUP_OPTIONS_H
#define PERFKIT_PROTO_STARTUP_OPTIONS_H

#include <stddef.h>

#define STARTUP_OPTION_MAX 1024 /* bytes of one argument with its terminator */

enum startup_option
{
	STARTUP_OPTION_SET, /* name and value are there */
	STARTUP_OPTION_END,
	STARTUP_OPTION_BAD /* neither "-c name=value" nor "--name=value", or too long */
};

struct startup_setting
{
	char text[STARTUP_OPTION_MAX]; /* holds both */
	const char *name;              /* with underscores for its dashes, as PostgreSQL reads it */
	const char *value;
};

/* Reads the next setting at *p and moves *p behind it. */
enum startup_option startup_option_next(const char **p, struct startup_setting *out);

#endif
