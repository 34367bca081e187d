/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <check.h>

#include "config/conf.h"

/*
 * Runs in conf/, beside this file: bad/ has a file for every error, whose first line is the message;
 * good/ has files that load; drivers/ has settings of drivers.
 */

#define SOURCE_ROOT "../../.."

rte_be32_t addr(const char *text);

/** A whole file, to be freed. */
char *read_text(const char *path);

/** Loads a good file. */
struct spinat_conf *load(const char *path);

/** Loads a text that stands in no file; path is that of the file it stood in for a moment. */
struct spinat_conf *load_text(const char *text, size_t len, struct spinat_conf_error *err);

/** Calls a function for every file of a folder that ends so; returns how many there were. */
unsigned int each_file(const char *folder, const char *end, void (*call)(const char *path));

TCase *test_load(void);
TCase *test_outside(void);
TCase *test_drivers(void);
TCase *test_compatible(void);
TCase *test_words(void);

#endif
