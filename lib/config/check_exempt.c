/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include "config/sections.h"
#include "config/text.h"

/*
 * Exempt rules come before all others. One that is for every remote leaves a static rule or a
 * redirection without effect, and one for outside addresses of the box's never applies: hairpinning
 * translates. Either is a mistake.
 */

static bool
holds(const struct spinat_prefix *outer, rte_be32_t addr, uint8_t len)
{
	return outer->len <= len && conf_in_prefix(addr, outer);
}

static int
check_hosts(struct conf_loader *l, const struct spinat_exempt_conf *rule, const config_setting_t *s)
{
	const struct spinat_conf *conf = l->conf;
	uint32_t i;

	for (i = 0; i < conf->n_statics; i++)
		if (conf->statics[i].realm == rule->realm &&
			holds(&rule->from, conf->statics[i].inside, conf->statics[i].len))
			return conf_clash(l, s, "less than every remote: no packet would reach",
				conf_at(conf_element(l, "static", i), "inside"));
	for (i = 0; i < conf->n_redirects; i++)
		if (conf->redirects[i].realm == rule->realm &&
			holds(&rule->from, conf->redirects[i].inside, 32))
			return conf_clash(l, s, "less than every remote: no packet would reach",
				conf_at(conf_element(l, "redirect", i), "inside"));
	return 0;
}

static int
check_remotes(
	struct conf_loader *l, const struct spinat_exempt_conf *rule, const config_setting_t *s)
{
	const struct spinat_conf *conf = l->conf;
	const uint32_t first = rte_be_to_cpu_32(rule->to.addr);
	const uint32_t last = first | ~conf_mask(rule->to.len);
	struct spinat_prefix outside;
	uint32_t i;

	for (i = 0; i < l->n_pools; i++)
		if (l->pools[i].first <= first && last <= l->pools[i].last)
			return conf_clash(l, s, "remotes, not outside addresses of", l->pools[i].s);
	for (i = 0; i < conf->n_statics; i++) {
		outside = (struct spinat_prefix){conf->statics[i].outside, conf->statics[i].len};
		if (holds(&outside, rule->to.addr, rule->to.len))
			return conf_clash(l, s, "remotes, not outside addresses of",
				conf_at(conf_element(l, "static", i), "outside"));
	}
	return 0;
}

int
conf_check_exempts(struct conf_loader *l)
{
	const struct spinat_exempt_conf *rule;
	const config_setting_t *s;
	uint32_t i;

	for (i = 0; i < l->conf->n_exempts; i++) {
		rule = &l->conf->exempts[i];
		s = conf_at(conf_element(l, "exempt", i), "to");
		if ((rule->to.len == 0 && check_hosts(l, rule, s) != 0) ||
			check_remotes(l, rule, s) != 0)
			return -EINVAL;
	}
	return 0;
}
