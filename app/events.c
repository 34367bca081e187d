/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>

#include <rte_hash.h>
#include <rte_jhash.h>

#include "events.h"
#include "log.h"

#define REJECTED_CLIENTS 1024 /* AH clients that are remembered as logged */
#define EXHAUSTED_CLIENTS \
	256 /* the same of clients that got no state; half as many lines a minute */
#define EXHAUSTED_MS 60000 /* until a client is logged again */
/* Lines about ambiguous SPIs and ports of IKE: so many at once, and one more a second. */
#define AMBIGUOUS_LINES 10

struct spinat_events {
	struct spinat_engine *engine;
	struct rte_hash *rejected; /* (client, realm) whose AH refusal has been logged */
	struct rte_hash *exhausted; /* (client, realm and reason) logged since exhausted_ms */
	uint64_t exhausted_ms;
	uint64_t exhausted_unsaid; /* events since then that made no line for want of room */
	uint64_t lines_ms; /* lines that may be written, as time: a second each */
	uint64_t left_out; /* since the last line */
};

/* What has been logged: two words of an event. */
static struct rte_hash *
remembered(const char *name, uint32_t entries)
{
	const struct rte_hash_parameters params = {
		.name = name,
		.entries = entries,
		.key_len = 2 * sizeof(uint32_t),
		.hash_func = rte_jhash,
		.socket_id = SOCKET_ID_ANY,
	};

	return rte_hash_create(&params);
}

struct spinat_events *
spinat_events_create(struct spinat_engine *e)
{
	struct spinat_events *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->engine = e;
	v->rejected = remembered("ah_rejected", REJECTED_CLIENTS);
	v->exhausted = remembered("exhausted", EXHAUSTED_CLIENTS);
	if (v->rejected == NULL || v->exhausted == NULL) {
		spinat_events_free(v);
		return NULL;
	}
	return v;
}

void
spinat_events_free(struct spinat_events *v)
{
	if (v == NULL)
		return;
	rte_hash_free(v->exhausted);
	rte_hash_free(v->rejected);
	free(v);
}

/* Once per client; when too many have been logged, they may be logged again. */
static void
log_ah_rejected(struct spinat_events *v, const struct spinat_event *event)
{
	const uint32_t key[2] = {event->ah_rejected.client, event->ah_rejected.realm};
	char client[INET_ADDRSTRLEN], remote[INET_ADDRSTRLEN];

	if (rte_hash_lookup(v->rejected, key) >= 0)
		return;
	if (rte_hash_count(v->rejected) >= REJECTED_CLIENTS / 2)
		rte_hash_reset(v->rejected);
	rte_hash_add_key(v->rejected, key);
	inet_ntop(AF_INET, &event->ah_rejected.client, client, sizeof(client));
	inet_ntop(AF_INET, &event->ah_rejected.remote, remote, sizeof(remote));
	LOG(WARNING,
		"event=ah_rejected realm=%u client=%s remote=%s reason=\"AH protects the addresses "
		"that a NAT changes (RFC 3715 2.1 a): use ESP, or ESP in UDP; or set this realm's "
		"ah to 'exempt' and route it\"",
		event->ah_rejected.realm, client, remote);
}

/* Once a minute for each client and reason (RFC 6888 REQ-11 C), and no more lines than fit. */
static void
log_exhausted(
	struct spinat_events *v, const struct spinat_event *event, struct spinat_records *records)
{
	const rte_be32_t address = event->exhausted.client;
	const uint16_t realm = event->exhausted.realm, reason = event->exhausted.reason;
	const uint32_t key[2] = {address, (uint32_t)realm << 16 | reason};
	const rte_be32_t pool = spinat_nat_outside_of(v->engine->snapshot->conf, realm, address);
	char client[INET_ADDRSTRLEN], outside[INET_ADDRSTRLEN];

	if (rte_hash_lookup(v->exhausted, key) >= 0)
		return;
	if (rte_hash_count(v->exhausted) >= EXHAUSTED_CLIENTS / 2 ||
		rte_hash_add_key(v->exhausted, key) < 0) {
		v->exhausted_unsaid++;
		return;
	}
	inet_ntop(AF_INET, &address, client, sizeof(client));
	inet_ntop(AF_INET, &pool, outside, sizeof(outside));
	LOG(WARNING, "event=exhausted reason=%s realm=%u client=%s outside=%s text=\"%s\"",
		spinat_drop_info[reason].name, realm, client, outside,
		spinat_drop_info[reason].text);
	spinat_records_refused(records, event, pool);
}

/* Begins the next minute of log_exhausted. */
static void
forget_exhausted(struct spinat_events *v)
{
	const uint64_t now_ms = spinat_engine_now_ms(v->engine);

	if (now_ms - v->exhausted_ms < EXHAUSTED_MS)
		return;
	if (v->exhausted_unsaid > 0)
		LOG(WARNING, "event=exhausted reason=many unsaid=%" PRIu64, v->exhausted_unsaid);
	v->exhausted_ms = now_ms;
	v->exhausted_unsaid = 0;
	if (rte_hash_count(v->exhausted) > 0)
		rte_hash_reset(v->exhausted);
}

/* Whether one more line may be written now. */
static bool
may_log(struct spinat_events *v)
{
	const uint64_t now_ms = spinat_engine_now_ms(v->engine);
	const uint64_t full_ms = now_ms - AMBIGUOUS_LINES * UINT64_C(1000);

	v->lines_ms = RTE_MAX(v->lines_ms, full_ms);
	if (v->lines_ms + 1000 > now_ms) {
		v->left_out++;
		return false;
	}
	v->lines_ms += 1000;
	return true;
}

/* Once a gateway, as long as it is remembered. */
static void
log_ike_port(struct spinat_events *v, const struct spinat_event *event)
{
	char client[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];

	if (!may_log(v))
		return;
	inet_ntop(AF_INET, &event->ike_port.client, client, sizeof(client));
	inet_ntop(AF_INET, &event->ike_port.gateway, gateway, sizeof(gateway));
	LOG(NOTICE,
		"event=ike_port realm=%u gateway=%s client=%s port=500 left_out=%" PRIu64
		" reason=\"no answer to three messages from a translated port\"",
		event->ike_port.realm, gateway, client, v->left_out);
	v->left_out = 0;
}

static void
log_ambiguous(struct spinat_events *v, const struct spinat_ambiguous *a)
{
	char outside[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
	char names[SPINAT_AMBIGUOUS_NAMED * (INET_ADDRSTRLEN + 1)] = "";
	const unsigned int named = RTE_MIN(a->n_candidates, (uint8_t)SPINAT_AMBIGUOUS_NAMED);
	size_t len = 0;

	if (!may_log(v))
		return;
	inet_ntop(AF_INET, &a->outside, outside, sizeof(outside));
	inet_ntop(AF_INET, &a->gateway, gateway, sizeof(gateway));
	for (unsigned int i = 0; i < named; i++) {
		if (i > 0)
			names[len++] = ',';
		inet_ntop(AF_INET, &a->candidates[i], names + len, sizeof(names) - len);
		len += strlen(names + len);
	}
	LOG(WARNING,
		"event=spi_ambiguous realm=%u outside=%s gateway=%s spi=0x%08x n_candidates=%u "
		"candidates=%s left_out=%" PRIu64 " reason=\"no evidence tells whose it is\" "
		"decide=\"spinat-cli bind 0x%08x %s %s CLIENT\"",
		a->realm, outside, gateway, rte_be_to_cpu_32(a->spi), a->n_candidates, names,
		v->left_out, rte_be_to_cpu_32(a->spi), gateway, outside);
	v->left_out = 0;
}

void
spinat_events_serve(struct spinat_events *v, struct spinat_records *records)
{
	struct spinat_event event;

	forget_exhausted(v);
	for (int i = 0; i < SPINAT_BURST; i++) {
		if (rte_ring_sc_dequeue_elem(v->engine->events, &event, sizeof(event)) != 0)
			return;
		if (event.type == SPINAT_EVENT_AH_REJECTED)
			log_ah_rejected(v, &event);
		else if (event.type == SPINAT_EVENT_IKE_PORT)
			log_ike_port(v, &event);
		else if (event.type == SPINAT_EVENT_EXHAUSTED)
			log_exhausted(v, &event, records);
		else
			log_ambiguous(v, &event.ambiguous);
	}
}
