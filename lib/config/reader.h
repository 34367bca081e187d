/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_CONFIG_READER_H
#define SPINAT_CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libconfig.h>

#include "config/conf.h"

/*
 * Reads libconfig settings into structures by tables of fields. Within lib/config only. Every
 * function that can fail returns 0 or -EINVAL with the loader's error set.
 */

struct conf_loader;
struct conf_field;

/** Reads one value into the structure that out points to. */
typedef int (*conf_read_fn)(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);

struct conf_word {
	const char *word; /* NULL ends a list */
	uint64_t value;
};

/** One key of a group: how it is read, where it goes, what it may be. */
struct conf_field {
	const char *key;
	conf_read_fn read;
	size_t offset, size;
	bool required;
	bool has_default; /* numbers, truth values and words: def is stored when absent */
	uint64_t def, lo, hi; /* numbers; def also of truth values and words */
	const struct conf_word *words; /* what a word may be */
	const char *expected; /* anything else: what is accepted, as in "an IPv4 address" */
};

#define CONF_MEMBER(type, member) \
	.offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define CONF_NUMBER(type, member, key_, def_, lo_, hi_)                           \
	{                                                                         \
		.key = key_, .read = conf_read_number, CONF_MEMBER(type, member), \
		.has_default = true, .def = def_, .lo = lo_, .hi = hi_            \
	}
#define CONF_BOOL(type, member, key_, def_)                                     \
	{                                                                       \
		.key = key_, .read = conf_read_bool, CONF_MEMBER(type, member), \
		.has_default = true, .def = def_                                \
	}
#define CONF_WORD(type, member, key_, def_, words_)                             \
	{                                                                       \
		.key = key_, .read = conf_read_word, CONF_MEMBER(type, member), \
		.has_default = true, .def = def_, .words = words_               \
	}
#define CONF_VALUE(type, member, key_, read_, required_, expected_)                           \
	{                                                                                     \
		.key = key_, .read = read_, CONF_MEMBER(type, member), .required = required_, \
		.expected = expected_                                                         \
	}

/** A run of addresses (host order) or of other numbers that a setting claims for itself. */
struct conf_range {
	uint64_t first, last;
	bool pool; /* of a realm's pool */
	uint16_t realm; /* where pool */
	const config_setting_t *s;
};

/** State of one load. */
struct conf_loader {
	config_t cfg;
	struct spinat_conf *conf;
	struct spinat_conf_error *err;
	struct conf_range *pools; /* in the file's order */
	uint32_t n_pools;
	uint64_t n_pool_addrs;
	const config_setting_t *realm_settings[SPINAT_MAX_REALMS]; /* NULL: not listed */
};

/** Finds in a file and its includes what libconfig would take wrongly or end the process for. */
int conf_scan(const char *path, const char *dir, struct spinat_conf_error *err);

/** Parses a file: syntax only. On success the caller owes config_destroy(cfg). */
int conf_parse_file(const char *path, config_t *cfg, struct spinat_conf_error *err);

/** Sets the error to "file:line: key: text" of a setting. Returns -EINVAL. */
int conf_fail(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** Sets the error to "... found <the value>, expected <text>". Returns -EINVAL. */
int conf_expected(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** The same with what the field's table row accepts. */
int conf_expected_field(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f);

/** Sets the error where two settings collide: "found <the value>, expected <relation> <other's key>
 * <other's value> (file:line)". Returns -EINVAL. */
int conf_clash(struct conf_loader *l, const config_setting_t *s, const char *relation,
	const config_setting_t *other);

/** Sets the error to "out of memory". Returns -EINVAL. */
int conf_no_memory(struct conf_loader *l);

/** Stores the defaults of all fields that have one. */
void conf_set_defaults(const struct conf_field *fields, size_t n, void *out);

/** Reads a group: unknown keys, missing keys, then the fields in the order of the table. */
int conf_read_group(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *fields, size_t n, void *out);

/** Checks that a setting is a list or an array of at most max elements; returns how many, or
 * -EINVAL. */
int conf_list_len(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, uint32_t max);

/** The member of a setting, or the setting itself where it has none of this name. */
const config_setting_t *conf_at(const config_setting_t *s, const char *key);

/* Values of one kind each, for tables. */
int conf_read_number(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_bool(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_word(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
/** [A-Za-z0-9_-]{1,31} */
int conf_read_name(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
/** Printable text that fits the member. */
int conf_read_text(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
/** An address that a host can have. */
int conf_read_host(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
/** A prefix without host bits. */
int conf_read_network(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
/** A port number of 1 and more, stored in network byte order. */
int conf_read_port(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_mac(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);

#endif
