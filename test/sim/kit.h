/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_KIT_H
#define SPINAT_SIM_KIT_H

#include "report.h"
#include "world.h"

/* What scenarios are written with, and the scenarios. Times are milliseconds since the world began; clients are known
 * by number. */

/** A world of so many clients that do nothing but IKE: no loss, no rekey, one tunnel each. */
void kit_quiet(struct sim *s, uint32_t clients);
/** Makes the world that s->p says; the one before it goes. */
void kit_create(struct sim *s);
void kit_app(struct sim *s, uint32_t client, enum sim_app kind);
void kit_start(struct sim *s, uint32_t client, double at_ms);
/** One question of a side, to be answered by the other. */
void kit_ask(struct sim *s, double at_ms, uint32_t client, enum sim_side side);
void kit_rekey(struct sim *s, double at_ms, uint32_t client, enum sim_side side);
void kit_rekey_ike(struct sim *s, double at_ms, uint32_t client, enum sim_side side);
void kit_run(struct sim *s, double until_ms);
double kit_now_ms(const struct sim *s);

/** Remembers the first thing that does not hold. Returns ok. */
bool kit_expect(bool ok, const char *format, ...) __rte_format_printf(2, 3);
/** What did not hold, or NULL. */
const char *kit_failed(void);
/** For a control: what was expected must have failed, and is forgotten; else text is remembered. */
void kit_expect_failed(const char *text);
/** No packet lost, and that many bindings, all settled to their owners. */
bool kit_expect_right(const struct sim *s, uint32_t bindings, const char *what);

/* --- the scenarios: each plays a world of its own, and says by kit_expect() what must hold --- */

/* play_start.c: how SAs begin */
void play_client_first(struct sim *s);
void play_gateway_first(struct sim *s);
void play_two_clients(struct sim *s);
void play_rekey_meets_start(struct sim *s);
void play_same_spi(struct sim *s);
void play_late_third_message(struct sim *s);
void play_authentication_header(struct sim *s);
void play_sole_talker_ends(struct sim *s);
void play_hairpin(struct sim *s);
void play_newest_fails(struct sim *s);

/* play_life.c: how they go on */
void play_idle(struct sim *s);
void play_one_way(struct sim *s);
void play_never_answers(struct sim *s);
void play_fragments(struct sim *s);
void play_restart(struct sim *s);
void play_rekeys(struct sim *s);
void play_crowd(struct sim *s);

/* play_other.c: what is not ESP between two that want it */
void play_natt(struct sim *s);
void play_port_500(struct sim *s);
void play_gateway_starts_ike(struct sim *s);
void play_quoted(struct sim *s);
void play_flood(struct sim *s);
void play_reserved_spis(struct sim *s);

#endif
