/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "config/reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 80 /* characters of a string that are shown */

/* Text is cut off where it does not fit: an error sentence has no more room either. */
struct text {
	char s[sizeof(((struct spinat_conf_error *)NULL)->text)];
	size_t len;
};

static void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
text_vadd(struct text *t, const char *fmt, va_list ap)
{
	int n = vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, ap);

	if (n > 0)
		t->len = RTE_MIN(t->len + n, sizeof(t->s) - 1);
}

static void
text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vadd(t, fmt, ap);
	va_end(ap);
}

/* "interfaces[0].vlan" */
static void
text_add_key(struct text *t, const config_setting_t *s)
{
	const config_setting_t *parent = config_setting_parent(s);

	if (parent == NULL)
		return;
	text_add_key(t, parent);
	if (config_setting_name(s) == NULL)
		text_add(t, "[%d]", config_setting_index(s));
	else
		text_add(t, "%s%s", config_setting_is_root(parent) ? "" : ".",
			config_setting_name(s));
}

static void
text_add_place(struct text *t, const config_setting_t *s)
{
	text_add(t, "%s", config_setting_source_file(s));
	if (!config_setting_is_root(s))
		text_add(t, ":%u", config_setting_source_line(s));
}

/* One line, and no more of it than leaves room to say what is wrong. */
static void
text_add_string(struct text *t, const char *s)
{
	size_t i;

	text_add(t, "\"");
	for (i = 0; s[i] != '\0' && i < VALUE_MAX; i++)
		text_add(t, "%c", isprint((unsigned char)s[i]) ? s[i] : '?');
	text_add(t, "%s\"", s[i] != '\0' ? "..." : "");
}

static void
text_add_value(struct text *t, const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (config_setting_get_format(s) == CONFIG_FORMAT_HEX)
			text_add(t, "0x%llx", (unsigned long long)config_setting_get_int64(s));
		else
			text_add(t, "%lld", config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_FLOAT:
		text_add(t, "%g", config_setting_get_float(s));
		break;
	case CONFIG_TYPE_BOOL:
		text_add(t, "%s", config_setting_get_bool(s) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING:
		text_add_string(t, config_setting_get_string(s));
		break;
	case CONFIG_TYPE_GROUP:
		text_add(t, "a group");
		break;
	case CONFIG_TYPE_ARRAY:
		text_add(t, "an array");
		break;
	default:
		text_add(t, "a list");
	}
}

static void
text_begin(struct text *t, const config_setting_t *s)
{
	t->len = 0;
	text_add_place(t, s);
	text_add(t, ": ");
	if (!config_setting_is_root(s)) {
		text_add_key(t, s);
		text_add(t, ": ");
	}
}

static int
fail(struct conf_loader *l, const struct text *t)
{
	memcpy(l->err->text, t->s, t->len + 1);
	return -EINVAL;
}

int
conf_fail(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
{
	struct text t;
	va_list ap;

	text_begin(&t, s);
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return fail(l, &t);
}

int
conf_expected(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
{
	struct text t;
	va_list ap;

	text_begin(&t, s);
	text_add(&t, "found ");
	text_add_value(&t, s);
	text_add(&t, ", expected ");
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return fail(l, &t);
}

static void
text_add_expected(struct text *t, const struct conf_field *f)
{
	const struct conf_word *w;

	if (f->words != NULL) {
		for (w = f->words; w->word != NULL; w++)
			text_add(t, "%s\"%s\"",
				w == f->words       ? ""
				: w[1].word == NULL ? " or "
						    : ", ",
				w->word);
	} else if (f->expected != NULL) {
		text_add(t, "%s", f->expected);
	} else if (f->read == conf_read_bool) {
		text_add(t, "true or false");
	} else {
		text_add(t, "a number from %llu to %llu", (unsigned long long)f->lo,
			(unsigned long long)f->hi);
	}
}

int
conf_expected_field(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f)
{
	struct text t;

	text_begin(&t, s);
	text_add(&t, "found ");
	text_add_value(&t, s);
	text_add(&t, ", expected ");
	text_add_expected(&t, f);
	return fail(l, &t);
}

int
conf_clash(struct conf_loader *l, const config_setting_t *s, const char *relation,
	const config_setting_t *other)
{
	struct text t;

	text_begin(&t, s);
	text_add(&t, "found ");
	text_add_value(&t, s);
	text_add(&t, ", expected %s ", relation);
	text_add_key(&t, other);
	text_add(&t, " ");
	text_add_value(&t, other);
	text_add(&t, " (");
	text_add_place(&t, other);
	text_add(&t, ")");
	return fail(l, &t);
}

int
conf_no_memory(struct conf_loader *l)
{
	snprintf(l->err->text, sizeof(l->err->text), "out of memory for the configuration");
	return -EINVAL;
}

static void
store(const struct conf_field *f, void *out, uint64_t value)
{
	uint8_t *p = (uint8_t *)out + f->offset;

	switch (f->size) {
	case 1:
		*p = value;
		break;
	case 2:
		*(uint16_t *)p = value;
		break;
	case 4:
		*(uint32_t *)p = value;
		break;
	default:
		*(uint64_t *)p = value;
	}
}

void
conf_set_defaults(const struct conf_field *fields, size_t n, void *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (fields[i].has_default)
			store(&fields[i], out, fields[i].def);
	}
}

static int
unknown_key(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *fields, size_t n)
{
	struct text t;
	size_t i;

	text_begin(&t, s);
	text_add(&t, "unknown key, expected one of ");
	for (i = 0; i < n; i++)
		text_add(&t, "%s%s", i == 0 ? "" : ", ", fields[i].key);
	return fail(l, &t);
}

static int
missing_key(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f)
{
	struct text t;

	t.len = 0;
	text_add_place(&t, s);
	text_add(&t, ": ");
	text_add_key(&t, s);
	text_add(
		&t, "%s%s: found nothing, expected ", config_setting_is_root(s) ? "" : ".", f->key);
	text_add_expected(&t, f);
	return fail(l, &t);
}

int
conf_read_group(struct conf_loader *l, const config_setting_t *s, const struct conf_field *fields,
	size_t n, void *out)
{
	const config_setting_t *member;
	size_t i, k;

	if (!config_setting_is_group(s))
		return conf_expected(l, s, "a group { key = value; ... }");
	for (i = 0; i < (size_t)config_setting_length(s); i++) {
		member = config_setting_get_elem(s, i);
		for (k = 0; k < n && strcmp(fields[k].key, config_setting_name(member)) != 0; k++)
			;
		if (k == n)
			return unknown_key(l, member, fields, n);
	}
	for (k = 0; k < n; k++) {
		member = config_setting_get_member(s, fields[k].key);
		if (member != NULL) {
			if (fields[k].read(l, member, &fields[k], out) != 0)
				return -EINVAL;
		} else if (fields[k].required) {
			return missing_key(l, s, &fields[k]);
		}
	}
	return 0;
}

int
conf_list_len(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, uint32_t max)
{
	if (!config_setting_is_list(s) && !config_setting_is_array(s))
		return conf_expected_field(l, s, f);
	if ((uint32_t)config_setting_length(s) > max)
		return conf_fail(l, s, "found %d elements, expected %u at most",
			config_setting_length(s), max);
	return config_setting_length(s);
}

const config_setting_t *
conf_at(const config_setting_t *s, const char *key)
{
	const config_setting_t *member = config_setting_get_member(s, key);

	return member != NULL ? member : s;
}

int
conf_read_number(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	long long value;

	if ((config_setting_type(s) != CONFIG_TYPE_INT &&
		    config_setting_type(s) != CONFIG_TYPE_INT64) ||
		config_setting_get_format(s) == CONFIG_FORMAT_HEX)
		return conf_expected_field(l, s, f);
	value = config_setting_get_int64(s);
	if (value < 0 || (uint64_t)value < f->lo || (uint64_t)value > f->hi)
		return conf_expected_field(l, s, f);
	store(f, out, value);
	return 0;
}

int
conf_read_bool(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return conf_expected_field(l, s, f);
	store(f, out, config_setting_get_bool(s));
	return 0;
}

int
conf_read_word(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	const struct conf_word *w;

	for (w = f->words; text != NULL && w->word != NULL; w++) {
		if (strcmp(text, w->word) == 0) {
			store(f, out, w->value);
			return 0;
		}
	}
	return conf_expected_field(l, s, f);
}
