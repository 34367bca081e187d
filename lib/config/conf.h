/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_CONFIG_CONF_H
#define SPINAT_CONFIG_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_reciprocal.h>

/*
 * The configuration: libconfig text becomes one immutable, checked snapshot. The control lcore loads
 * and frees snapshots; workers read the current one through an RCU pointer; nobody writes it.
 * Needs no EAL. Addresses are in network byte order, times in seconds unless the name says else.
 */

#define SPINAT_MAX_WORKERS 16
#define SPINAT_MAX_DEVICES 16
#define SPINAT_MAX_IFACES 64
#define SPINAT_MAX_IFACE_ADDRS 8
#define SPINAT_MAX_REALMS 16
#define SPINAT_MAX_STATICS 4096
#define SPINAT_MAX_REDIRECTS 4096
#define SPINAT_MAX_EXEMPTS 256
#define SPINAT_MAX_POOL_ADDRS 65536
/* Pools, static rules and the box together: 1 Mi addresses, 32 MiB of lookup table. */
#define SPINAT_MAX_OUTSIDE_ADDRS (1u << 20)
#define SPINAT_CLIENT_BLOCKS_MAX 8
#define SPINAT_NAME_LEN 32
#define SPINAT_PATH_LEN 256
/* Of the checkpoint's file: with what is appended to it, the name still fits a path. */
#define SPINAT_STATE_PATH_LEN (SPINAT_PATH_LEN - 16)

enum spinat_role { SPINAT_INSIDE, SPINAT_OUTSIDE };

/* Endpoint filtering of inbound packets (RFC 4787 5). */
enum spinat_filtering {
	SPINAT_FILTER_ENDPOINT_INDEPENDENT,
	SPINAT_FILTER_ADDRESS, /* default */
	SPINAT_FILTER_ADDRESS_PORT,
};

/* What an inside endpoint's outside endpoint depends on (RFC 4787 4.1). */
enum spinat_mapping_mode {
	SPINAT_MAP_ENDPOINT_INDEPENDENT,
	SPINAT_MAP_ADDRESS,
	SPINAT_MAP_ADDRESS_PORT
};
/* Where the outside ports of a client come from. */
enum spinat_port_allocation {
	SPINAT_PORTS_ANY,
	SPINAT_PORTS_BLOCK, /* out of blocks that it has for itself */
	SPINAT_PORTS_DETERMINISTIC, /* out of the one block that its address gives it, RFC 7422 */
};

/* Transport protocols that have ports. */
enum spinat_transport { SPINAT_UDP, SPINAT_TCP, SPINAT_ICMP, SPINAT_TRANSPORTS };

enum spinat_ah_mode { SPINAT_AH_REJECT, SPINAT_AH_TRANSLATE, SPINAT_AH_EXEMPT };
enum spinat_ike_port { SPINAT_IKE_KEEP, SPINAT_IKE_TRANSLATE, SPINAT_IKE_AUTO };
/* What becomes of a SYN from outside that nobody asked for (RFC 5382 REQ-4). */
enum spinat_ipfix_transport { SPINAT_IPFIX_FILE, SPINAT_IPFIX_UDP, SPINAT_IPFIX_TCP };
enum spinat_unsolicited_syn { SPINAT_SYN_UNREACHABLE, SPINAT_SYN_DROP };
enum spinat_passthrough { SPINAT_PASS_OFF, SPINAT_PASS_SOLE, SPINAT_PASS_HOST };
enum spinat_ambiguity {
	SPINAT_AMBIGUITY_FANOUT,
	SPINAT_AMBIGUITY_SERIALISE,
	SPINAT_AMBIGUITY_NEWEST,
	SPINAT_AMBIGUITY_DROP
};

/** X(member, key, default seconds, lowest, highest, text) */
#define SPINAT_TIMEOUTS(X)                                                                         \
	X(udp, "udp", 300, 1, 86400,                                                               \
		"UDP mapping (RFC 4787 REQ-5: 2 min at least, 5 min advised)")                     \
	X(natt, "natt", 300, 1, 86400, "UDP port 4500 (IKE and ESP in UDP, RFC 3948)")             \
	X(icmp, "icmp", 60, 1, 86400, "ICMP query (RFC 5508 REQ-2)")                               \
	X(tcp_established, "tcp_established", 7440, 1, 604800, "established TCP (RFC 5382 REQ-5)") \
	X(tcp_opening, "tcp_opening", 240, 1, 86400,                                               \
		"TCP that opens (RFC 5382 REQ-5, RFC 7857 2.1)")                                   \
	X(tcp_closing, "tcp_closing", 240, 1, 86400,                                               \
		"TCP that closes or was reset (RFC 5382 REQ-5, RFC 7857 2.1, 2.2)")                \
	X(esp, "esp", 3600, 1, 604800, "ESP or AH binding without packets")                        \
	X(ike, "ike", 14400, 1, 604800, "IKE SA without packets")                                  \
	X(port_reuse, "port_reuse", 120, 0, 86400,                                                 \
		"UDP port that had a mapping with endpoint-independent filtering (RFC 6888 "       \
		"REQ-8)")                                                                          \
	X(other, "other", 300, 1, 86400, "other protocols under a static rule")                    \
	X(candidate, "candidate", 14400, 1, 604800, "client whose inbound SPI does not come")      \
	X(fragment, "fragment", 5, 1, 60, "datagram in fragments")                                 \
	X(arp, "arp", 1200, 1, 86400, "ARP entry until it is asked for again")

/** X(member, key, default, lowest, highest, text) */
#define SPINAT_LIMITS(X)                                                                          \
	X(sessions, "sessions", 262144, 64, 33554432, "sessions, all workers together")           \
	X(mappings, "mappings", 0, 0, 33554432, "mappings; 0: as many as sessions")               \
	X(ports_held, "ports_held", 65536, 0, 16777216,                                           \
		"UDP ports that wait for timeouts.port_reuse")                                    \
	X(clients, "clients", 65536, 16, 4194304, "inside hosts with state")                      \
	X(bindings, "bindings", 65536, 16, 4194304, "SPIs of ESP and AH, each direction")         \
	X(ike, "ike", 16384, 16, 1048576, "IKE SAs")                                              \
	X(bindings_per_client, "bindings_per_client", 64, 4, 65536,                               \
		"SPIs of one client with one gateway, each direction")                            \
	X(bindings_per_gateway, "bindings_per_gateway", 32768, 16, 4194304,                       \
		"inbound SPIs of one gateway at one outside address")                             \
	X(copies, "copies", 63, 1, 63, "copies of one packet whose SPI is not settled")           \
	X(copies_per_spi, "copies_per_spi", 65536, 0, 16777216, "copies for one SPI")             \
	X(copies_per_gateway, "copies_per_gateway", 50000, 0, 16777216,                           \
		"copies a second for one gateway at one outside address")                         \
	X(copies_per_second, "copies_per_second", 100000, 0, 16777216,                            \
		"copies a second each worker may send")                                           \
	X(fragments, "fragments", 1024, 16, 65536, "datagrams in fragments, per worker")          \
	X(fragments_held, "fragments_held", 512, 16, 65536,                                       \
		"fragments held for their first one, per worker")                                 \
	X(fragment_bytes, "fragment_bytes", 1048576, 65536, 1073741824,                           \
		"bytes of held fragments, per worker")                                            \
	X(neighbours, "neighbours", 4096, 16, 65536, "ARP entries")                               \
	X(neighbour_queue, "neighbour_queue", 16, 1, 256, "packets that wait for one ARP answer") \
	X(routes, "routes", 4096, 16, 1048576, "static routes")                                   \
	X(icmp_rate, "icmp_rate", 1000, 0, 1000000, "ICMP errors a second each worker may send")  \
	X(buffers, "buffers", 0, 0, 16777216, "packet buffers; 0: by queues and workers")

struct spinat_prefix {
	rte_be32_t addr; /* as written: host bits kept on interface addresses */
	uint8_t len;
};

/** A device of the EAL: PCI address or vdev arguments. */
struct spinat_device_conf {
	char args[256]; /* "0000:03:00.0" or "net_af_packet0,iface=veth0" */
	int line;
};

struct spinat_iface_conf {
	char name[SPINAT_NAME_LEN];
	uint16_t device; /* index in devices[] */
	uint16_t vlan; /* 0: untagged */
	enum spinat_role role;
	uint16_t realm; /* inside only */
	uint16_t mtu; /* bytes of IPv4 packet */
	uint16_t n_addrs;
	struct spinat_prefix addrs[SPINAT_MAX_IFACE_ADDRS];
	int line;
};

struct spinat_route_conf {
	struct spinat_prefix to;
	rte_be32_t via;
	uint16_t iface; /* interface whose subnet holds via */
	uint16_t realm; /* of an inside interface; outside routes serve every realm */
	int line;
};

struct spinat_neigh_conf {
	rte_be32_t addr;
	struct rte_ether_addr mac;
	uint16_t iface;
	int line;
};

struct spinat_realm_conf {
	uint16_t id;
	enum spinat_filtering filtering;
	enum spinat_ah_mode ah;
	enum spinat_ike_port ike_port;
	enum spinat_passthrough passthrough;
	rte_be32_t passthrough_host;
	enum spinat_ambiguity ambiguity;
	bool esp_without_ike; /* manual keys: an outbound SPI alone is evidence */
	bool inbound_refresh; /* inbound packets keep a mapping alive (RFC 4787 REQ-6) */
	bool hairpin;
	bool tcp_pickup; /* connections from before a restart go on without a SYN */
	enum spinat_unsolicited_syn unsolicited_syn;
	uint16_t tcp_mss; /* largest MSS that a SYN may offer, bytes; 0: any */
	enum spinat_mapping_mode mapping;
	bool port_preservation; /* the client's own number where it is free, else random ones only */
	enum spinat_port_allocation port_allocation;
	uint16_t block_size; /* ports, a power of two */
	uint16_t client_blocks; /* that a client may have */
	struct spinat_prefix inside; /* DETERMINISTIC: hosts that have a block each */
	uint16_t block_first; /* first port of block 0, host order */
	uint16_t blocks; /* of an address */
	struct rte_reciprocal per_addr; /* divides by blocks */
	/* limits of a client; 0: none */
	uint32_t client_sessions, client_mappings;
	uint32_t client_mappings_of[SPINAT_TRANSPORTS];
	uint32_t client_rate; /* new sessions a second */
	/* pool addresses of this realm: pool_addrs[first_addr .. first_addr + n_addrs) */
	uint32_t first_addr, n_addrs;
	int line;
};

/** Static 1:1: any protocol, both directions. Prefixes of equal length. */
struct spinat_static_conf {
	rte_be32_t inside, outside;
	uint8_t len; /* 32: one address */
	uint16_t realm;
	int line;
};

/**
 * Redirection of a run of ports, of a protocol that has none, or of IPsec: UDP 500, UDP 4500, ESP and
 * AH that nothing else claims.
 */
struct spinat_redirect_conf {
	rte_be32_t outside, inside;
	rte_be16_t outside_port, inside_port; /* the first of each run */
	uint16_t n_ports; /* 0: the protocol has no ports, or IPsec */
	uint8_t proto; /* IPPROTO_*, or 0: IPsec as a whole */
	uint16_t realm;
	int line;
};

/** Routed untranslated, both ways: between these inside hosts and these remotes. */
struct spinat_exempt_conf {
	struct spinat_prefix from, to;
	uint16_t realm;
	int line;
};

/** Every address that packets from outside may be sent to, found by spinat_conf_outside(). */
enum spinat_outside_kind {
	SPINAT_OUTSIDE_BOX = 1, /* an outside interface has it: the box answers ping */
	SPINAT_OUTSIDE_POOL = 2, /* dynamic mappings use it */
	SPINAT_OUTSIDE_STATIC = 4, /* all of it belongs to one inside host */
	SPINAT_OUTSIDE_REDIRECT = 8, /* some redirection is on it */
	SPINAT_OUTSIDE_DETERMINISTIC = 16, /* a pool's, whose ports say whose they are */
};

struct spinat_outside_addr {
	rte_be32_t addr;
	uint8_t kinds; /* SPINAT_OUTSIDE_* bits */
	uint16_t realm; /* realm whose pool it is in, or of the static host */
	rte_be32_t inside; /* static host */
	uint32_t pool_index; /* index in pool_addrs where POOL */
};

/** Device settings, from drivers-cfg/<driver>.cfg and the main file's drivers group. */
struct spinat_driver_conf {
	char name[64]; /* as the port reports it, "net_ixgbe" */
	uint16_t rx_descriptors, tx_descriptors;
	uint16_t rx_queues_max; /* what the driver can give at most; 0: as it reports */
	bool promiscuous; /* needed where the device has no MAC filter to add to */
	bool rx_ip_checksum; /* use the device's IPv4 checksum check where it has one */
	bool tx_ip_checksum; /* let the device write IPv4 checksums of packets the box makes */
	bool rss_symmetric; /* symmetric Toeplitz key, so that both ways meet one worker */
	uint64_t rss_hf; /* RTE_ETH_RSS_* wanted, masked by what the device offers */
	uint16_t given; /* conf: bit i: the file has key i of the driver's keys */
	int line;
};

struct spinat_conf {
	char path[SPINAT_PATH_LEN]; /* file it came from */
	char name[SPINAT_NAME_LEN]; /* instance: EAL file prefix, place of the telemetry socket */
	uint32_t generation; /* set by the loader of the process: 1, 2, ... */
	uint16_t workers;
	char lcores[256]; /* EAL --lcores value, empty: chosen from workers */
	uint32_t memory; /* MiB without hugepages; 0: computed from the limits */
	bool hugepages; /* false: never use them; true: where they are free */
	bool idle_sleep; /* power = "idle" */
	char drivers_dir[SPINAT_PATH_LEN]; /* where drivers-cfg stands */
	uint32_t log_level; /* RTE_LOG_*; default RTE_LOG_INFO */

	uint16_t n_devices, n_ifaces, n_realms;
	struct spinat_device_conf devices[SPINAT_MAX_DEVICES];
	struct spinat_iface_conf ifaces[SPINAT_MAX_IFACES];
	struct spinat_realm_conf realms[SPINAT_MAX_REALMS]; /* dense; [i].id is the number used in
							      file, keys and telemetry: i == id */
	uint32_t n_routes, n_neighs, n_pool_addrs, n_statics, n_redirects, n_exempts;
	struct spinat_route_conf *routes;
	struct spinat_neigh_conf *neighs;
	rte_be32_t *pool_addrs;
	struct spinat_static_conf *statics;
	struct spinat_redirect_conf *redirects;
	struct spinat_exempt_conf *exempts;
	uint16_t port_first, port_last; /* dynamic outside ports, host order */

	/* where state is kept over a restart */
	struct {
		char file[SPINAT_STATE_PATH_LEN]; /* empty: nowhere */
		uint32_t interval; /* from the end of one to the beginning of the next */
		int line;
	} checkpoint;

	/* who had which outside endpoint when: text in a file, or IPFIX. Both empty: nobody keeps it */
	struct {
		char file[SPINAT_PATH_LEN];
		char ipfix[SPINAT_PATH_LEN]; /* as it is written in the configuration */
		enum spinat_ipfix_transport transport; /* of ipfix; of its file, or */
		rte_be32_t collector; /* to this address */
		rte_be16_t collector_port;
		bool sessions, blocks, refusals;
		bool destinations; /* remotes of sessions too */
	} records;

	uint32_t n_drivers; /* overrides in the main file */
	struct spinat_driver_conf *drivers;

#define SPINAT_TIMEOUT_MEMBER(member, key, def, lo, hi, text) uint32_t member;
	struct {
		SPINAT_TIMEOUTS(SPINAT_TIMEOUT_MEMBER)
	} timeouts;
#undef SPINAT_TIMEOUT_MEMBER
#define SPINAT_LIMIT_MEMBER(member, key, def, lo, hi, text) uint32_t member;
	struct {
		SPINAT_LIMITS(SPINAT_LIMIT_MEMBER)
	} limits;
#undef SPINAT_LIMIT_MEMBER

	/* open-addressed table behind spinat_conf_outside(), half empty at least */
	uint32_t outside_mask, outside_shift;
	struct spinat_outside_addr *outside;
};

/** Room for one error sentence. */
struct spinat_conf_error {
	char text[512]; /* "file:line: key: found X, expected Y" */
};

/**
 * Reads and checks a file.
 *
 * @param path  libconfig file
 * @param err   filled on failure with one sentence that names file, line, key, what was found and
 *              what is accepted; unknown keys are errors
 * @return a new snapshot, or NULL. Any thread, no EAL needed.
 */
struct spinat_conf *spinat_conf_load(const char *path, struct spinat_conf_error *err);

/** Frees a snapshot that no worker can see any more. NULL is allowed. */
void spinat_conf_free(struct spinat_conf *conf);

/**
 * Checks that a running process can go from one snapshot to the other: devices, interfaces' devices
 * and VLANs, workers, lcores, memory and limits are fixed at start; all else may change.
 *
 * @return 0, or -EBUSY with *err naming what needs a restart
 */
int spinat_conf_compatible(const struct spinat_conf *from, const struct spinat_conf *to,
	struct spinat_conf_error *err);

/** Prints what a configuration would do, in words, defaults filled in (spinat --check). */
void spinat_conf_print(const struct spinat_conf *conf, FILE *out);

/**
 * Values for a driver: built-in defaults, then <drivers_dir>/<driver>.cfg where it stands, then the
 * main file's drivers group.
 *
 * @return 0, or -EINVAL with *err set where the file is bad; a missing file is no error
 */
int spinat_conf_driver(const struct spinat_conf *conf, const char *driver,
	struct spinat_driver_conf *out, struct spinat_conf_error *err);

/** Whether records are kept at all. */
static inline bool
spinat_conf_records(const struct spinat_conf *conf)
{
	return conf->records.file[0] != '\0' || conf->records.ipfix[0] != '\0';
}

/** Where the search for an outside address begins. */
static inline uint32_t
spinat_conf_outside_slot(const struct spinat_conf *conf, rte_be32_t addr)
{
	/* Fibonacci hashing: neighbouring addresses, which pools are made of, spread evenly. */
	return (rte_be_to_cpu_32(addr) * 0x9e3779b1u) >> conf->outside_shift;
}

/** Finds an outside address; NULL where it is none of ours. Any lcore, no locks. */
static inline const struct spinat_outside_addr *
spinat_conf_outside(const struct spinat_conf *conf, rte_be32_t addr)
{
	uint32_t i = spinat_conf_outside_slot(conf, addr);

	while (conf->outside[i].kinds != 0) {
		if (conf->outside[i].addr == addr)
			return &conf->outside[i];
		i = (i + 1) & conf->outside_mask;
	}
	return NULL;
}

/** Static rule for an inside address of a realm, or NULL. Slow path only: walks the rules. */
const struct spinat_static_conf *spinat_conf_static_inside(
	const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside);

/**
 * Redirection for an outside endpoint, or NULL. Slow path only: walks the rules.
 *
 * @param proto IPPROTO_UDP/TCP with port; other protocols match theirs, port ignored; IPPROTO_ESP/AH match IPsec redirections, port ignored;
 *              UDP 500 and 4500 match them too
 */
const struct spinat_redirect_conf *spinat_conf_redirect(
	const struct spinat_conf *conf, rte_be32_t outside, uint8_t proto, rte_be16_t port);

/** The port at the other end of a redirection, for one of its run. */
static inline rte_be16_t
spinat_redirect_inside_port(const struct spinat_redirect_conf *r, rte_be16_t outside_port)
{
	return r->n_ports == 0 ? outside_port
			       : rte_cpu_to_be_16(rte_be_to_cpu_16(r->inside_port) +
						  rte_be_to_cpu_16(outside_port) -
						  rte_be_to_cpu_16(r->outside_port));
}
static inline rte_be16_t
spinat_redirect_outside_port(const struct spinat_redirect_conf *r, rte_be16_t inside_port)
{
	return r->n_ports == 0 ? inside_port
			       : rte_cpu_to_be_16(rte_be_to_cpu_16(r->outside_port) +
						  rte_be_to_cpu_16(inside_port) -
						  rte_be_to_cpu_16(r->inside_port));
}

/** Whether an inside host and a remote talk untranslated. Slow path only: walks the rules. */
bool spinat_conf_exempt(
	const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside, rte_be32_t remote);

#endif
