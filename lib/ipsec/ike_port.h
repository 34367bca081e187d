/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_IKE_PORT_H
#define SPINAT_IPSEC_IKE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "ipsec/ike.h"

/*
 * Source port policy "auto" of IKE: translated first, as any other UDP; where a gateway leaves the
 * first message of a negotiation and two retransmissions of it unanswered, it may insist on source
 * port 500, and gets that from then on. Each worker has one of these: the trials of the packets that
 * it polls, and what is remembered of the gateways that it owns.
 */

struct spinat_ike_ports;

/** Gateways that a worker remembers; the one that was not heard of for longest goes. */
#define SPINAT_IKE_GATEWAYS 4096
/** Seconds after which a gateway that nobody turns to is forgotten. */
#define SPINAT_IKE_FORGET_S (7 * 86400)

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_ike_ports *spinat_ike_ports_create(int socket_id);
void spinat_ike_ports_free(struct spinat_ike_ports *p);

/**
 * A message from a client goes out with a translated port. Its own worker only.
 *
 * @return true where it is the first message of a negotiation once more, and neither it nor two
 *         retransmissions have been answered: it should have port 500
 */
bool spinat_ike_ports_try(struct spinat_ike_ports *p, uint64_t now_ms, rte_be32_t client,
	rte_be32_t gateway, const struct spinat_ike_hdr *h);

/** The gateway gets port 500 from now on. Its owner only. @return false where it has before */
bool spinat_ike_ports_remember(struct spinat_ike_ports *p, rte_be32_t gateway, uint32_t now_s);

/** Whether that is so. Any worker; p is the one of the gateway's owner. */
bool spinat_ike_ports_has(const struct spinat_ike_ports *p, rte_be32_t gateway, uint32_t now_s);

#endif
