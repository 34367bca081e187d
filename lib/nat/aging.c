/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "nat/deterministic.h"
#include "nat/nat.h"

#define LEASES_SHARE 32 /* a lease lasts long: so few are looked at for so many flows */

enum tcp_phase { TCP_OPENING, TCP_ESTABLISHED, TCP_CLOSING };

static enum tcp_phase
tcp_phase(const struct spinat_flow *f)
{
	const uint8_t fins = SPINAT_TCP_FIN_OUT | SPINAT_TCP_FIN_IN;
	const uint8_t state = __atomic_load_n(&f->state, __ATOMIC_RELAXED);

	if (state & SPINAT_TCP_RST || (state & fins) == fins)
		return TCP_CLOSING;
	return state & SPINAT_TCP_ESTABLISHED ? TCP_ESTABLISHED : TCP_OPENING;
}

uint32_t
spinat_flow_timeout(const struct spinat_conf *conf, const struct spinat_flow *f)
{
	switch (f->proto) {
	case IPPROTO_UDP:
		return f->remote_port == RTE_BE16(SPINAT_NATT_PORT) ||
				       f->new_port[SPINAT_IN] == RTE_BE16(SPINAT_NATT_PORT)
			       ? conf->timeouts.natt
			       : conf->timeouts.udp;
	case IPPROTO_TCP:
		switch (tcp_phase(f)) {
		case TCP_OPENING:
			return conf->timeouts.tcp_opening;
		case TCP_ESTABLISHED:
			return conf->timeouts.tcp_established;
		case TCP_CLOSING:
			return conf->timeouts.tcp_closing;
		}
		return conf->timeouts.other;
	case IPPROTO_ICMP:
		return conf->timeouts.icmp;
	case IPPROTO_ESP:
	case IPPROTO_AH:
		return conf->timeouts.esp;
	default:
		return conf->timeouts.other;
	}
}

const char *
spinat_flow_state(const struct spinat_flow *f)
{
	static const char *const tcp[] = {
		[TCP_OPENING] = "opening",
		[TCP_ESTABLISHED] = "established",
		[TCP_CLOSING] = "closing",
	};

	if (f->proto == IPPROTO_TCP && f->type == SPINAT_FLOW_SESSION)
		return tcp[tcp_phase(f)];
	return f->type == SPINAT_FLOW_STATIC ? "static" : "open";
}

bool
spinat_flow_permitted(const struct spinat_conf *conf, const struct spinat_flow *f)
{
	const rte_be32_t outside = f->new_addr[SPINAT_OUT], inside = f->new_addr[SPINAT_IN];
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, outside);
	const struct spinat_redirect_conf *r;

	if (o == NULL || f->realm >= conf->n_realms ||
		spinat_conf_exempt(conf, f->realm, inside, f->remote_addr))
		return false;
	if (f->type == SPINAT_FLOW_SESSION)
		return o->kinds & SPINAT_OUTSIDE_POOL && !(o->kinds & SPINAT_OUTSIDE_STATIC) &&
		       o->realm == f->realm &&
		       (!(o->kinds & SPINAT_OUTSIDE_DETERMINISTIC) ||
			       spinat_deterministic_host(conf, o, f->new_port[SPINAT_OUT]) ==
				       inside) &&
		       spinat_conf_redirect(conf, outside, f->proto, f->new_port[SPINAT_OUT]) ==
			       NULL;
	if (o->kinds & SPINAT_OUTSIDE_STATIC)
		return o->inside == inside && o->realm == f->realm;
	r = spinat_conf_redirect(conf, outside, f->proto, f->new_port[SPINAT_OUT]);
	return r != NULL && r->inside == inside && r->realm == f->realm &&
	       spinat_redirect_inside_port(r, f->new_port[SPINAT_OUT]) == f->new_port[SPINAT_IN];
}

/* The filtering, refresh and hairpin decisions are copied into a flow: renew them. */
static void
renew(const struct spinat_conf *conf, struct spinat_flow *f)
{
	uint8_t flags = f->flags & ~(SPINAT_FLOW_IN_REFRESH | SPINAT_FLOW_HAIRPIN);

	if (conf->realms[f->realm].inbound_refresh)
		flags |= SPINAT_FLOW_IN_REFRESH;
	if (spinat_conf_outside(conf, f->remote_addr) != NULL)
		flags |= SPINAT_FLOW_HAIRPIN;
	__atomic_store_n(&f->flags, flags, __ATOMIC_RELAXED);
}

/* Whether a flow has to end now. One that stays is brought up to date where it is validated. */
static bool
has_to_end(const struct spinat_conf *conf, struct spinat_flow *f, uint32_t now_s, bool validate,
	bool *expired)
{
	/* the clock of another worker may be a second ahead */
	const int32_t idle = now_s - __atomic_load_n(&f->last_seen, __ATOMIC_RELAXED);

	if (f->type == SPINAT_FLOW_FREE || f->type == SPINAT_FLOW_SHORTCUT)
		return false;
	*expired = idle >= (int32_t)spinat_flow_timeout(conf, f);
	if (*expired)
		return true;
	if (!validate)
		return false;
	if (!spinat_flow_permitted(conf, f))
		return true;
	renew(conf, f);
	return false;
}

/* Brings nearer what ending some flows reads: of each some lines all over memory. */
static void
look_ahead(const struct spinat_nat *nat, struct spinat_flow *const *flows, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		spinat_table_prefetch(nat->table, flows[i]);
		if (flows[i]->type == SPINAT_FLOW_SESSION)
			spinat_mapping_prefetch(nat->mappings, flows[i]->mapping);
	}
	for (unsigned int i = 0; i < n; i++)
		if (flows[i]->type == SPINAT_FLOW_SESSION)
			spinat_mapping_prefetch_keys(nat->mappings, flows[i]->mapping);
}

/* Looks at the next flows, as many as are ended together at most. */
static void
sweep(struct spinat_nat *nat, const struct spinat_conf *conf, uint32_t now_s, unsigned int n)
{
	struct spinat_table *t = nat->table;
	struct spinat_flow *flows[SPINAT_AHEAD_MAX];
	bool expired[SPINAT_AHEAD_MAX];
	unsigned int ended = 0;

	for (; n > 0; n--) {
		if (nat->sweep_at >= t->high)
			nat->sweep_at = 0;
		flows[ended] = &t->flows[nat->sweep_at++];
		ended += has_to_end(
			conf, flows[ended], now_s, nat->validate_left > 0, &expired[ended]);
		if (nat->validate_left > 0)
			nat->validate_left--;
	}
	look_ahead(nat, flows, ended);
	for (unsigned int i = 0; i < ended; i++) {
		/* a small table comes round within one sweep */
		if (flows[i]->type == SPINAT_FLOW_FREE || spinat_nat_remove(nat, flows[i]) != 0)
			continue;
		nat->expired += expired[i];
		nat->closed += !expired[i];
	}
}

void
spinat_nat_sweep(
	struct spinat_nat *nat, const struct spinat_conf *conf, uint32_t now_s, unsigned int budget)
{
	struct spinat_table *t = nat->table;

	spinat_table_reclaim(t, budget);
	spinat_mappings_tick(nat->mappings, nat->pools, conf, now_s, budget);
	spinat_leases_sweep(nat->leases, now_s, budget / LEASES_SHARE);
	if (nat->generation != conf->generation) {
		nat->generation = conf->generation;
		spinat_recorder_update(&nat->recorder, conf);
		nat->validate_left = t->high;
	}
	while (budget > 0 && t->high > 0) {
		const unsigned int n = RTE_MIN(budget, (unsigned int)SPINAT_AHEAD_MAX);

		sweep(nat, conf, now_s, n);
		budget -= n;
	}
}
