/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/reader.h"
#include "config/text.h"

/* Values of one kind each, read from strings. A setting that is no string has a NULL string. */

static void *
place(const struct conf_field *f, void *out)
{
	return (uint8_t *)out + f->offset;
}

static bool
is_name(const char *text)
{
	size_t len =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return len > 0 && text[len] == '\0' && len < SPINAT_NAME_LEN;
}

int
conf_read_name(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);

	if (text == NULL || !is_name(text))
		return conf_expected_field(l, s, f);
	strcpy(place(f, out), text);
	return 0;
}

int
conf_read_text(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	size_t i;

	if (text == NULL || text[0] == '\0' || strlen(text) >= f->size)
		return conf_expected_field(l, s, f);
	for (i = 0; text[i] != '\0'; i++) {
		if (!isprint((unsigned char)text[i]))
			return conf_expected_field(l, s, f);
	}
	strcpy(place(f, out), text);
	return 0;
}

int
conf_read_host(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	rte_be32_t addr;

	if (text == NULL || !conf_parse_addr(text, &addr) || !conf_is_host(rte_be_to_cpu_32(addr)))
		return conf_expected_field(l, s, f);
	memcpy(place(f, out), &addr, sizeof(addr));
	return 0;
}

int
conf_read_network(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	struct spinat_prefix prefix = {0};
	struct spinat_prefix network;

	if (text == NULL || !conf_parse_prefix(text, &prefix))
		return conf_expected_field(l, s, f);
	network = prefix;
	network.addr &= rte_cpu_to_be_32(conf_mask(prefix.len));
	if (network.addr != prefix.addr)
		return conf_expected(l, s, "a prefix without host bits, as \"%s\"",
			conf_prefix_text(&network).s);
	memcpy(place(f, out), &network, sizeof(network));
	return 0;
}

int
conf_read_port(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct conf_field host_order = *f;
	uint16_t port = 0;
	rte_be16_t be_port;

	host_order.offset = 0;
	if (conf_read_number(l, s, &host_order, &port) != 0)
		return -EINVAL;
	be_port = rte_cpu_to_be_16(port);
	memcpy(place(f, out), &be_port, sizeof(be_port));
	return 0;
}

int
conf_read_mac(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	struct rte_ether_addr mac;

	if (text == NULL || rte_ether_unformat_addr(text, &mac) != 0 ||
		!rte_is_valid_assigned_ether_addr(&mac))
		return conf_expected_field(l, s, f);
	memcpy(place(f, out), &mac, sizeof(mac));
	return 0;
}
