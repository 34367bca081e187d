/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "collector.h"
#include "ipfix.h"
#include "log.h"
#include "records.h"

#define AT_ONCE 256 /* records of a worker before the control lcore looks at something else */
#define LOG_MS 60000 /* between lines about failures */

struct spinat_records {
	struct spinat_engine *engine;
	FILE *file; /* of text; or NULL, and then both or none of: */
	struct spinat_ipfix *ipfix;
	struct spinat_collector *collector;
	time_t second; /* of the last line */
	char time[32]; /* the same in words */
	uint64_t next_log_ms;
	unsigned int
		pending; /* records in the text's buffer, or in the message that is being made */
};

static FILE *
open_file(const struct spinat_conf *conf)
{
	/* a pipe that nobody reads must not hold the control lcore up */
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
	const int fd = open(conf->records.file, flags, 0666);

	return fd < 0 ? NULL : fdopen(fd, "a");
}

/* The text's file must be there from the start; a collector may come later. */
static int
open_output(struct spinat_records *r, struct spinat_conf_error *err)
{
	const struct spinat_conf *conf = r->engine->snapshot->conf;

	if (conf->records.ipfix[0] != '\0') {
		r->ipfix = spinat_ipfix_create();
		r->collector = spinat_collector_create(conf);
		return r->ipfix != NULL && r->collector != NULL ? 0 : -ENOMEM;
	}
	if (conf->records.file[0] == '\0')
		return 0;
	r->file = open_file(conf);
	if (r->file != NULL)
		return 0;
	snprintf(err->text, sizeof(err->text), "%s: records.file: \"%.200s\" can not be opened: %s",
		conf->path, conf->records.file, strerror(errno));
	return -EINVAL;
}

struct spinat_records *
spinat_records_create(struct spinat_engine *e, struct spinat_conf_error *err)
{
	struct spinat_records *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->engine = e;
	if (open_output(r, err) == 0)
		return r;
	spinat_records_free(r);
	return NULL;
}

void
spinat_records_free(struct spinat_records *r)
{
	if (r == NULL)
		return;
	while (spinat_records_serve(r) > 0)
		;
	if (r->file != NULL)
		fclose(r->file);
	spinat_collector_free(r->collector);
	spinat_ipfix_free(r->ipfix);
	free(r);
}

static void
log_failure(struct spinat_records *r, int error)
{
	const uint64_t now_ms = spinat_engine_now_ms(r->engine);

	if (now_ms < r->next_log_ms)
		return;
	r->next_log_ms = now_ms + LOG_MS;
	LOG(ERR, "event=records result=failed error=\"%s\" lost=%" PRIu64, strerror(error),
		r->engine->records_lost);
}

void
spinat_records_reopen(struct spinat_records *r)
{
	FILE *file;

	if (r->collector != NULL)
		spinat_collector_reopen(r->collector);
	if (r->file == NULL)
		return;
	file = open_file(r->engine->snapshot->conf);
	if (file == NULL) {
		log_failure(r, errno);
		return;
	}
	fclose(r->file);
	r->file = file;
}

/* What is pending is lost. Telemetry reads the count meanwhile. */
static void
lose(struct spinat_records *r, int error)
{
	__atomic_store_n(
		&r->engine->records_lost, r->engine->records_lost + r->pending, __ATOMIC_RELAXED);
	r->pending = 0;
	log_failure(r, error);
}

/* Writes out what is pending. */
static void
flush(struct spinat_records *r)
{
	const uint8_t *message;
	size_t len = 0;
	int rc;

	if (r->file != NULL) {
		if (fflush(r->file) != 0 || ferror(r->file))
			lose(r, errno);
		clearerr(r->file);
	} else {
		message = spinat_ipfix_end(r->ipfix, &len);
		rc = message == NULL ? -EMSGSIZE
				     : spinat_collector_send(r->collector, message, len);
		if (rc != 0)
			lose(r, -rc);
	}
	r->pending = 0;
}

/* Whether a record can be written now; a message with templates goes out where one is due. */
static bool
is_ready(struct spinat_records *r)
{
	enum spinat_collector_state state;
	bool ok = true;

	if (r->file != NULL || r->collector == NULL)
		return r->file != NULL;
	state = spinat_collector_poll(r->collector, spinat_engine_now_ms(r->engine));
	if (state == SPINAT_COLLECTOR_READY)
		return true;
	if (state == SPINAT_COLLECTOR_AWAY) {
		if (spinat_collector_error(r->collector) != 0)
			log_failure(r, spinat_collector_error(r->collector));
		return false;
	}
	if (state == SPINAT_COLLECTOR_NEW)
		ok = spinat_ipfix_begin(r->ipfix);
	if (!ok || !spinat_ipfix_put_templates(r->ipfix))
		return false;
	flush(r);
	return spinat_collector_poll(r->collector, spinat_engine_now_ms(r->engine)) ==
	       SPINAT_COLLECTOR_READY;
}

static uint64_t
real_time_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The beginning of every line. */
static void
write_time(struct spinat_records *r, uint64_t time_ms)
{
	const time_t second = time_ms / 1000;
	struct tm tm;

	if (second != r->second)
		strftime(r->time, sizeof(r->time), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&second, &tm));
	r->second = second;
	fprintf(r->file, "time=%s ", r->time);
}

static void
write_record(struct spinat_records *r, const struct spinat_record *record, uint64_t time_ms)
{
	static const char *const names[] = {
		[SPINAT_RECORD_SESSION_BEGIN] = "session_begin",
		[SPINAT_RECORD_SESSION_END] = "session_end",
		[SPINAT_RECORD_BLOCK_BEGIN] = "block_begin",
		[SPINAT_RECORD_BLOCK_END] = "block_end",
	};
	char inside[INET_ADDRSTRLEN], outside[INET_ADDRSTRLEN], remote[INET_ADDRSTRLEN];
	const unsigned int first = ntohs(record->outside_port);

	write_time(r, time_ms);
	inet_ntop(AF_INET, &record->inside, inside, sizeof(inside));
	inet_ntop(AF_INET, &record->outside, outside, sizeof(outside));
	fprintf(r->file, "event=%s realm=%u ", names[record->type], record->realm);
	if (record->type == SPINAT_RECORD_BLOCK_BEGIN || record->type == SPINAT_RECORD_BLOCK_END) {
		fprintf(r->file, "inside=%s outside=%s ports=%u-%u\n", inside, outside, first,
			first + record->block_size - 1);
		return;
	}
	fprintf(r->file, "protocol=%u inside=%s:%u outside=%s:%u", record->proto, inside,
		ntohs(record->inside_port), outside, first);
	if (r->engine->snapshot->conf->records.destinations) {
		inet_ntop(AF_INET, &record->remote, remote, sizeof(remote));
		fprintf(r->file, " remote=%s:%u", remote, ntohs(record->remote_port));
	}
	fputc('\n', r->file);
}

static void
put_record(struct spinat_records *r, const struct spinat_record *record, uint64_t time_ms)
{
	r->pending++;
	if (r->file != NULL)
		write_record(r, record, time_ms);
	else if (!spinat_ipfix_put(r->ipfix, record, time_ms,
			 r->engine->snapshot->conf->records.destinations))
		lose(r, EMSGSIZE);
}

unsigned int
spinat_records_serve(struct spinat_records *r)
{
	const uint64_t now_ms = real_time_ms(), now_tsc = rte_rdtsc();
	struct spinat_record record;
	unsigned int n = 0;

	for (uint16_t w = 0; w < r->engine->n_workers && is_ready(r); w++) {
		struct spinat_recorder *recorder = &r->engine->workers[w]->nat->recorder;

		for (int i = 0; i < AT_ONCE && spinat_recorder_take(recorder, &record); i++, n++) {
			const uint64_t age_tsc = now_tsc > record.tsc ? now_tsc - record.tsc : 0;

			put_record(r, &record, now_ms - age_tsc / r->engine->tsc_per_ms);
			if (r->ipfix != NULL && r->pending == SPINAT_IPFIX_RECORDS) {
				flush(r);
				if (!is_ready(r))
					return n + 1;
			}
		}
		if (r->pending > 0)
			flush(r);
	}
	return n;
}

static uint32_t
limit_of(const struct spinat_conf *conf, const struct spinat_event *event)
{
	const struct spinat_realm_conf *realm = &conf->realms[event->exhausted.realm];
	uint32_t of_protocol;

	switch (event->exhausted.reason) {
	case SPINAT_DROP_SESSIONS_FULL:
		return conf->limits.sessions;
	case SPINAT_DROP_MAPPINGS_FULL:
		return conf->limits.mappings != 0 ? conf->limits.mappings : conf->limits.sessions;
	case SPINAT_DROP_CLIENTS_FULL:
		return conf->limits.clients;
	case SPINAT_DROP_CLIENT_SESSIONS:
		return realm->client_sessions;
	case SPINAT_DROP_CLIENT_MAPPINGS:
		of_protocol = realm->client_mappings_of[spinat_transport(event->exhausted.proto)];
		return of_protocol != 0 ? of_protocol : realm->client_mappings;
	case SPINAT_DROP_CLIENT_RATE:
		return realm->client_rate;
	default:
		return 0;
	}
}

static void
write_refusal(struct spinat_records *r, const struct spinat_refusal *refusal, uint64_t time_ms)
{
	char inside[INET_ADDRSTRLEN], outside[INET_ADDRSTRLEN];

	write_time(r, time_ms);
	inet_ntop(AF_INET, &refusal->inside, inside, sizeof(inside));
	inet_ntop(AF_INET, &refusal->outside, outside, sizeof(outside));
	fprintf(r->file,
		"event=refused realm=%u protocol=%u inside=%s outside=%s reason=%s limit=%u\n",
		refusal->realm, refusal->proto, inside, outside,
		spinat_drop_info[refusal->reason].name, refusal->limit);
}

void
spinat_records_refused(
	struct spinat_records *r, const struct spinat_event *event, rte_be32_t outside)
{
	const struct spinat_conf *conf = r->engine->snapshot->conf;
	const struct spinat_refusal refusal = {
		.inside = event->exhausted.client,
		.outside = outside,
		.limit = limit_of(conf, event),
		.realm = event->exhausted.realm,
		.proto = event->exhausted.proto,
		.reason = event->exhausted.reason,
	};

	if (!conf->records.refusals || (r->ipfix != NULL && !spinat_ipfix_knows(refusal.reason)))
		return;
	if (r->file == NULL && r->collector == NULL)
		return;
	if (!is_ready(r)) {
		r->pending = 1;
		lose(r, ENOTCONN);
		return;
	}
	r->pending = 1;
	if (r->file != NULL)
		write_refusal(r, &refusal, real_time_ms());
	else if (!spinat_ipfix_put_refusal(r->ipfix, &refusal, real_time_ms()))
		lose(r, EMSGSIZE);
	if (r->pending > 0)
		flush(r);
}
