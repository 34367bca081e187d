/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_common.h>
#include <rte_jhash.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "ipsec/ike_port.h"

#define WAYS 8
#define BUCKETS (SPINAT_IKE_GATEWAYS / WAYS)
#define TRIALS 1024 /* negotiations that have not been answered yet */
/* The first message and two retransmissions; the next one shows that nothing came back. */
#define UNANSWERED 3
/* What comes again sooner is a duplicate: no client gives up that fast. */
#define AGAIN_MS 100
/* And what comes later is a new try. */
#define LATE_MS 180000

struct trial {
	uint64_t init_spi; /* 0: free */
	uint64_t last_ms;
	rte_be32_t client, gateway;
	uint32_t length; /* IKEv2 answers a cookie or another group with a longer first message */
	uint32_t sent;
};

struct spinat_ike_ports {
	/* a cache line each: gateway in the upper half, second of the last use in the lower; 0: free */
	uint64_t gateways[BUCKETS][WAYS] __rte_cache_aligned;
	struct trial trials[TRIALS];
	uint32_t seed;
};

struct spinat_ike_ports *
spinat_ike_ports_create(int socket_id)
{
	struct spinat_ike_ports *p =
		rte_zmalloc_socket("ike_ports", sizeof(*p), RTE_CACHE_LINE_SIZE, socket_id);

	if (p != NULL)
		p->seed = (uint32_t)rte_rand();
	return p;
}

void
spinat_ike_ports_free(struct spinat_ike_ports *p)
{
	rte_free(p);
}

bool
spinat_ike_ports_try(struct spinat_ike_ports *p, uint64_t now_ms, rte_be32_t client,
	rte_be32_t gateway, const struct spinat_ike_hdr *h)
{
	const uint32_t hash = rte_jhash_3words(
		(uint32_t)h->init_spi, (uint32_t)(h->init_spi >> 32), client, p->seed);
	struct trial *t = &p->trials[hash % TRIALS];

	if (h->resp_spi != 0)
		return false;
	if (t->init_spi != h->init_spi || t->client != client || t->gateway != gateway ||
		t->length != h->length || now_ms - t->last_ms > LATE_MS) {
		*t = (struct trial){.init_spi = h->init_spi,
			.last_ms = now_ms,
			.client = client,
			.gateway = gateway,
			.length = h->length,
			.sent = 1};
		return false;
	}
	if (now_ms - t->last_ms < AGAIN_MS)
		return false;
	t->last_ms = now_ms;
	return t->sent++ >= UNANSWERED;
}

static uint32_t
bucket_of(const struct spinat_ike_ports *p, rte_be32_t gateway)
{
	return rte_jhash_1word(gateway, p->seed) % BUCKETS;
}

bool
spinat_ike_ports_remember(struct spinat_ike_ports *p, rte_be32_t gateway, uint32_t now_s)
{
	uint64_t *bucket = p->gateways[bucket_of(p, gateway)];
	unsigned int at = 0;
	bool known = false;

	for (unsigned int i = 0; i < WAYS && !known; i++) {
		known = bucket[i] >> 32 == gateway;
		if (known || (uint32_t)bucket[i] < (uint32_t)bucket[at])
			at = i;
	}
	__atomic_store_n(&bucket[at], (uint64_t)gateway << 32 | now_s, __ATOMIC_RELAXED);
	return !known;
}

bool
spinat_ike_ports_has(const struct spinat_ike_ports *p, rte_be32_t gateway, uint32_t now_s)
{
	const uint64_t *bucket = p->gateways[bucket_of(p, gateway)];

	for (unsigned int i = 0; i < WAYS; i++) {
		const uint64_t word = __atomic_load_n(&bucket[i], __ATOMIC_RELAXED);

		/* the clock of another worker may be a second ahead */
		if (word >> 32 == gateway)
			return (int32_t)(now_s - (uint32_t)word) < SPINAT_IKE_FORGET_S;
	}
	return false;
}
