/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <fixbuf/public.h>

#include "ipfix.h"

#define DOMAIN 1 /* one box is one observation domain */

/* Values of natEvent and natQuotaExceededEvent (IANA). */
enum {
	SESSION_CREATE = 4,
	SESSION_DELETE = 5,
	PORTS_EXHAUSTED = 12,
	QUOTA_EXCEEDED = 13,
	BLOCK_ALLOCATION = 16,
	BLOCK_DEALLOCATION = 17,
};
enum { QUOTA_SESSIONS = 1, QUOTA_MAPPINGS = 2, QUOTA_CLIENT = 3, QUOTA_CLIENTS = 4 };

/* Every element that a record may have, in the order of elements[]; all in host order. */
struct row {
	uint64_t time_ms;
	uint32_t inside, outside, remote, realm;
	uint32_t quota, limit[4]; /* of each quota */
	uint16_t inside_port, outside_port, remote_port, first_port, last_port;
	uint8_t proto, event;
	uint8_t padding[4]; /* the compiler's */
};

/* Which templates have an element; those that have none of these are in all. */
#define INSIDE (1 << 0)
#define OUTSIDE (1 << 1)
#define PROTO (1 << 2)
#define PORTS (1 << 3)
#define REMOTE (1 << 4)
#define RANGE (1 << 5)
#define QUOTA (1 << 6)
#define LIMIT(n) (1 << (6 + (n)))
#define ROW UINT32_MAX /* the template that describes struct row */

static fbInfoElementSpec_t elements[] = {
	{"observationTimeMilliseconds", 8, 0},
	{"sourceIPv4Address", 4, INSIDE},
	{"postNATSourceIPv4Address", 4, OUTSIDE},
	{"destinationIPv4Address", 4, REMOTE},
	{"ingressVRFID", 4, INSIDE},
	{"natQuotaExceededEvent", 4, QUOTA},
	{"maxSessionEntries", 4, LIMIT(QUOTA_SESSIONS)},
	{"maxBIBEntries", 4, LIMIT(QUOTA_MAPPINGS)},
	{"maxEntriesPerUser", 4, LIMIT(QUOTA_CLIENT)},
	{"maxSubscribers", 4, LIMIT(QUOTA_CLIENTS)},
	{"sourceTransportPort", 2, PORTS},
	{"postNAPTSourceTransportPort", 2, PORTS},
	{"destinationTransportPort", 2, REMOTE},
	{"portRangeStart", 2, RANGE},
	{"portRangeEnd", 2, RANGE},
	{"protocolIdentifier", 1, PROTO},
	{"natEvent", 1, 0},
	{"paddingOctets", 4, ROW},
	FB_IESPEC_NULL,
};

enum template {
	ROW_TEMPLATE = 256,
	SESSION,
	SESSION_REMOTE,
	BLOCK,
	EXHAUSTED,
	QUOTA_TEMPLATE, /* + QUOTA_SESSIONS and the others */
	TEMPLATES_END = QUOTA_TEMPLATE + QUOTA_CLIENTS + 1,
};

static const uint32_t parts[TEMPLATES_END] = {
	[ROW_TEMPLATE] = ROW,
	[SESSION] = INSIDE | OUTSIDE | PROTO | PORTS,
	[SESSION_REMOTE] = INSIDE | OUTSIDE | PROTO | PORTS | REMOTE,
	[BLOCK] = INSIDE | OUTSIDE | RANGE,
	[EXHAUSTED] = INSIDE | OUTSIDE | PROTO,
	[QUOTA_TEMPLATE + QUOTA_SESSIONS] = QUOTA | LIMIT(QUOTA_SESSIONS),
	[QUOTA_TEMPLATE + QUOTA_MAPPINGS] = QUOTA | LIMIT(QUOTA_MAPPINGS),
	[QUOTA_TEMPLATE + QUOTA_CLIENT] = INSIDE | QUOTA | LIMIT(QUOTA_CLIENT),
	[QUOTA_TEMPLATE + QUOTA_CLIENTS] = QUOTA | LIMIT(QUOTA_CLIENTS),
};

struct spinat_ipfix {
	fbInfoModel_t *model;
	fBuf_t *buf; /* owns session and exporter */
	fbSession_t *session;
	fbExporter_t *exporter;
	uint8_t message[SPINAT_IPFIX_MESSAGE];
};

struct spinat_ipfix *
spinat_ipfix_create(void)
{
	struct spinat_ipfix *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->model = fbInfoModelAlloc();
	return x;
}

void
spinat_ipfix_free(struct spinat_ipfix *x)
{
	if (x == NULL)
		return;
	if (x->buf != NULL)
		fBufFree(x->buf);
	fbInfoModelFree(x->model);
	free(x);
}

/* Success; on failure the library's words about it go, since none of them can be the operator's
 * doing. */
static bool
done(gboolean ok, GError **err)
{
	g_clear_error(err);
	return ok;
}

static bool
add_template(struct spinat_ipfix *x, uint16_t id)
{
	fbTemplate_t *t = fbTemplateAlloc(x->model);
	GError *err = NULL;

	if (!fbTemplateAppendSpecArray(t, elements, parts[id], &err)) {
		fbTemplateFreeUnused(t);
		return done(FALSE, &err);
	}
	return done(fbSessionAddTemplate(x->session, id == ROW_TEMPLATE, id, t, &err) != 0, &err);
}

bool
spinat_ipfix_begin(struct spinat_ipfix *x)
{
	GError *err = NULL;
	bool ok = true;

	if (x->buf != NULL)
		fBufFree(x->buf);
	x->session = fbSessionAlloc(x->model);
	fbSessionSetDomain(x->session, DOMAIN);
	for (uint16_t id = ROW_TEMPLATE; id < TEMPLATES_END; id++)
		ok &= parts[id] == 0 || add_template(x, id);
	x->exporter = fbExporterAllocBuffer(x->message, sizeof(x->message));
	x->buf = fBufAllocForExport(x->session, x->exporter);
	return ok && done(fBufSetInternalTemplate(x->buf, ROW_TEMPLATE, &err), &err);
}

bool
spinat_ipfix_put_templates(struct spinat_ipfix *x)
{
	GError *err = NULL;

	return done(fbSessionExportTemplates(x->session, &err), &err);
}

static bool
put_row(struct spinat_ipfix *x, uint16_t template, struct row *row)
{
	GError *err = NULL;

	return done(fBufSetExportTemplate(x->buf, template, &err) &&
			    fBufAppend(x->buf, (uint8_t *)row, sizeof(*row), &err),
		&err);
}

bool
spinat_ipfix_put(
	struct spinat_ipfix *x, const struct spinat_record *record, uint64_t time_ms, bool remote)
{
	static const uint8_t events[] = {
		[SPINAT_RECORD_SESSION_BEGIN] = SESSION_CREATE,
		[SPINAT_RECORD_SESSION_END] = SESSION_DELETE,
		[SPINAT_RECORD_BLOCK_BEGIN] = BLOCK_ALLOCATION,
		[SPINAT_RECORD_BLOCK_END] = BLOCK_DEALLOCATION,
	};
	struct row row = {
		.time_ms = time_ms,
		.inside = rte_be_to_cpu_32(record->inside),
		.outside = rte_be_to_cpu_32(record->outside),
		.remote = rte_be_to_cpu_32(record->remote),
		.realm = record->realm,
		.inside_port = rte_be_to_cpu_16(record->inside_port),
		.outside_port = rte_be_to_cpu_16(record->outside_port),
		.remote_port = rte_be_to_cpu_16(record->remote_port),
		.proto = record->proto,
		.event = events[record->type],
	};

	if (row.event == SESSION_CREATE || row.event == SESSION_DELETE)
		return put_row(x, remote ? SESSION_REMOTE : SESSION, &row);
	row.first_port = row.outside_port;
	row.last_port = row.outside_port + record->block_size - 1;
	return put_row(x, BLOCK, &row);
}

static unsigned int
quota_of(enum spinat_drop reason)
{
	switch (reason) {
	case SPINAT_DROP_SESSIONS_FULL:
		return QUOTA_SESSIONS;
	case SPINAT_DROP_MAPPINGS_FULL:
		return QUOTA_MAPPINGS;
	case SPINAT_DROP_CLIENT_SESSIONS:
	case SPINAT_DROP_CLIENT_MAPPINGS:
		return QUOTA_CLIENT;
	case SPINAT_DROP_CLIENTS_FULL:
		return QUOTA_CLIENTS;
	default:
		return 0;
	}
}

bool
spinat_ipfix_knows(enum spinat_drop reason)
{
	return quota_of(reason) != 0 || reason == SPINAT_DROP_PORTS_EXHAUSTED;
}

bool
spinat_ipfix_put_refusal(
	struct spinat_ipfix *x, const struct spinat_refusal *refusal, uint64_t time_ms)
{
	const unsigned int quota = quota_of(refusal->reason);
	struct row row = {
		.time_ms = time_ms,
		.inside = rte_be_to_cpu_32(refusal->inside),
		.outside = rte_be_to_cpu_32(refusal->outside),
		.realm = refusal->realm,
		.quota = quota,
		.proto = refusal->proto,
		.event = QUOTA_EXCEEDED,
	};

	if (quota != 0) {
		row.limit[quota - 1] = refusal->limit;
		return put_row(x, QUOTA_TEMPLATE + quota, &row);
	}
	row.event = PORTS_EXHAUSTED;
	return put_row(x, EXHAUSTED, &row);
}

const uint8_t *
spinat_ipfix_end(struct spinat_ipfix *x, size_t *len)
{
	GError *err = NULL;

	if (!done(fBufEmit(x->buf, &err), &err))
		return NULL;
	*len = fbExporterGetMsgLen(x->exporter);
	return x->message;
}
