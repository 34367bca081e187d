/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pci.h>

#include "net/port.h"

/* Ethernet header, one VLAN tag, frame check sequence. */
#define FRAME_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN)
#define RSS_KEY_MAX 128

/*
 * A Toeplitz key of one repeated 16-bit word hashes (a, b) and (b, a) alike. Drivers keep the
 * pointer and read the key when the port starts, so it lives as long as the process.
 */
static uint8_t rss_key[RSS_KEY_MAX];

/* What one device is being set up from. */
struct setup {
	const struct spinat_conf *conf;
	const struct spinat_device_conf *device;
	char name[64]; /* as the EAL knows it */
	uint16_t n_queues;
	struct rte_mempool *pool;
	struct spinat_port *port;
	struct rte_eth_dev_info info;
	struct spinat_driver_conf driver;
	struct rte_eth_conf eth;
	uint16_t mtu; /* the device's, VLAN tag included where it counts as payload */
	struct spinat_conf_error *err;
};

static int fail(const struct setup *s, int rc, const char *format, ...) __rte_format_printf(3, 4);

static int
fail(const struct setup *s, int rc, const char *format, ...)
{
	size_t size = sizeof(s->err->text);
	int n = snprintf(s->err->text, size, "%s:%d: device \"%s\": ", s->conf->path,
		s->device->line, s->name);
	va_list ap;

	if (n >= 0 && (size_t)n < size) {
		va_start(ap, format);
		vsnprintf(s->err->text + n, size - n, format, ap);
		va_end(ap);
	}
	return rc;
}

/* The EAL's name of a device: vdev arguments without what follows the name, PCI addresses whole. */
static bool
device_name(const char *args, char *name, size_t size)
{
	struct rte_pci_addr pci;

	snprintf(name, size, "%.*s", (int)strcspn(args, ","), args);
	if (rte_pci_addr_parse(name, &pci) != 0)
		return false;
	rte_pci_device_name(&pci, name, size);
	return true;
}

/* The EAL's error numbers say little here (-1, EFAULT); what it logs before says more. */
static int
fail_probe(const struct setup *s, bool is_pci)
{
	const char *args = s->device->args;
	const char *iface = strstr(args, ",iface=");

	if (is_pci)
		return fail(s, -ENODEV, "not found: bound to vfio-pci or uio_pci_generic?");
	if (iface == NULL)
		return fail(s, -ENODEV, "can not be made out of \"%s\"", args);
	iface += strlen(",iface=");
	return fail(s, -ENODEV, "can not be made: does the network interface \"%.*s\" exist?",
		(int)strcspn(iface, ","), iface);
}

/* Devices allowed on the EAL's command line are there already; any other is probed now. */
static int
find_or_probe(struct setup *s)
{
	bool is_pci = device_name(s->device->args, s->name, sizeof(s->name));
	uint16_t *id = &s->port->port_id;

	if (rte_eth_dev_get_port_by_name(s->name, id) == 0)
		return 0;
	if (rte_dev_probe(s->device->args) == 0 && rte_eth_dev_get_port_by_name(s->name, id) == 0)
		return 0;
	return fail_probe(s, is_pci);
}

static int
check_queues(struct setup *s)
{
	uint16_t has_rx = s->info.max_rx_queues;

	if (s->driver.rx_queues_max != 0)
		has_rx = RTE_MIN(has_rx, s->driver.rx_queues_max);
	if (has_rx < s->n_queues)
		return fail(s, -ENOSPC, "%s gives it %u receive queue(s), %u workers want one each",
			s->port->driver, has_rx, s->n_queues);
	if (s->info.max_tx_queues < s->n_queues)
		return fail(s, -ENOSPC,
			"%s gives it %u transmit queue(s), %u workers want one each",
			s->port->driver, s->info.max_tx_queues, s->n_queues);
	return 0;
}

/*
 * The MTU that the device's interfaces need. It is only ever raised: an interface that sends less
 * still takes what its neighbours send. A driver that says its overhead and leaves no room for a
 * VLAN tag in it counts the tag as payload; one that says nothing handles tags by itself.
 */
static int
choose_mtu(struct setup *s)
{
	bool told = s->info.max_mtu != UINT16_MAX;
	uint32_t overhead = told && s->info.max_rx_pktlen > s->info.max_mtu
				    ? s->info.max_rx_pktlen - s->info.max_mtu
				    : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	uint32_t highest = told ? s->info.max_mtu : s->info.max_rx_pktlen - overhead;
	uint32_t mtu = RTE_MIN((uint32_t)RTE_ETHER_MTU, highest);

	for (uint16_t i = 0; i < s->conf->n_ifaces; i++) {
		const struct spinat_iface_conf *iface = &s->conf->ifaces[i];
		uint32_t tag =
			told && iface->vlan != 0 && overhead < FRAME_OVERHEAD ? RTE_VLAN_HLEN : 0;

		if (iface->device != s->port->device)
			continue;
		if (iface->mtu + tag > highest)
			return fail(s, -EINVAL,
				"interface \"%s\" wants an MTU of %u, %s carries "
				"%u at most",
				iface->name, iface->mtu, s->port->driver, highest - tag);
		mtu = RTE_MAX(mtu, iface->mtu + tag);
	}
	s->mtu = mtu;
	return 0;
}

/* Frames that do not fit in one buffer come and go in several. */
static int
choose_scatter(struct setup *s)
{
	uint32_t room = rte_pktmbuf_data_room_size(s->pool) - RTE_PKTMBUF_HEADROOM;

	if ((uint32_t)s->mtu + FRAME_OVERHEAD <= room)
		return 0;
	if (!(s->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) ||
		!(s->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		return fail(s, -EINVAL,
			"an MTU of %u does not fit in one buffer of %u bytes and %s "
			"can not spread a frame over several",
			s->mtu, room, s->port->driver);
	s->eth.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	s->eth.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	return 0;
}

static void
choose_offloads(struct setup *s)
{
	struct rte_eth_rxmode *rx = &s->eth.rxmode;
	struct rte_eth_txmode *tx = &s->eth.txmode;

	if (s->driver.rx_ip_checksum)
		rx->offloads |= s->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	if (s->driver.tx_ip_checksum)
		tx->offloads |= s->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	/* Every packet buffer comes from the one pool and has one owner. */
	tx->offloads |= s->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	s->port->hw_rx_ip_checksum = rx->offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	s->port->hw_tx_ip_checksum = tx->offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
}

static void
choose_rss(struct setup *s)
{
	struct rte_eth_rss_conf *rss = &s->eth.rx_adv_conf.rss_conf;
	/* 0: the driver does not say; the usual key then */
	uint8_t key_len = s->info.hash_key_size != 0 ? s->info.hash_key_size : 40;
	uint64_t fields = s->driver.rss_hf & s->info.flow_type_rss_offloads;

	if (s->n_queues == 1 || fields == 0)
		return;
	s->eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	rss->rss_hf = fields;
	if (s->driver.rss_symmetric && key_len <= RSS_KEY_MAX) {
		for (uint32_t i = 0; i < RSS_KEY_MAX; i += 2) {
			rss_key[i] = 0x6d;
			rss_key[i + 1] = 0x5a;
		}
		rss->rss_key = rss_key;
		rss->rss_key_len = key_len;
	}
}

static int
set_mtu(const struct setup *s)
{
	int rc;

	if (s->mtu <= RTE_ETHER_MTU)
		return 0;
	rc = rte_eth_dev_set_mtu(s->port->port_id, s->mtu);
	if (rc != 0)
		return fail(s, rc, "%s refuses an MTU of %u (%s)", s->port->driver, s->mtu,
			rte_strerror(-rc));
	return 0;
}

static int
setup_queues(struct setup *s)
{
	uint16_t id = s->port->port_id;
	uint16_t n_rx = s->driver.rx_descriptors, n_tx = s->driver.tx_descriptors;
	struct rte_eth_rxconf rx = s->info.default_rxconf;
	struct rte_eth_txconf tx = s->info.default_txconf;
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(id);
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(id, &n_rx, &n_tx);

	if (rc != 0)
		return fail(s, rc, "%s refuses %u receive and %u transmit descriptors (%s)",
			s->port->driver, n_rx, n_tx, rte_strerror(-rc));
	rx.offloads = s->eth.rxmode.offloads;
	tx.offloads = s->eth.txmode.offloads;
	for (uint16_t q = 0; q < s->n_queues; q++) {
		rc = rte_eth_rx_queue_setup(id, q, n_rx, socket, &rx, s->pool);
		if (rc != 0)
			return fail(s, rc, "receive queue %u of %u descriptors: %s", q, n_rx,
				rte_strerror(-rc));
		rc = rte_eth_tx_queue_setup(id, q, n_tx, socket, &tx);
		if (rc != 0)
			return fail(s, rc, "transmit queue %u of %u descriptors: %s", q, n_tx,
				rte_strerror(-rc));
	}
	s->port->n_rx_queues = s->port->n_tx_queues = s->n_queues;
	return 0;
}

static int
configure_and_start(struct setup *s)
{
	uint16_t id = s->port->port_id;
	int rc;

	s->eth.rxmode.mtu = s->mtu;
	rc = rte_eth_dev_configure(id, s->n_queues, s->n_queues, &s->eth);
	if (rc != 0)
		return fail(s, rc, "%s refuses its configuration (%s)", s->port->driver,
			rte_strerror(-rc));
	if ((rc = set_mtu(s)) != 0 || (rc = setup_queues(s)) != 0)
		return rc;
	rc = rte_eth_dev_start(id);
	if (rc != 0)
		return fail(s, rc, "%s can not start it (%s)", s->port->driver, rte_strerror(-rc));
	if (s->driver.promiscuous) {
		rc = rte_eth_promiscuous_enable(id);
		if (rc != 0 && rc != -ENOTSUP)
			return fail(s, rc, "%s can not make it promiscuous (%s)", s->port->driver,
				rte_strerror(-rc));
	}
	return 0;
}

static int
start_port(struct setup *s)
{
	int rc = rte_eth_dev_info_get(s->port->port_id, &s->info);

	if (rc != 0)
		return fail(s, rc, "says nothing about itself (%s)", rte_strerror(-rc));
	snprintf(s->port->driver, sizeof(s->port->driver), "%s", s->info.driver_name);
	rc = rte_eth_macaddr_get(s->port->port_id, &s->port->mac);
	if (rc != 0)
		return fail(s, rc, "has no MAC address (%s)", rte_strerror(-rc));
	rc = spinat_conf_driver(s->conf, s->port->driver, &s->driver, s->err);
	if (rc != 0)
		return rc;
	if ((rc = check_queues(s)) != 0 || (rc = choose_mtu(s)) != 0 ||
		(rc = choose_scatter(s)) != 0)
		return rc;
	choose_offloads(s);
	choose_rss(s);
	return configure_and_start(s);
}

int
spinat_ports_start(const struct spinat_conf *conf, uint16_t n_queues, struct rte_mempool *pool,
	struct spinat_port *ports, struct spinat_conf_error *err)
{
	for (uint16_t i = 0; i < conf->n_devices; i++) {
		struct setup s = {
			.conf = conf,
			.device = &conf->devices[i],
			.n_queues = n_queues,
			.pool = pool,
			.port = &ports[i],
			.err = err,
		};
		bool found;
		int rc;

		memset(&ports[i], 0, sizeof(ports[i]));
		ports[i].device = i;
		rc = find_or_probe(&s);
		found = rc == 0;
		if (found)
			rc = start_port(&s);
		if (rc != 0) {
			spinat_ports_stop(ports, found ? i + 1 : i);
			return rc;
		}
	}
	return 0;
}

void
spinat_ports_stop(struct spinat_port *ports, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		(void)rte_eth_dev_stop(ports[i].port_id);
		(void)rte_eth_dev_close(ports[i].port_id);
	}
}
