/*
 * unit.h - what every unit test includes: cmocka with the headers it wants in front of it.
 */
#ifndef PERFKIT_TEST_UNIT_H
#define PERFKIT_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
