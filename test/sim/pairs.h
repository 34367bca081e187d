/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_PAIRS_H
#define SPINAT_SIM_PAIRS_H

#include <sys/queue.h>

#include <rte_hash.h>

#include "box.h"

/* What both opponents remember: pairs of SPIs, and IKE SAs by the initiator's cookie. */

/** One client's SPIs with a gateway, the inbound or the outbound one perhaps not known yet. */
struct pair {
	TAILQ_ENTRY(pair) next; /* while open: oldest first */
	struct spinat_client client;
	rte_be32_t outside, gateway, so, si; /* SPI 0: not known */
	uint8_t proto;
	uint64_t last_ms;
	uint64_t packets;
};

TAILQ_HEAD(pair_list, pair);

struct pairs {
	struct rte_hash *out, *in, *ike;
	struct pair *all;
	uint32_t n, max;
	struct pair_list open; /* both opponents put here what has no inbound SPI */
	uint64_t bound;
};

bool pairs_create(struct pairs *ps, const struct spinat_conf *conf, uint64_t seed);
void pairs_free(struct pairs *ps);
struct pair *pairs_find_out(const struct pairs *ps, const struct spinat_ipsec_pkt *p);
struct pair *pairs_find_in(const struct pairs *ps, const struct spinat_ipsec_pkt *p);
/** A pair with neither SPI, open. NULL: table full. */
struct pair *pairs_add(struct pairs *ps, uint64_t now_ms, struct spinat_client client,
	rte_be32_t outside, rte_be32_t gateway);
void pairs_set_out(struct pairs *ps, struct pair *x, const struct spinat_ipsec_pkt *p);
/** Binds, and takes it from the open ones. */
void pairs_set_in(struct pairs *ps, struct pair *x, const struct spinat_ipsec_pkt *p);
/** Not open any more, whatever was seen of it. */
void pairs_close(struct pairs *ps, struct pair *x);
bool pairs_next(
	const struct pairs *ps, uint32_t *cursor, struct spinat_binding_row *row, const char *why);

/** IKE is translated by its initiator's cookie alone. */
void pairs_ike_out(struct pairs *ps, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d);
void pairs_ike_in(struct pairs *ps, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d);

#endif
