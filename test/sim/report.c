/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>
#include <stdlib.h>

#include "packet/drop.h"
#include "report.h"

#define FEW_PACKETS 3
#define TROUBLE_MOST 200

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Round trips from the first packet of each binding to its right settlement, in order; infinite
 * where it never was. The caller frees. */
static double *
settle_times(const struct sim *s, uint32_t *n)
{
	double *t = sim_alloc((s->score.n_bindings + 1) * sizeof(*t));
	uint32_t i;

	*n = 0;
	for (i = 0; i < s->score.n_bindings; i++) {
		const struct binding *b = &s->score.bindings[i];

		if (b->packets == 0)
			continue;
		t[(*n)++] = b->right_us == 0
				    ? INFINITY
				    : ((double)b->right_us - (double)b->first_us) / s->rtt_us;
	}
	qsort(t, *n, sizeof(*t), compare);
	return t;
}

static double
median_up_s(const struct sim *s)
{
	double *t = sim_alloc((s->p.clients + 1) * sizeof(*t)), median;
	uint32_t i;

	for (i = 0; i < s->p.clients; i++) {
		const struct client *c = &s->clients[i];

		t[i] = c->up_us == 0 ? INFINITY : 1e-6 * (c->up_us - c->started_us);
	}
	qsort(t, s->p.clients, sizeof(*t), compare);
	median = t[s->p.clients / 2];
	free(t);
	return isinf(median) ? -1 : median;
}

struct figures
report_figures(const struct sim *s)
{
	struct figures f = {
		.inbound = s->score.inbound,
		.lost = s->score.lost,
		.copies = s->score.copies,
		.median_up_s = median_up_s(s),
	};
	uint32_t i, n;
	double *times = settle_times(s, &n);
	uint64_t longest = 0;

	f.median_settle_rtts = n == 0 || isinf(times[n / 2]) ? -1 : times[n / 2];
	free(times);
	for (i = 0; i < s->score.n_bindings; i++) {
		const struct binding *b = &s->score.bindings[i];

		if (b->packets == 0)
			continue;
		f.bindings++;
		if (b->state != SPINAT_BINDING_SETTLED) {
			f.ambiguous++;
			f.ambiguous_few += b->packets <= FEW_PACKETS;
		} else if (b->right) {
			f.settled_right++;
		} else {
			f.settled_wrong++;
		}
		f.wrong_ever += b->wrong_ever;
		longest = RTE_MAX(longest, b->wrong_longest_us);
		if (b->wrong_since_us != 0)
			longest = RTE_MAX(longest, s->now_us - b->wrong_since_us);
	}
	f.wrong_longest_s = 1e-6 * longest;
	f.copies_share = f.inbound > 0 ? fmin(1, (double)f.copies / f.inbound) : 0;
	for (i = 0; i < s->p.clients; i++)
		f.clients_up += s->clients[i].up_us != 0;
	return f;
}

static void
print_lost(FILE *out, const struct sim *s)
{
	const char *comma = "";
	int i;

	fprintf(out, "  \"lost_why\": {");
	for (i = 0; i < SPINAT_DROP_COUNT; i++) {
		if (s->score.lost_why[i] == 0)
			continue;
		fprintf(out, "%s\"%s\": %" PRIu64, comma,
			i == SPINAT_DROP_NONE ? "given_to_others" : spinat_drop_info[i].name,
			s->score.lost_why[i]);
		comma = ", ";
	}
	fprintf(out, "},\n");
}

static void
print_seconds(FILE *out, const struct sim *s, const char *name, const uint32_t *by_s)
{
	const uint64_t n = RTE_MIN((s->now_us - s->begin_us) / 1000000, (uint64_t)SCORE_SECONDS);
	uint64_t i;

	fprintf(out, "  \"%s\": [", name);
	for (i = 0; i < n; i++)
		fprintf(out, "%s%u", i > 0 ? ", " : "", by_s[i]);
	fprintf(out, "],\n");
}

static const char *const app_names[] = {
	[APP_ASK] = "client asks",
	[APP_BULK] = "transfer",
	[APP_ASKED] = "gateway asks",
	[APP_FROM_GATEWAY] = "one way from the gateway",
	[APP_FROM_CLIENT] = "one way from the client",
	[APP_SILENT] = "silent",
	[APP_NONE] = "scripted",
};

static const char *const state_names[] = {
	[SPINAT_BINDING_FREE] = "unknown",
	[SPINAT_BINDING_PROVISIONAL] = "provisional",
	[SPINAT_BINDING_FANOUT] = "fanout",
	[SPINAT_BINDING_AMBIGUOUS] = "ambiguous",
	[SPINAT_BINDING_SETTLED] = "settled",
};

/* The same figures by what goes through the tunnel. */
static void
print_by_app(FILE *out, const struct sim *s)
{
	struct {
		uint32_t bindings, right, wrong;
		uint64_t inbound, lost, copies;
	} by[APP_KINDS] = {0};
	const char *comma = "";
	uint32_t i;

	for (i = 0; i < s->score.n_bindings; i++) {
		const struct binding *b = &s->score.bindings[i];
		const enum sim_app app = b->sa->tunnel->app.kind;

		by[app].bindings += b->packets > 0;
		by[app].right += b->packets > 0 && b->right;
		by[app].wrong += b->state == SPINAT_BINDING_SETTLED && !b->right;
		by[app].inbound += b->packets;
		by[app].lost += b->lost;
		by[app].copies += b->copies;
	}
	fprintf(out, "  \"by_app\": {");
	for (i = 0; i < APP_KINDS; i++) {
		if (by[i].bindings == 0)
			continue;
		fprintf(out,
			"%s\n    \"%s\": {\"bindings\": %u, \"settled_right\": %u, "
			"\"settled_wrong\": %u, \"inbound\": %" PRIu64 ", \"lost\": %" PRIu64
			", \"copies\": %" PRIu64 "}",
			comma, app_names[i], by[i].bindings, by[i].right, by[i].wrong,
			by[i].inbound, by[i].lost, by[i].copies);
		comma = ",";
	}
	fprintf(out, "},\n");
}

/* What went wrong, to begin looking for the cause. */
static void
print_trouble(FILE *out, const struct sim *s)
{
	const char *comma = "";
	uint32_t i, n = 0;

	fprintf(out, "  \"trouble\": [");
	for (i = 0; i < s->score.n_bindings && n < TROUBLE_MOST; i++) {
		const struct binding *b = &s->score.bindings[i];

		if (b->packets == 0 || (b->right && b->lost == 0 && !b->wrong_ever))
			continue;
		n++;
		fprintf(out,
			"%s\n    {\"spi\": \"0x%08x\", \"client\": %u, \"ike\": %u, "
			"\"app\": \"%s\", \"first_s\": %.3f, \"last_s\": %.3f, ",
			comma, b->sa->si, b->sa->client->index, b->sa->client->major,
			app_names[b->sa->tunnel->app.kind], 1e-6 * (b->first_us - s->begin_us),
			1e-6 * (b->last_us - s->begin_us));
		fprintf(out,
			"\"packets\": %u, \"lost\": %u, \"copies\": %u, \"state\": \"%s\", "
			"\"right\": %s, \"wrong_ever\": %s, \"retired\": %s, ",
			b->packets, b->lost, b->copies, state_names[b->state],
			b->right ? "true" : "false", b->wrong_ever ? "true" : "false",
			b->retired ? "true" : "false");
		fprintf(out, "\"bound_to\": %d, \"why\": \"%s\"}",
			b->bound_to == 0 ? -1
					 : (int)(rte_be_to_cpu_32(b->bound_to) -
						   rte_be_to_cpu_32(s->clients[0].id.addr)),
			b->why);
		comma = ",";
	}
	fprintf(out, "],\n");
}

static void
print_settle_times(FILE *out, const struct sim *s)
{
	uint32_t i, n;
	double *t = settle_times(s, &n);

	fprintf(out, "  \"settle_rtts\": [");
	for (i = 0; i < n && !isinf(t[i]); i++)
		fprintf(out, "%s%.2f", i > 0 ? ", " : "", t[i]);
	fprintf(out, "]\n");
	free(t);
}

static void
print_number(FILE *out, const char *name, double value)
{
	if (value < 0)
		fprintf(out, "  \"%s\": null,\n", name);
	else
		fprintf(out, "  \"%s\": %.6g,\n", name, value);
}

void
report_json(FILE *out, const struct sim *s)
{
	const struct figures f = report_figures(s);
	const struct score *sc = &s->score;

	fprintf(out, "  \"bindings\": %u,\n  \"settled_right\": %u,\n  \"settled_wrong\": %u,\n",
		f.bindings, f.settled_right, f.settled_wrong);
	fprintf(out, "  \"ambiguous\": %u,\n  \"ambiguous_few_packets\": %u,\n", f.ambiguous,
		f.ambiguous_few);
	fprintf(out, "  \"wrong_ever\": %u,\n", f.wrong_ever);
	print_number(out, "wrong_longest_s", f.wrong_longest_s);
	fprintf(out, "  \"inbound\": %" PRIu64 ",\n  \"lost\": %" PRIu64 ",\n", f.inbound, f.lost);
	fprintf(out, "  \"lost_before_client_sent\": %" PRIu64 ",\n", sc->lost_unseen);
	print_lost(out, s);
	fprintf(out, "  \"late\": %" PRIu64 ",\n", sc->late);
	fprintf(out, "  \"early\": %" PRIu64 ",\n  \"copies\": %" PRIu64 ",\n", sc->early,
		f.copies);
	print_number(out, "copies_share", f.copies_share);
	print_number(out, "median_settle_rtts", f.median_settle_rtts);
	fprintf(out, "  \"outbound\": %" PRIu64 ",\n  \"outbound_dropped\": %" PRIu64 ",\n",
		sc->outbound, sc->outbound_dropped);
	fprintf(out, "  \"ike_inbound\": %" PRIu64 ",\n  \"ike_lost\": %" PRIu64 ",\n", sc->ike_in,
		sc->ike_lost);
	fprintf(out,
		"  \"ike_to_others\": %" PRIu64 ",\n  \"ike_outbound_dropped\": %" PRIu64 ",\n",
		sc->ike_wrong, sc->ike_out_dropped);
	fprintf(out, "  \"ike_failed\": %" PRIu64 ",\n", sc->ike_failed);
	fprintf(out, "  \"clients_up\": %u,\n", f.clients_up);
	print_number(out, "median_up_s", f.median_up_s);
	fprintf(out, "  \"peak_bindings\": %u,\n  \"rtt_ms\": %.3f,\n", sc->peak_bindings,
		s->rtt_us / 1000);
	print_seconds(out, s, "inbound_by_s", sc->inbound_by_s);
	print_seconds(out, s, "copies_by_s", sc->copies_by_s);
	print_by_app(out, s);
	print_trouble(out, s);
	print_settle_times(out, s);
}
