/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/reader.h"

/*
 * A look at the text before libconfig reads it, for what libconfig gets wrong without a word: it cuts
 * numbers above 31 bits down to 32, ends strings at \x00, and ends the process when a file that it
 * includes cannot be read.
 */

#define INCLUDE_DEPTH_MAX 10 /* libconfig's own */

struct scan {
	FILE *f;
	const char *name; /* for errors: as given on the command line or after @include */
	const char *dir; /* what includes are relative to, or NULL */
	unsigned int line, depth;
	struct spinat_conf_error *err;
};

static int scan_file(const struct scan *from, const char *path, const char *name);

/* Where the problem is: a file of its own, or an @include on a line of another. */
static int
cannot_read(const struct scan *from, const char *name, const char *why)
{
	if (from->depth == 0)
		snprintf(from->err->text, sizeof(from->err->text), "%s: cannot be read: %s", name,
			why);
	else
		snprintf(from->err->text, sizeof(from->err->text),
			"%s:%u: @include: \"%.100s\" cannot be read: %s", from->name, from->line,
			name, why);
	return -EINVAL;
}

static int
take(struct scan *s)
{
	int c = getc(s->f);

	if (c == '\n')
		s->line++;
	return c;
}

static int
peek(struct scan *s)
{
	int c = getc(s->f);

	ungetc(c, s->f);
	return c;
}

static void
skip_line(struct scan *s)
{
	while (peek(s) != '\n' && peek(s) != EOF)
		take(s);
}

static void
skip_block(struct scan *s)
{
	int c, last = 0;

	for (c = take(s); c != EOF && !(last == '*' && c == '/'); c = take(s))
		last = c;
}

static void
skip_chars(struct scan *s, const char *chars)
{
	while (peek(s) > 0 && (isalnum(peek(s)) || strchr(chars, peek(s)) != NULL))
		take(s);
}

static int
scan_string(struct scan *s)
{
	int c;

	for (c = take(s); c != EOF && c != '"'; c = take(s)) {
		if (c != '\\')
			continue;
		c = take(s);
		if ((c == 'x' || c == 'X') && peek(s) == '0' && take(s) && peek(s) == '0') {
			snprintf(s->err->text, sizeof(s->err->text),
				"%s:%u: found \\x00, expected text without it", s->name, s->line);
			return -EINVAL;
		}
	}
	return 0;
}

/* Floating point, hexadecimal and 64-bit numbers are told apart later, by their type. */
static int
scan_number(struct scan *s, int first)
{
	char digits[24];
	size_t n = 0;

	digits[n++] = first;
	while (isdigit(peek(s)) && n < sizeof(digits) - 1)
		digits[n++] = take(s);
	digits[n] = '\0';
	if (peek(s) > 0 && strchr(".eExXL", peek(s)) != NULL) {
		skip_chars(s, ".+-");
		return 0;
	}
	if (strtoull(digits, NULL, 10) <= INT_MAX)
		return 0;
	snprintf(s->err->text, sizeof(s->err->text), "%s:%u: found %s, expected numbers up to %d",
		s->name, s->line, digits, INT_MAX);
	return -EINVAL;
}

/* After the @ of @include "name" */
static int
scan_include(struct scan *s)
{
	char name[SPINAT_PATH_LEN], path[2 * SPINAT_PATH_LEN];
	int c;
	size_t n = 0;

	skip_chars(s, " \t");
	if (peek(s) != '"')
		return 0;
	take(s);
	for (c = take(s); c != EOF && c != '"' && n < sizeof(name) - 1; c = take(s))
		name[n++] = c == '\\' ? take(s) : c;
	name[n] = '\0';
	if (s->depth > INCLUDE_DEPTH_MAX)
		return cannot_read(s, name, "@include nested too deep");
	snprintf(path, sizeof(path), "%s%s%s", s->dir != NULL ? s->dir : "",
		s->dir != NULL ? "/" : "", name);
	return scan_file(s, path, name);
}

static int
scan_token(struct scan *s, int c, bool first_on_line)
{
	if (c == '#' || (c == '/' && peek(s) == '/'))
		skip_line(s);
	else if (c == '/' && peek(s) == '*')
		skip_block(s);
	else if (c == '"')
		return scan_string(s);
	else if (c == '@' && first_on_line)
		return scan_include(s);
	else if (isdigit(c))
		return scan_number(s, c);
	else if (isalpha(c) || c == '*')
		skip_chars(s, "-_*");
	else if (c == '.')
		skip_chars(s, ".+-");
	return 0;
}

static int
scan_text(struct scan *s)
{
	bool first_on_line = true;
	int c;

	for (c = take(s); c != EOF; c = take(s)) {
		if (scan_token(s, c, first_on_line) != 0)
			return -EINVAL;
		first_on_line = c == '\n' || (first_on_line && (c == ' ' || c == '\t'));
	}
	return 0;
}

static int
scan_file(const struct scan *from, const char *path, const char *name)
{
	struct scan s = *from;
	struct stat st;
	int ret;

	s.f = fopen(path, "r");
	if (s.f == NULL)
		return cannot_read(from, name, strerror(errno));
	if (fstat(fileno(s.f), &st) != 0 || !S_ISREG(st.st_mode)) {
		fclose(s.f);
		return cannot_read(from, name, "not a regular file");
	}
	s.name = name;
	s.line = 1;
	s.depth++;
	ret = scan_text(&s);
	if (ret == 0 && ferror(s.f))
		ret = cannot_read(from, name, strerror(errno));
	fclose(s.f);
	return ret;
}

int
conf_scan(const char *path, const char *dir, struct spinat_conf_error *err)
{
	const struct scan s = {.dir = dir, .err = err};

	return scan_file(&s, path, path);
}
