/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/handlers.h"

/* /spinat/bind and /spinat/unbind: what an operator decides about an SPI. */

#define WORDS_MAX 5

static bool
parse_number(const char *text, uint32_t *number)
{
	const bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned long value;
	char *end;

	if (strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return false;
	errno = 0;
	value = strtoul(digits, &end, hex ? 16 : 10);
	*number = value;
	return digits[0] != '\0' && *end == '\0' && errno == 0 && value <= UINT32_MAX;
}

static int
refuse(char *error, size_t size, const char *what, const char *found)
{
	snprintf(error, size, "error: expected %s, found \"%.40s\"", what, found);
	return -EINVAL;
}

/* An outside address is of one realm, so that naming the realm is only a check. */
static int
find_realm(const struct spinat_conf *conf, const char *outside, const char *wanted,
	struct spinat_order *order, char *error, size_t size)
{
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, order->outside);
	uint32_t realm;

	if (o == NULL)
		return refuse(error, size, "an outside address of the box", outside);
	order->client.realm = o->realm;
	if (wanted == NULL)
		return 0;
	if (!parse_number(wanted, &realm))
		return refuse(error, size, "the number of a realm", wanted);
	if (realm == o->realm)
		return 0;
	snprintf(error, size, "error: this outside address is of realm %u", o->realm);
	return -EINVAL;
}

int
order_parse(const char *params, bool bind, const struct spinat_conf *conf,
	struct spinat_order *order, char *error, size_t size)
{
	const unsigned int needed = bind ? 4 : 3;
	char copy[256], *words[WORDS_MAX + 1], *save, *word;
	unsigned int n = 0;
	uint32_t spi;

	*order = (struct spinat_order){.spi = 0};
	snprintf(copy, sizeof(copy), "%s", params != NULL ? params : "");
	for (word = strtok_r(copy, ",", &save); word != NULL && n <= WORDS_MAX;
		word = strtok_r(NULL, ",", &save))
		words[n++] = word;
	if (n < needed || n > needed + 1) {
		snprintf(error, size, "error: expected SPI,gateway,outside%s and perhaps ,realm",
			bind ? ",client" : "");
		return -EINVAL;
	}
	if (!parse_number(words[0], &spi))
		return refuse(error, size, "an SPI as 0x1234abcd", words[0]);
	order->spi = rte_cpu_to_be_32(spi);
	if (inet_pton(AF_INET, words[1], &order->gateway) != 1)
		return refuse(error, size, "the IPv4 address of a gateway", words[1]);
	if (inet_pton(AF_INET, words[2], &order->outside) != 1)
		return refuse(error, size, "an outside IPv4 address", words[2]);
	if (bind &&
		(inet_pton(AF_INET, words[3], &order->client.addr) != 1 || order->client.addr == 0))
		return refuse(error, size, "the IPv4 address of an inside host", words[3]);
	return find_realm(conf, words[2], n > needed ? words[needed] : NULL, order, error, size);
}
