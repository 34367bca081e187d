/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>
#include <string.h>

#include "config/sections.h"
#include "test_config.h"

/* What is printed, and what the manual page says: both as complete as the grammar. */

static char *
print(const struct spinat_conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	spinat_conf_print(conf, f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static void
has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

START_TEST(print_full)
{
	struct spinat_conf *conf = load("good/full.conf");
	char *text = print(conf), line[256];

	has(text, "Configuration good/full.conf: correct.\n");
	has(text, "Instance spinat_test-1: 2 workers, lcores 0@0,(1,2)@1, power idle, log level "
		  "warning.\n");
	has(text, "Memory: no huge pages, without them 2048 MiB.\n");
	has(text, "Driver settings: drivers, changed for net_ring, net_null.\n");
	has(text, "\n  lan: inside, realm 0, device 0000:0a:00.0, VLAN 10, MTU 9000, "
		  "addresses 10.0.0.1/24 10.3.0.1/16\n");
	has(text, "\n  dmz: inside, realm 0, device 0000:0a:00.0, MTU 1400, addresses "
		  "172.16.0.1/30\n");
	has(text, "\n  wan: outside, device net_af_packet0,iface=veth0, MTU 1500, "
		  "addresses 192.0.2.2/24 192.0.2.3/24\n");
	has(text, "\n  0.0.0.0/0 via 192.0.2.1 on wan\n");
	has(text, "\n  10.2.0.0/16 via 172.16.0.2 on dmz, realm 0\n");
	has(text, "\n  192.0.2.1 at 02:00:00:00:00:01 on wan\n");
	has(text, "pool of 13: 192.0.2.10-192.0.2.13 192.0.2.32-192.0.2.39 192.0.2.2, ports "
		  "2000-3000\n");
	has(text, "inbound packets pass from anyone to a mapped endpoint, inbound refresh off, "
		  "hairpin off\n");
	has(text, "IKE source port translated as other UDP; AH translated (");
	has(text,
		"ESP without IKE off; an ambiguous inbound SPI is given to the newest candidate\n");
	has(text, "IPsec that no binding claims goes to 10.0.0.5\n");
	has(text, "\n  10.0.8.0/24 of realm 0 is 198.51.100.0/24\n");
	has(text, "\n  TCP to 192.0.2.3:8080 goes to 10.0.0.6:80 of realm 0\n");
	has(text, "\nState survives a restart in /var/lib/spinat/unit, written every 60 s.\n");
	has(text, "\n  UDP to 192.0.2.2:53 goes to 10.0.0.7:53 of realm 0\n");
	has(text, "\n  IPsec to 192.0.2.2 goes to 10.0.0.8 of realm 0\n");
#define HAS_TIMEOUT(member, key, def, lo, hi, text_)                                             \
	snprintf(line, sizeof(line), "\n  %-16s %10u  %s\n", key, conf->timeouts.member, text_); \
	has(strstr(text, "\nTimeouts"), line);
	SPINAT_TIMEOUTS(HAS_TIMEOUT)
#define HAS_LIMIT(member, key, def, lo, hi, text_)                                             \
	snprintf(line, sizeof(line), "\n  %-16s %10u  %s\n", key, conf->limits.member, text_); \
	has(strstr(text, "\nLimits"), line);
	SPINAT_LIMITS(HAS_LIMIT)
	free(text);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(print_minimal)
{
	struct spinat_conf *conf = load("good/minimal.conf");
	char *text = print(conf);

	has(text,
		"Instance spinat: 1 worker, lcores chosen at start, power poll, log level info.\n");
	has(text,
		"Memory: huge pages where they are free, without them computed from the limits.\n");
	has(text, "/drivers-cfg.\n");
	has(text, "pool of 1: 192.0.2.2, ports 1024-65535\n");
	has(text, "IPsec that no binding claims is dropped\n");
	has(text, "\nState is lost at a restart: no checkpoint.\n");
	ck_assert_ptr_null(strstr(text, "Routes"));
	ck_assert_ptr_null(strstr(text, "Neighbours"));
	ck_assert_ptr_null(strstr(text, "Static"));
	ck_assert_ptr_null(strstr(text, "Redirections"));
	free(text);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(print_tenants)
{
	struct spinat_conf *conf = load("good/tenants.conf");
	char *text = print(conf);

	has(text, "  realm 5:\n    pool of 1: 192.0.2.50,");
	has(text, "goes to the only client that runs IKE\n");
	has(text, "\nRecords as IPFIX to tcp:203.0.113.9:4739: sessions on, ");
	has(text, "\n  10.9.0.0/17 via 10.0.0.8 on green, realm 2\n");
	ck_assert_ptr_null(strstr(text, "  realm 1:\n"));
	free(text);
	spinat_conf_free(conf);
}
END_TEST

/* The text from after one mark up to the next of another kind, to be freed; marks begin lines. */
static char *
part(const char *text, const char *mark, const char *end)
{
	const char *start = strstr(text, mark), *stop;

	ck_assert_msg(start != NULL, "no \"%s\" in the manual page", mark);
	start += strlen(mark);
	stop = strstr(start, end);
	return strndup(start, stop != NULL ? (size_t)(stop - start) : strlen(start));
}

/* What the page must say of a key so that it agrees with the table that the program reads by. */
static void
check_item(const struct conf_field *f, const char *item)
{
	const struct conf_word *w;
	char text[128];

	if (f->required)
		has(item, "Required.");
	if (f->read == conf_read_number) {
		snprintf(text, sizeof(text), "A number, %llu to %llu", (unsigned long long)f->lo,
			(unsigned long long)f->hi);
		has(item, text);
	}
	if (f->read == conf_read_number && f->has_default) {
		snprintf(text, sizeof(text), ", default %llu", (unsigned long long)f->def);
		has(item, text);
	}
	if (f->read == conf_read_bool)
		has(item, f->def ? "Default true" : "Default false");
	for (w = f->words; w != NULL && w->word != NULL; w++) {
		snprintf(text, sizeof(text), "\"%s\"", w->word);
		has(item, text);
		snprintf(text, sizeof(text), "efault \"%s\"", w->word);
		if (f->has_default && w->value == f->def)
			has(item, text);
	}
}

static void
check_section(const char *page, const struct conf_section *section)
{
	char mark[64], *text, *item;
	uint32_t i, items = 0;
	const char *p;

	snprintf(mark, sizeof(mark), ".SS %s\n",
		section->name[0] != '\0' ? section->name : "Top level");
	text = part(page, mark, "\n.S");
	for (i = 0; i < section->n; i++) {
		snprintf(mark, sizeof(mark), "\n.TP\n.B %s\n", section->fields[i].key);
		item = part(text, mark, "\n.TP");
		check_item(&section->fields[i], item);
		free(item);
	}
	for (p = text; (p = strstr(p, "\n.TP")) != NULL; p++)
		items++;
	ck_assert_msg(items == section->n, "%s: keys in the page that the program does not know",
		section->name);
	free(text);
}

START_TEST(manual_page)
{
	char *page, *from, *to;
	uint32_t i;

	page = read_text(SOURCE_ROOT "/app/spinat.conf.5");
	for (from = to = page; *from != '\0'; from++) {
		if (from[0] != '\\' || from[1] != '-')
			*to++ = *from;
	}
	*to = '\0';
	for (i = 0; conf_sections[i] != NULL; i++)
		check_section(page, conf_sections[i]);
	ck_assert_uint_eq(i, 14);
	free(page);
}
END_TEST

TCase *
test_words(void)
{
	TCase *tc = tcase_create("words");

	tcase_add_test(tc, print_full);
	tcase_add_test(tc, print_minimal);
	tcase_add_test(tc, print_tenants);
	tcase_add_test(tc, manual_page);
	return tc;
}
