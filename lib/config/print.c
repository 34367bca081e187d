/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include <rte_log.h>

#include "config/conf.h"
#include "config/text.h"

/* A configuration in words, for people. */

static const char *const filtering_text[] = {
	[SPINAT_FILTER_ENDPOINT_INDEPENDENT] = "from anyone to a mapped endpoint",
	[SPINAT_FILTER_ADDRESS] = "from addresses that the inside host has sent to",
	[SPINAT_FILTER_ADDRESS_PORT] = "from endpoints that the inside host has sent to",
};
static const char *const ah_text[] = {
	[SPINAT_AH_REJECT] = "rejected",
	[SPINAT_AH_TRANSLATE] = "translated (the peer's check of addresses will fail)",
	[SPINAT_AH_EXEMPT] = "routed untranslated",
};
static const char *const ike_port_text[] = {
	[SPINAT_IKE_KEEP] = "kept at 500 for every client",
	[SPINAT_IKE_TRANSLATE] = "translated as other UDP",
	[SPINAT_IKE_AUTO] = "translated, or 500 for gateways that do not answer then",
};
static const char *const ambiguity_text[] = {
	[SPINAT_AMBIGUITY_FANOUT] = "copied to every candidate until it is settled",
	[SPINAT_AMBIGUITY_SERIALISE] = "avoided: one candidate negotiates at a time",
	[SPINAT_AMBIGUITY_NEWEST] = "given to the newest candidate",
	[SPINAT_AMBIGUITY_DROP] = "dropped",
};

static const char *
switched(bool on)
{
	return on ? "on" : "off";
}

static void
print_process(const struct spinat_conf *conf, FILE *out)
{
	fprintf(out, "Configuration %s: correct.\n\n", conf->path);
	fprintf(out, "Instance %s: %u worker%s, lcores %s, power %s, log level %s.\n", conf->name,
		conf->workers, conf->workers == 1 ? "" : "s",
		conf->lcores[0] != '\0' ? conf->lcores : "chosen at start",
		conf->idle_sleep ? "idle" : "poll",
		conf->log_level == RTE_LOG_DEBUG     ? "debug"
		: conf->log_level == RTE_LOG_INFO    ? "info"
		: conf->log_level == RTE_LOG_NOTICE  ? "notice"
		: conf->log_level == RTE_LOG_WARNING ? "warning"
						     : "error");
	fprintf(out, "Memory: %s, without them ",
		conf->hugepages ? "huge pages where they are free" : "no huge pages");
	if (conf->memory != 0)
		fprintf(out, "%u MiB.\n", conf->memory);
	else
		fprintf(out, "computed from the limits.\n");
	if (conf->checkpoint.file[0] != '\0')
		fprintf(out, "State survives a restart in %s, written every %u s.\n",
			conf->checkpoint.file, conf->checkpoint.interval);
	else
		fprintf(out, "State is lost at a restart: no checkpoint.\n");
	if (spinat_conf_records(conf))
		fprintf(out,
			"Records %s %s: sessions %s, port blocks %s, refusals %s, destinations "
			"%s.\n",
			conf->records.file[0] != '\0' ? "in" : "as IPFIX to",
			conf->records.file[0] != '\0' ? conf->records.file : conf->records.ipfix,
			switched(conf->records.sessions), switched(conf->records.blocks),
			switched(conf->records.refusals), switched(conf->records.destinations));
	fprintf(out, "Driver settings: %s", conf->drivers_dir);
	if (conf->n_drivers != 0)
		fprintf(out, ", changed for");
	for (uint32_t i = 0; i < conf->n_drivers; i++)
		fprintf(out, "%s %s", i == 0 ? "" : ",", conf->drivers[i].name);
	fprintf(out, ".\n");
}

static void
print_interfaces(const struct spinat_conf *conf, FILE *out)
{
	const struct spinat_iface_conf *iface;
	uint16_t i, a;

	fprintf(out, "\nInterfaces:\n");
	for (i = 0; i < conf->n_ifaces; i++) {
		iface = &conf->ifaces[i];
		fprintf(out, "  %s: ", iface->name);
		if (iface->role == SPINAT_OUTSIDE)
			fprintf(out, "outside");
		else
			fprintf(out, "inside, realm %u", iface->realm);
		fprintf(out, ", device %s, ", conf->devices[iface->device].args);
		if (iface->vlan != 0)
			fprintf(out, "VLAN %u, ", iface->vlan);
		fprintf(out, "MTU %u, addresses", iface->mtu);
		for (a = 0; a < iface->n_addrs; a++)
			fprintf(out, " %s", conf_prefix_text(&iface->addrs[a]).s);
		fprintf(out, "\n");
	}
}

static void
print_routes(const struct spinat_conf *conf, FILE *out)
{
	const struct spinat_route_conf *route;
	const struct spinat_neigh_conf *neigh;
	char mac[RTE_ETHER_ADDR_FMT_SIZE];
	uint32_t i;

	if (conf->n_routes != 0)
		fprintf(out, "\nRoutes:\n");
	for (i = 0; i < conf->n_routes; i++) {
		route = &conf->routes[i];
		fprintf(out, "  %s via %s on %s", conf_prefix_text(&route->to).s,
			conf_addr_text(route->via).s, conf->ifaces[route->iface].name);
		if (conf->ifaces[route->iface].role == SPINAT_INSIDE)
			fprintf(out, ", realm %u", route->realm);
		fprintf(out, "\n");
	}
	if (conf->n_neighs != 0)
		fprintf(out, "\nNeighbours that need no ARP:\n");
	for (i = 0; i < conf->n_neighs; i++) {
		neigh = &conf->neighs[i];
		rte_ether_format_addr(mac, sizeof(mac), &neigh->mac);
		fprintf(out, "  %s at %s on %s\n", conf_addr_text(neigh->addr).s, mac,
			conf->ifaces[neigh->iface].name);
	}
}

/* Neighbouring addresses as one run. */
static void
print_pool(const struct spinat_conf *conf, const struct spinat_realm_conf *realm, FILE *out)
{
	const rte_be32_t *addrs = &conf->pool_addrs[realm->first_addr];
	uint32_t i, first;

	fprintf(out, "    pool of %u:", realm->n_addrs);
	for (first = 0; first < realm->n_addrs; first = i) {
		for (i = first + 1;
			i < realm->n_addrs &&
			rte_be_to_cpu_32(addrs[i]) == rte_be_to_cpu_32(addrs[i - 1]) + 1;
			i++)
			;
		fprintf(out, " %s", conf_addr_text(addrs[first]).s);
		if (i > first + 1)
			fprintf(out, "-%s", conf_addr_text(addrs[i - 1]).s);
	}
	fprintf(out, ", ports %u-%u\n", conf->port_first, conf->port_last);
}

static const char *const mapping_text[] = {
	[SPINAT_MAP_ENDPOINT_INDEPENDENT] = "one for all remotes",
	[SPINAT_MAP_ADDRESS] = "one for each remote address",
	[SPINAT_MAP_ADDRESS_PORT] = "one for each remote endpoint",
};

static const char *const transport_text[] = {
	[SPINAT_UDP] = "UDP", [SPINAT_TCP] = "TCP", [SPINAT_ICMP] = "ICMP"};

static void
print_clients(const struct spinat_realm_conf *realm, FILE *out)
{
	unsigned int i;

	fprintf(out, "    mappings: %s; outside ports ", mapping_text[realm->mapping]);
	if (realm->port_allocation == SPINAT_PORTS_BLOCK)
		fprintf(out, "from up to %u blocks of %u a client\n", realm->client_blocks,
			realm->block_size);
	else if (realm->port_allocation == SPINAT_PORTS_DETERMINISTIC)
		fprintf(out, "by the host's number in %s, %u blocks of %u an address from %u on\n",
			conf_prefix_text(&realm->inside).s, realm->blocks, realm->block_size,
			realm->block_first);
	else
		fprintf(out, "from anywhere\n");
	if (!realm->port_preservation)
		fprintf(out, "    outside ports are random, not the client's own number\n");
	if (realm->client_sessions != 0)
		fprintf(out, "    a client has %u sessions at most\n", realm->client_sessions);
	if (realm->client_mappings != 0)
		fprintf(out, "    a client has %u mappings at most\n", realm->client_mappings);
	for (i = 0; i < SPINAT_TRANSPORTS; i++)
		if (realm->client_mappings_of[i] != 0)
			fprintf(out, "    a client has %u mappings of %s at most\n",
				realm->client_mappings_of[i], transport_text[i]);
	if (realm->client_rate != 0)
		fprintf(out, "    a client opens %u sessions a second at most\n",
			realm->client_rate);
}

static void
print_realm(const struct spinat_conf *conf, const struct spinat_realm_conf *realm, FILE *out)
{
	fprintf(out, "  realm %u:\n", realm->id);
	print_pool(conf, realm, out);
	fprintf(out, "    inbound packets pass %s, inbound refresh %s, hairpin %s\n",
		filtering_text[realm->filtering], switched(realm->inbound_refresh),
		switched(realm->hairpin));
	print_clients(realm, out);
	fprintf(out, "    TCP in the middle of a connection %s, an unsolicited SYN %s",
		realm->tcp_pickup ? "is picked up" : "is refused",
		realm->unsolicited_syn == SPINAT_SYN_DROP ? "gets no answer"
							  : "gets port unreachable after 6 s");
	if (realm->tcp_mss != 0)
		fprintf(out, ", MSS at most %u", realm->tcp_mss);
	fprintf(out, "\n");
	fprintf(out, "    IKE source port %s; AH %s\n", ike_port_text[realm->ike_port],
		ah_text[realm->ah]);
	fprintf(out, "    ESP without IKE %s; an ambiguous inbound SPI is %s\n",
		switched(realm->esp_without_ike), ambiguity_text[realm->ambiguity]);
	fprintf(out, "    IPsec that no binding claims ");
	if (realm->passthrough == SPINAT_PASS_HOST)
		fprintf(out, "goes to %s\n", conf_addr_text(realm->passthrough_host).s);
	else if (realm->passthrough == SPINAT_PASS_SOLE)
		fprintf(out, "goes to the only client that runs IKE\n");
	else
		fprintf(out, "is dropped\n");
}

static void
print_realms(const struct spinat_conf *conf, FILE *out)
{
	uint16_t i;

	fprintf(out, "\nTranslation:\n");
	for (i = 0; i < conf->n_realms; i++) {
		if (conf->realms[i].n_addrs != 0)
			print_realm(conf, &conf->realms[i], out);
	}
}

static void
print_redirect(const struct spinat_redirect_conf *rule, FILE *out)
{
	if (rule->proto == 0)
		fprintf(out, "  IPsec to %s goes to %s", conf_addr_text(rule->outside).s,
			conf_addr_text(rule->inside).s);
	else if (rule->n_ports == 0)
		fprintf(out, "  protocol %u to %s goes to %s", rule->proto,
			conf_addr_text(rule->outside).s, conf_addr_text(rule->inside).s);
	else if (rule->n_ports > 1)
		fprintf(out, "  %s to %s:%u-%u goes to %s from port %u on",
			rule->proto == IPPROTO_TCP ? "TCP" : "UDP", conf_addr_text(rule->outside).s,
			rte_be_to_cpu_16(rule->outside_port),
			rte_be_to_cpu_16(rule->outside_port) + rule->n_ports - 1,
			conf_addr_text(rule->inside).s, rte_be_to_cpu_16(rule->inside_port));
	else
		fprintf(out, "  %s to %s:%u goes to %s:%u",
			rule->proto == IPPROTO_TCP ? "TCP" : "UDP", conf_addr_text(rule->outside).s,
			rte_be_to_cpu_16(rule->outside_port), conf_addr_text(rule->inside).s,
			rte_be_to_cpu_16(rule->inside_port));
	fprintf(out, " of realm %u\n", rule->realm);
}

static void
print_rules(const struct spinat_conf *conf, FILE *out)
{
	const struct spinat_static_conf *rule;
	struct spinat_prefix inside, outside;
	uint32_t i;

	if (conf->n_statics != 0)
		fprintf(out, "\nStatic rules, any protocol, both directions:\n");
	for (i = 0; i < conf->n_statics; i++) {
		rule = &conf->statics[i];
		inside = (struct spinat_prefix){rule->inside, rule->len};
		outside = (struct spinat_prefix){rule->outside, rule->len};
		fprintf(out, "  %s of realm %u is %s\n", conf_prefix_text(&inside).s, rule->realm,
			conf_prefix_text(&outside).s);
	}
	if (conf->n_redirects != 0)
		fprintf(out, "\nRedirections:\n");
	for (i = 0; i < conf->n_redirects; i++)
		print_redirect(&conf->redirects[i], out);
	if (conf->n_exempts != 0)
		fprintf(out, "\nRouted untranslated, both directions:\n");
	for (i = 0; i < conf->n_exempts; i++)
		fprintf(out, "  %s of realm %u and %s\n",
			conf_prefix_text(&conf->exempts[i].from).s, conf->exempts[i].realm,
			conf_prefix_text(&conf->exempts[i].to).s);
}

void
spinat_conf_print(const struct spinat_conf *conf, FILE *out)
{
	print_process(conf, out);
	print_interfaces(conf, out);
	print_routes(conf, out);
	print_realms(conf, out);
	print_rules(conf, out);
	fprintf(out, "\nTimeouts, seconds:\n");
#define PRINT_TIMEOUT(member, key, def, lo, hi, text) \
	fprintf(out, "  %-16s %10u  %s\n", key, conf->timeouts.member, text);
	SPINAT_TIMEOUTS(PRINT_TIMEOUT)
#undef PRINT_TIMEOUT
	fprintf(out, "\nLimits:\n");
#define PRINT_LIMIT(member, key, def, lo, hi, text) \
	fprintf(out, "  %-16s %10u  %s\n", key, conf->limits.member, text);
	SPINAT_LIMITS(PRINT_LIMIT)
#undef PRINT_LIMIT
}
