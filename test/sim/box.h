/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_BOX_H
#define SPINAT_SIM_BOX_H

#include "ipsec/binder.h"

/** The world keeps packets for the box; see ipsec/binder.h. */
struct box_held_ops {
	void (*late)(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n);
	void (*forget)(void *ctx, uint32_t hold);
	void *ctx;
};

/*
 * The translator between the clients and the gateways: spinat's binder behind a flow table, or one
 * of its opponents. It is asked about every packet, as a data path would be, and speaks the words of
 * ipsec/binder.h.
 */
struct box_ops {
	/** NULL without memory. seed: same seed and packets, same decisions. held: told of packets that
	 * decisions want kept. */
	void *(*create)(
		const struct spinat_conf *conf, uint64_t seed, const struct box_held_ops *held);
	void (*free)(void *box);
	/** Takes over, as from a checkpoint, what the box before it knew. NULL: it keeps nothing. */
	void (*restore)(void *box, const void *before, uint64_t now_ms);
	void (*esp_out)(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
		struct spinat_ipsec_decision *d);
	void (*esp_in)(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
		struct spinat_ipsec_decision *d);
	void (*ike_out)(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
		const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d);
	void (*ike_in)(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
		const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d);
	/** IKE or ESP on UDP port 4500 goes by. NULL: makes no difference to it. */
	void (*udp_seen)(void *box, uint64_t now_ms, const struct spinat_udp_seen *seen);
	/** Who sent the packet that an ICMP error quotes? NULL: never known. */
	bool (*quoted)(void *box, const struct spinat_ipsec_pkt *p, uint64_t ike_init_spi,
		struct spinat_client *client);
	/** Ages; once every BOX_TICK_MS. NULL: nothing to do. */
	void (*tick)(void *box, uint64_t now_ms);
	/** Next binding at or after *cursor, as spinat_binder_next_binding(). */
	bool (*next)(void *box, uint32_t *cursor, struct spinat_binding_row *row);
	/** Another number than before whenever a binding may have been settled or reopened. */
	uint64_t (*changes)(void *box);
	/** Bindings in use now, both directions. */
	uint32_t (*bindings)(void *box);
};

#define BOX_TICK_MS 10

extern const struct box_ops box_binder, box_fifo, box_gate;

#endif
