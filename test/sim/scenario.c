/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "kit.h"
#include "scenario.h"

struct scenario {
	const char *name;
	const char *about;
	const char *wire; /* what covers the part that the binder does not see */
	uint32_t worlds; /* played one after the other, each with a seed of its own */
	void (*play)(struct sim *s);
};

static const struct scenario scenarios[] = {
	{"T1", "one client, which sends first", "", 20, play_client_first},
	{"T2", "one client, the gateway sends first", "", 20, play_gateway_first},
	{"T3", "two clients 0, 1, 10 or 100 ms apart, answers in order and reversed", "", 20,
		play_two_clients},
	{"T4", "two clients idle for ten minutes, then the gateway sends to one", "", 5, play_idle},
	{"T5", "the gateway rekeys one client while another one negotiates", "", 20,
		play_rekey_meets_start},
	{"T6", "two clients have chosen the same SPI", "", 10, play_same_spi},
	{"T7", "SAs that are used one way only", "", 20, play_one_way},
	{"T8", "an owner that never answers", "", 20, play_never_answers},
	{"T9", "a client with NAT-T beside a native one", "test/functional/test_natt.py", 10,
		play_natt},
	{"T10", "gateways that insist on port 500", "test/functional/test_ike.py", 20,
		play_port_500},
	{"T11", "the gateway begins phase 1, three clients it may be for",
		"test/functional/test_ike.py", 20, play_gateway_starts_ike},
	{"T12", "AH as ESP", "test/functional/test_ah.py, test/e2e/test_ah.py", 20,
		play_authentication_header},
	{"T13", "ESP in fragments, which the binder sees when the first one is there",
		"test/functional/test_fragments.py", 20, play_fragments},
	{"T14", "an ICMP error quotes what a client sent", "test/functional/test_icmp_error.py", 10,
		play_quoted},
	{"T15", "the box starts anew in mid-traffic, with and without its checkpoint",
		"test/e2e/test_trouble.py", 10, play_restart},
	{"T16", "a million made-up SPIs a second while a client begins", "", 3, play_flood},
	{"T17", "200 clients in 60 s", "", 1, play_crowd},
	{"T18", "the only client is joined by a second one under load", "", 20,
		play_sole_talker_ends},
	{"T19", "Quick Mode's third message after the first ESP", "", 20, play_late_third_message},
	{"T20", "child SAs in IKE_AUTH and CREATE_CHILD_SA, and rekeys of everything", "", 10,
		play_rekeys},
	{"T21", "SPI 0 and 1 to 255", "test/functional/test_esp.py", 1, play_reserved_spis},
	{"T22", "the gateway is behind the same NAT", "test/functional/test_hairpin.py", 20,
		play_hairpin},
	{"T23", "control: the rule that the newest gets it must fail T3", "", 1, play_newest_fails},
};

const struct scenario *
scenario_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(scenarios); i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

void
scenario_list(FILE *out)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(scenarios); i++)
		fprintf(out, "%s\t%s\t%s\n", scenarios[i].name, scenarios[i].about,
			scenarios[i].wire);
}

void
scenario_print(FILE *out, const struct scenario *scenario, const char *failed)
{
	fprintf(out, "  \"scenario\": \"%s\",\n  \"about\": \"%s\",\n  \"wire\": \"%s\",\n",
		scenario->name, scenario->about, scenario->wire);
	fprintf(out, "  \"passed\": %s,\n  \"failed\": \"%s\",\n",
		failed == NULL ? "true" : "false", failed == NULL ? "" : failed);
}

const char *
scenario_run(struct sim *s, const struct scenario *scenario)
{
	const struct sim_params p = s->p;
	uint32_t i;

	for (i = 0; i < scenario->worlds && kit_failed() == NULL; i++) {
		s->p = p;
		s->p.seed = p.seed * 1000 + i;
		scenario->play(s);
	}
	return kit_failed();
}
