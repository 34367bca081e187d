/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_CONFIG_SECTIONS_H
#define SPINAT_CONFIG_SECTIONS_H

#include "config/reader.h"

/** The realm that a rule is for. */
#define CONF_REALM(type)                                                            \
	{                                                                           \
		.key = "realm", .read = conf_read_number, CONF_MEMBER(type, realm), \
		.has_default = true, .hi = SPINAT_MAX_REALMS - 1                    \
	}

/*
 * The grammar: every group of the file with its table of keys. Within lib/config, and for the test
 * that holds the manual page against it.
 */

struct conf_section {
	const char *name; /* "" for the top level */
	const struct conf_field *fields;
	size_t n;
};

/** All of them; NULL ends the list. */
extern const struct conf_section *const conf_sections[];

extern const struct conf_section conf_root_section;
extern const struct conf_section conf_ports_section;
extern const struct conf_section conf_timeouts_section;
extern const struct conf_section conf_limits_section;
extern const struct conf_section conf_checkpoint_section;
extern const struct conf_section conf_records_section;
extern const struct conf_section conf_iface_section;
extern const struct conf_section conf_route_section;
extern const struct conf_section conf_neigh_section;
extern const struct conf_section conf_realm_section;
extern const struct conf_section conf_static_section;
extern const struct conf_section conf_redirect_section;
extern const struct conf_section conf_exempt_section;
extern const struct conf_section conf_driver_section;

/* Readers of the top level's keys. */
int conf_read_interfaces(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_routes(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_neighbours(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_realms(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_statics(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_redirects(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_exempts(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);
int conf_read_drivers(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out);

/** Gives every realm of an inside interface its defaults and its pool. After the whole file. */
int conf_finish_realms(struct conf_loader *l);

/** Checks a realm's port blocks and limits, and computes what follows from them. */
int conf_finish_client_rules(struct conf_loader *l, uint16_t realm);

/* Checks between settings, after the whole file has been read. */
int conf_check_interfaces(struct conf_loader *l);
int conf_check_routes(struct conf_loader *l);
int conf_check_outside(struct conf_loader *l);

/** Exempt rules against those that they would leave without effect. After conf_check_outside(). */
int conf_check_exempts(struct conf_loader *l);

/** Builds pool_addrs and the table behind spinat_conf_outside(). After all checks. */
int conf_build_outside(struct conf_loader *l);

/** Fails unless an inside interface is in this realm; a rule that says none has realm 0. */
int conf_need_realm(struct conf_loader *l, const config_setting_t *s, uint16_t realm);

/** Whether an inside interface is in this realm. */
bool conf_realm_in_use(const struct spinat_conf *conf, uint16_t realm);

/** First address of the first outside interface; its setting, or NULL where there is none. */
const config_setting_t *conf_first_outside(const struct conf_loader *l, rte_be32_t *addr);

/** Setting of address a of interface i. */
const config_setting_t *conf_iface_addr(const struct conf_loader *l, uint16_t i, uint16_t a);

/** Setting of element i of a list at the top level. */
const config_setting_t *conf_element(const struct conf_loader *l, const char *list, uint32_t i);

#endif
