/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_RECORDS_H
#define SPINAT_APP_RECORDS_H

#include "datapath/engine.h"

/* Records of sessions and port blocks, as lines of text in a file or as IPFIX. Control lcore only. */

struct spinat_records;

/**
 * Opens the file of the configuration, which may have none.
 *
 * @return NULL where the file can not be opened, with *err set, or without memory
 */
struct spinat_records *spinat_records_create(
	struct spinat_engine *e, struct spinat_conf_error *err);

/** Writes what is left and closes the file. */
void spinat_records_free(struct spinat_records *r);

/** Opens the file anew, for a program that has moved it away. Goes on with the old one if it can't. */
void spinat_records_reopen(struct spinat_records *r);

/** Writes what the workers have recorded, some of it. @return how many records */
unsigned int spinat_records_serve(struct spinat_records *r);

/** Writes that a client got no state, where that is wanted. @param outside its outside address */
void spinat_records_refused(
	struct spinat_records *r, const struct spinat_event *event, rte_be32_t outside);

#endif
