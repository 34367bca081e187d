/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_STATE_FILE_H
#define SPINAT_STATE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "config/conf.h"

/*
 * The checkpoint's file: a header, the rows of each kind, a SHA-256 of all before it. It is written
 * and read by the machine that it is for, so numbers are in native order and rows are what they are
 * in memory; the header says enough to refuse what another machine or version wrote. A file is
 * taken whole or not at all. Needs no EAL; any thread.
 */

#define SPINAT_STATE_VERSION 2
#define SPINAT_STATE_DIGEST_LEN 32
#define SPINAT_STATE_BOOT_LEN 40

/** What a row is. Also the order in the file, and the order in which rows are restored. */
enum spinat_state_kind {
	SPINAT_STATE_FLOWS, /* struct spinat_nat_row */
	SPINAT_STATE_IKE, /* struct spinat_ike_sa_row */
	SPINAT_STATE_SPIS, /* struct spinat_spi_row */
	SPINAT_STATE_CREDITS, /* struct spinat_credit_row */
	SPINAT_STATE_KINDS
};

struct spinat_state_header {
	char magic[8];
	uint32_t order; /* 0x01020304: byte order */
	uint32_t version;
	uint64_t length; /* of the file */
	char name[SPINAT_NAME_LEN]; /* of the instance */
	char boot[SPINAT_STATE_BOOT_LEN]; /* of the kernel, as it names it */
	uint64_t boot_ms; /* since that boot, sleep included: when the rows were as they say */
	uint64_t wall_ms; /* the same by the calendar, since 1970 */
	uint32_t owner_seed; /* which worker owns which host */
	uint32_t workers;
	uint32_t rows[SPINAT_STATE_KINDS];
	uint32_t row_size[SPINAT_STATE_KINDS];
};

/** Bytes of a row, by kind. */
extern const uint32_t spinat_state_row_size[SPINAT_STATE_KINDS];

/** Fills in magic, version, layout, the instance's name and the time. */
void spinat_state_header_init(struct spinat_state_header *h, const char *name);

/** Milliseconds since a header was filled in, by whichever clock still counts; never negative. */
uint64_t spinat_state_since(const struct spinat_state_header *h);

/**
 * Writes a file in place of the one that is there: into a temporary one beside it, which is synced,
 * renamed, and its folder synced. Whatever happens, the old file or the new one is there.
 *
 * @param data header and rows, header.length set; room for the digest behind them
 * @param err  names the file, what failed and why
 * @return 0 or negative errno. Blocks.
 */
int spinat_state_file_write(const char *path, uint8_t *data, struct spinat_conf_error *err);

/** A file that has been read and found good. */
struct spinat_state_image {
	struct spinat_state_header *header;
	const uint8_t *rows[SPINAT_STATE_KINDS];
};

/**
 * Reads a file and checks all of it.
 *
 * @param name of the instance that asks
 * @param err  on failure one sentence: file, what was found, what is expected
 * @return 0; -ENOENT where there is none; another negative errno where it is refused
 */
int spinat_state_file_read(const char *path, const char *name, struct spinat_state_image *image,
	struct spinat_conf_error *err);
void spinat_state_image_free(struct spinat_state_image *image);

/** Moves a refused file out of the way of the next checkpoint, to be looked at: FILE.refused. What is
 * no regular file stays. @return 0 or negative errno */
int spinat_state_file_put_aside(const char *path);

/**
 * Whether a checkpoint could be written where the configuration wants it.
 *
 * @return 0, or negative errno with *err naming file:line, what was found, what is expected
 */
int spinat_state_check(const struct spinat_conf *conf, struct spinat_conf_error *err);

#endif
