/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_IPFIX_H
#define SPINAT_APP_IPFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nat/record.h"
#include "packet/drop.h"

/* IPFIX messages (RFC 7011) of NAT events (RFC 8158), made by libfixbuf. Control lcore only. */

#define SPINAT_IPFIX_MESSAGE 1400 /* bytes at most: a message over UDP should not be fragmented */
#define SPINAT_IPFIX_RECORDS 24 /* that fit into a message whatever they are */

/** A client that gets no state. */
struct spinat_refusal {
	rte_be32_t inside, outside;
	uint32_t limit; /* what has been reached; 0: no number */
	uint16_t realm;
	uint8_t proto;
	enum spinat_drop reason;
};

struct spinat_ipfix;

/** @return NULL without memory */
struct spinat_ipfix *spinat_ipfix_create(void);
void spinat_ipfix_free(struct spinat_ipfix *x);

/** Begins a transport session: sequence numbers start at 0, what was put and not ended is gone. */
bool spinat_ipfix_begin(struct spinat_ipfix *x);

/** Puts the templates into the message. */
bool spinat_ipfix_put_templates(struct spinat_ipfix *x);

/**
 * Puts a record into the message.
 *
 * @param time_ms since 1970
 * @param remote with the session's remote
 */
bool spinat_ipfix_put(
	struct spinat_ipfix *x, const struct spinat_record *record, uint64_t time_ms, bool remote);

/** Whether RFC 8158 has an event for a refusal. */
bool spinat_ipfix_knows(enum spinat_drop reason);

/** Puts a refusal into the message, one that there is an event for. */
bool spinat_ipfix_put_refusal(
	struct spinat_ipfix *x, const struct spinat_refusal *refusal, uint64_t time_ms);

/** Ends the message. @return it, valid until the next call; NULL on failure */
const uint8_t *spinat_ipfix_end(struct spinat_ipfix *x, size_t *len);

#endif
