/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_DROP_H
#define SPINAT_PACKET_DROP_H

/**
 * The one list of reasons for which a packet is dropped. Code, counters, telemetry
 * (/spinat/drops) and the man page are made from it: X(NAME, "name", "text").
 * A packet that is not sent on increments exactly one of them.
 */
#define SPINAT_DROPS(X)                                                                            \
	/* frame and IPv4 header */                                                                \
	X(ETH_SHORT, "eth_short", "frame shorter than its Ethernet header")                        \
	X(ETH_DESTINATION, "eth_destination", "frame to the MAC address of another host")          \
	X(ETH_TYPE, "eth_type", "EtherType is neither IPv4 nor ARP")                               \
	X(VLAN_UNKNOWN, "vlan_unknown", "no interface has this VLAN on this device")               \
	X(ARP_BAD, "arp_bad", "malformed ARP packet")                                              \
	X(IP_SHORT, "ip_short", "frame shorter than its IPv4 header or total length")              \
	X(IP_VERSION, "ip_version", "IP version is not 4 or header length under 20")               \
	X(IP_LENGTH, "ip_length", "IPv4 total length smaller than its header")                     \
	X(IP_CHECKSUM, "ip_checksum", "wrong IPv4 header checksum")                                \
	X(IP_SOURCE, "ip_source",                                                                  \
		"source that no host can have, one of our own, or not from that side")             \
	X(IP_DESTINATION, "ip_destination", "multicast, broadcast or loopback destination")        \
	X(TTL, "ttl_expired", "time to live ended here")                                           \
	/* next protocol */                                                                        \
	X(UDP_SHORT, "udp_short", "truncated UDP header")                                          \
	X(UDP_LENGTH, "udp_length", "UDP length disagrees with the IPv4 length")                   \
	X(TCP_SHORT, "tcp_short", "truncated TCP header")                                          \
	X(TCP_OFFSET, "tcp_offset", "TCP data offset outside the segment")                         \
	X(TCP_FLAGS, "tcp_flags", "TCP flags that no state allows (SYN with FIN or RST, none)")    \
	X(ICMP_SHORT, "icmp_short", "truncated ICMP header")                                       \
	X(ICMP_TYPE, "icmp_type", "ICMP type that is not translated")                              \
	X(ICMP_CHECKSUM, "icmp_checksum", "ICMP error with a wrong checksum (RFC 5508 REQ-3)")     \
	X(ICMP_QUOTE, "icmp_quote", "ICMP error whose quoted packet can not be read")              \
	X(ICMP_UNKNOWN, "icmp_unknown", "ICMP error that quotes a packet of no session")           \
	X(ESP_SHORT, "esp_short", "truncated ESP header")                                          \
	X(SPI_ZERO, "spi_zero", "SPI 0, which is never on the wire (RFC 4303 2.1)")                \
	X(SPI_RESERVED, "spi_reserved", "SPI 1 to 255, reserved (RFC 4303 2.1)")                   \
	X(AH_SHORT, "ah_short", "truncated AH header")                                             \
	X(AH_LENGTH, "ah_length", "AH payload length outside the packet")                          \
	X(IKE_SHORT, "ike_short", "truncated IKE header")                                          \
	X(IKE_BAD, "ike_bad", "IKE header with initiator SPI 0, unknown version or wrong length")  \
	/* fragments */                                                                            \
	X(FRAG_BAD, "frag_bad", "fragment length no multiple of 8, or end beyond 65535")           \
	X(FRAG_TINY, "frag_tiny", "first fragment without the ports or SPI (RFC 1858)")            \
	X(FRAG_OVERLAP, "frag_overlap", "fragment overlaps another of its datagram")               \
	X(FRAG_SCATTERED, "frag_scattered", "more gaps in one datagram than are tracked")          \
	X(FRAG_TABLE_FULL, "frag_table_full", "too many datagrams in fragments")                   \
	X(FRAG_HOLD_FULL, "frag_hold_full", "too many fragments held for their first one")         \
	X(FRAG_TIMEOUT, "frag_timeout", "held fragment whose first one never came")                \
	X(FRAG_REFUSED, "frag_refused", "fragment of a datagram whose first one was dropped")      \
	/* forwarding */                                                                           \
	X(NO_ROUTE, "no_route", "no route to the destination")                                     \
	X(BLACKHOLE, "blackhole", "the route leads back to where the packet may not go")           \
	X(NEIGH_QUEUE_FULL, "neigh_queue_full", "queue of packets that wait for ARP is full")      \
	X(NEIGH_UNRESOLVED, "neigh_unresolved", "next hop does not answer ARP")                    \
	X(MTU_DF, "mtu_df", "larger than the outgoing MTU with DF set (ICMP 3/4 sent)")            \
	X(TX_FULL, "tx_full", "transmit queue of the device is full")                              \
	X(NO_MBUF, "no_mbuf", "packet buffers are exhausted")                                      \
	X(HANDOFF_FULL, "handoff_full", "ring to the owner of the state is full")                  \
	X(PUNT_FULL, "punt_full", "ring to the control lcore is full")                             \
	X(TO_BOX, "to_box", "to the box itself, which has no such service")                        \
	/* translation */                                                                          \
	X(NOT_OURS, "not_ours", "from outside to an address that is none of ours")                 \
	X(NO_MAPPING, "no_mapping", "from outside to an endpoint that nobody inside has")          \
	X(FILTERED, "filtered", "from outside, refused by the filtering of its mapping")           \
	X(NO_POOL, "no_pool", "the realm has no outside address")                                  \
	X(TCP_NOT_SYN, "tcp_not_syn", "TCP segment of no session and no opening SYN")              \
	X(ICMP_REPLY, "icmp_reply", "ICMP query reply that nobody asked for")                      \
	X(PROTOCOL, "protocol", "protocol that passes only by a static rule")                      \
	X(SESSIONS_FULL, "sessions_full", "session table is full")                                 \
	X(MAPPINGS_FULL, "mappings_full", "mapping table is full")                                 \
	X(CLIENTS_FULL, "clients_full", "client table is full")                                    \
	X(CLIENT_SESSIONS, "client_sessions", "client has the sessions that its realm allows")     \
	X(CLIENT_MAPPINGS, "client_mappings", "client has the mappings that its realm allows")     \
	X(CLIENT_RATE, "client_rate", "client opens more sessions a second than its realm allows") \
	X(PORTS_EXHAUSTED, "ports_exhausted", "no outside port left for this client")              \
	/* IPsec */                                                                                \
	X(AH_REJECTED, "ah_rejected", "AH can not be translated (RFC 3715 2.1 a); realm rejects")  \
	X(SPI_UNKNOWN, "spi_unknown", "inbound SPI that no client can own")                        \
	X(SPI_SQUELCHED, "spi_squelched",                                                          \
		"unknown SPIs from this gateway are ignored for a while")                          \
	X(SPI_AMBIGUOUS, "spi_ambiguous", "inbound SPI several clients can own, copies refused")   \
	X(BINDINGS_LIMIT, "bindings_limit",                                                        \
		"client or gateway has as many SPIs as the configuration allows")                  \
	X(IKE_SERIALISED, "ike_serialised",                                                        \
		"negotiation waits until another client's with the same gateway is over")          \
	X(IKE_UNKNOWN, "ike_unknown", "IKE SPIs from outside that belong to no client")            \
	X(BINDINGS_FULL, "bindings_full", "binding table is full")                                 \
	X(IKE_FULL, "ike_full", "IKE SA table is full")

enum spinat_drop {
	SPINAT_DROP_NONE, /* not dropped */
#define SPINAT_DROP_ENUM(name, id, text) SPINAT_DROP_##name,
	SPINAT_DROPS(SPINAT_DROP_ENUM)
#undef SPINAT_DROP_ENUM
		SPINAT_DROP_COUNT
};

struct spinat_drop_info {
	const char *name; /* counter and telemetry key */
	const char *text; /* one sentence for people */
};

/** Indexed by enum spinat_drop; [SPINAT_DROP_NONE] is "none". Read-only, any thread. */
extern const struct spinat_drop_info spinat_drop_info[SPINAT_DROP_COUNT];

#endif
