/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ipsec/binder_state.h"
#include "nat/restore.h"
#include "state/file.h"

#define ORDER 0x01020304u
#define ORDER_SWAPPED 0x04030201u

/* The line end in it is changed by what mistakes the file for text. */
static const char magic[8] = {'S', 'P', 'I', 'N', 'A', 'T', '\r', '\n'};

const uint32_t spinat_state_row_size[SPINAT_STATE_KINDS] = {
	[SPINAT_STATE_FLOWS] = sizeof(struct spinat_nat_row),
	[SPINAT_STATE_IKE] = sizeof(struct spinat_ike_sa_row),
	[SPINAT_STATE_SPIS] = sizeof(struct spinat_spi_row),
	[SPINAT_STATE_CREDITS] = sizeof(struct spinat_credit_row),
};

static uint64_t
clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The kernel's name for its present life; empty where it does not say. */
static void
boot_name(char name[SPINAT_STATE_BOOT_LEN])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(name, 0, SPINAT_STATE_BOOT_LEN);
	if (f == NULL)
		return;
	if (fgets(name, SPINAT_STATE_BOOT_LEN, f) == NULL)
		name[0] = '\0';
	fclose(f);
}

void
spinat_state_header_init(struct spinat_state_header *h, const char *name)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, magic, sizeof(h->magic));
	h->order = ORDER;
	h->version = SPINAT_STATE_VERSION;
	strncpy(h->name, name, sizeof(h->name) - 1);
	boot_name(h->boot);
	h->boot_ms = clock_ms(CLOCK_BOOTTIME);
	h->wall_ms = clock_ms(CLOCK_REALTIME);
	memcpy(h->row_size, spinat_state_row_size, sizeof(h->row_size));
}

uint64_t
spinat_state_since(const struct spinat_state_header *h)
{
	char boot[SPINAT_STATE_BOOT_LEN];
	uint64_t then = h->wall_ms, now = clock_ms(CLOCK_REALTIME);

	/* within one boot nobody can set the clock */
	boot_name(boot);
	if (boot[0] != '\0' && memcmp(boot, h->boot, sizeof(boot)) == 0) {
		then = h->boot_ms;
		now = clock_ms(CLOCK_BOOTTIME);
	}
	return now > then ? now - then : 0;
}

static int
fail(struct spinat_conf_error *err, const char *path, const char *what)
{
	int rc = -errno;

	snprintf(err->text, sizeof(err->text), "%s: %s: %s", path, what, strerror(-rc));
	return rc;
}

static int
digest(const uint8_t *data, size_t len, uint8_t out[SPINAT_STATE_DIGEST_LEN])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

/* --- writing -------------------------------------------------------------------------------------- */

static int
write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

/* The rename is on the disk only when its folder is. */
static int
sync_folder(const char *path, struct spinat_conf_error *err)
{
	char copy[SPINAT_PATH_LEN];
	const char *folder;
	int fd, rc = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(err, path, "the folder cannot be opened");
	if (fsync(fd) != 0)
		rc = fail(err, path, "the folder cannot be synced");
	close(fd);
	return rc;
}

static int
write_temporary(const char *path, const uint8_t *data, size_t len, struct spinat_conf_error *err)
{
	int fd, rc = 0;

	/* never into a file or a link that somebody else has put there */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(err, path, "cannot be created");
	if (write_all(fd, data, len) != 0)
		rc = fail(err, path, "cannot be written");
	else if (fsync(fd) != 0)
		rc = fail(err, path, "cannot be synced");
	if (close(fd) != 0 && rc == 0)
		rc = fail(err, path, "cannot be closed");
	return rc;
}

int
spinat_state_file_write(const char *path, uint8_t *data, struct spinat_conf_error *err)
{
	const size_t len = ((const struct spinat_state_header *)data)->length;
	char temporary[SPINAT_PATH_LEN];
	int rc;

	if (digest(data, len - SPINAT_STATE_DIGEST_LEN, data + len - SPINAT_STATE_DIGEST_LEN) !=
		0) {
		snprintf(err->text, sizeof(err->text), "%s: no SHA-256 to be had", path);
		return -ENOMEM;
	}
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	rc = write_temporary(temporary, data, len, err);
	if (rc == 0 && rename(temporary, path) != 0)
		rc = fail(err, path, "cannot be replaced");
	if (rc != 0) {
		unlink(temporary);
		return rc;
	}
	return sync_folder(path, err);
}

/* --- reading -------------------------------------------------------------------------------------- */

static int refuse(struct spinat_conf_error *err, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int
refuse(struct spinat_conf_error *err, const char *path, const char *fmt, ...)
{
	size_t size = sizeof(err->text), len;
	va_list ap;

	snprintf(err->text, size, "%s: found ", path);
	len = strlen(err->text);
	va_start(ap, fmt);
	vsnprintf(err->text + len, size - len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Everything but the digest, before memory is taken for it. */
static int
check_header(const char *path, const char *name, const struct spinat_state_header *h,
	uint64_t length, struct spinat_conf_error *err)
{
	uint64_t expected = sizeof(*h) + SPINAT_STATE_DIGEST_LEN;

	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return refuse(err, path, "other data, expected a checkpoint of spinat");
	if (h->order == ORDER_SWAPPED)
		return refuse(err, path,
			"a checkpoint of a machine with the other byte order, "
			"expected one of this machine's");
	if (h->version != SPINAT_STATE_VERSION)
		return refuse(err, path, "format version %" PRIu32 ", expected version %u",
			h->version, SPINAT_STATE_VERSION);
	if (h->order != ORDER ||
		memcmp(h->row_size, spinat_state_row_size, sizeof(h->row_size)) != 0)
		return refuse(err, path, "rows of another layout, expected that of this build");
	if (h->length != length)
		return refuse(err, path,
			"%" PRIu64 " bytes, expected the %" PRIu64
			" that its header gives: it was cut or added to",
			length, h->length);
	for (unsigned int k = 0; k < SPINAT_STATE_KINDS; k++)
		expected += (uint64_t)h->rows[k] * h->row_size[k];
	if (expected != length)
		return refuse(err, path, "%" PRIu64 " bytes, expected %" PRIu64 " for its rows",
			length, expected);
	if (strncmp(h->name, name, sizeof(h->name)) != 0)
		return refuse(err, path,
			"a checkpoint of instance \"%.31s\", expected one of \"%s\"", h->name,
			name);
	return 0;
}

static int
read_all(int fd, uint8_t *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n) {
		n = read(fd, data, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n == 0)
			errno = EIO; /* it shrank meanwhile */
		if (n < 0 || (n == 0 && errno == EIO))
			return -1;
	}
	return 0;
}

static int
check_digest(const char *path, const uint8_t *data, size_t len, struct spinat_conf_error *err)
{
	uint8_t sum[SPINAT_STATE_DIGEST_LEN];

	if (digest(data, len - sizeof(sum), sum) != 0)
		return refuse(err, path, "no SHA-256 to be had, expected one to check it with");
	if (memcmp(sum, data + len - sizeof(sum), sizeof(sum)) != 0)
		return refuse(err, path,
			"a wrong checksum, expected that of its content: it is "
			"damaged");
	return 0;
}

static int
read_image(int fd, const char *path, const char *name, struct spinat_state_image *image,
	struct spinat_conf_error *err)
{
	struct spinat_state_header h;
	struct stat st;
	uint8_t *data;
	int rc;

	if (fstat(fd, &st) != 0)
		return fail(err, path, "cannot be read");
	if (!S_ISREG(st.st_mode))
		return refuse(err, path, "no regular file, expected a checkpoint of spinat");
	if ((uint64_t)st.st_size < sizeof(h) + SPINAT_STATE_DIGEST_LEN)
		return refuse(err, path, "%" PRIu64 " bytes, expected %zu at least",
			(uint64_t)st.st_size, sizeof(h) + SPINAT_STATE_DIGEST_LEN);
	if (read_all(fd, (uint8_t *)&h, sizeof(h)) != 0)
		return fail(err, path, "cannot be read");
	rc = check_header(path, name, &h, (uint64_t)st.st_size, err);
	if (rc != 0)
		return rc;
	data = malloc(h.length);
	if (data == NULL)
		return fail(err, path, "no memory to read it");
	memcpy(data, &h, sizeof(h));
	if (read_all(fd, data + sizeof(h), h.length - sizeof(h)) != 0)
		rc = fail(err, path, "cannot be read");
	else
		rc = check_digest(path, data, h.length, err);
	if (rc != 0) {
		free(data);
		return rc;
	}
	image->header = (struct spinat_state_header *)data;
	data += sizeof(h);
	for (unsigned int k = 0; k < SPINAT_STATE_KINDS; k++) {
		image->rows[k] = data;
		data += (size_t)h.rows[k] * h.row_size[k];
	}
	return 0;
}

int
spinat_state_file_read(const char *path, const char *name, struct spinat_state_image *image,
	struct spinat_conf_error *err)
{
	/* what is no file must not keep the start waiting for a writer */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return fail(err, path, "cannot be opened");
	rc = read_image(fd, path, name, image, err);
	close(fd);
	return rc;
}

void
spinat_state_image_free(struct spinat_state_image *image)
{
	free(image->header);
	image->header = NULL;
}

int
spinat_state_file_put_aside(const char *path)
{
	char aside[SPINAT_PATH_LEN];
	struct stat st;

	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(aside, sizeof(aside), "%s.refused", path);
	return rename(path, aside) == 0 ? 0 : -errno;
}

int
spinat_state_check(const struct spinat_conf *conf, struct spinat_conf_error *err)
{
	const char *path = conf->checkpoint.file;
	char copy[SPINAT_PATH_LEN];
	const char *why = NULL;
	struct stat st;

	if (path[0] == '\0')
		return 0;
	snprintf(copy, sizeof(copy), "%s", path);
	if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) != 0)
		why = strerror(errno);
	else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		why = "this is no regular file";
	if (why == NULL)
		return 0;
	snprintf(err->text, sizeof(err->text),
		"%s:%d: checkpoint.file: found \"%.150s\", expected a file in a folder that can be "
		"written: %s",
		conf->path, conf->checkpoint.line, path, why);
	return -EACCES;
}
