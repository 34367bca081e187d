/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_COLLECTOR_H
#define SPINAT_APP_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/conf.h"

/*
 * The way of IPFIX messages to a file or, over the kernel's own interfaces, to a collector. Nothing in
 * here waits for a collector. Control lcore only.
 */

struct spinat_collector;

/** @return NULL without memory */
struct spinat_collector *spinat_collector_create(const struct spinat_conf *conf);
void spinat_collector_free(struct spinat_collector *c);

/** Opens the file anew. Nothing for a collector. */
void spinat_collector_reopen(struct spinat_collector *c);

/** What a collector can take now. */
enum spinat_collector_state {
	SPINAT_COLLECTOR_AWAY, /* nothing: it is not there, or has not taken the last message yet */
	SPINAT_COLLECTOR_NEW, /* a message of a new transport session, with templates */
	SPINAT_COLLECTOR_STALE, /* a message with templates again (RFC 7011 8.4) */
	SPINAT_COLLECTOR_READY,
};

/** Connects where that is due, sends what is left of the last message, and says what comes next. */
enum spinat_collector_state spinat_collector_poll(struct spinat_collector *c, uint64_t now_ms);

/** Sends a message, when it is ready for one. @return 0, or a negative errno: it is lost */
int spinat_collector_send(struct spinat_collector *c, const uint8_t *message, size_t len);

/** Why it is away; 0 where nothing is wrong. */
int spinat_collector_error(const struct spinat_collector *c);

#endif
