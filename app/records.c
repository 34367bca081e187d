/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "records.h"

#define AT_ONCE 256 /* records of a worker before the control lcore looks at something else */

struct spinat_records {
	struct spinat_engine *engine;
	FILE *file; /* NULL: no records are kept */
	bool failed; /* and that has been logged */
};

static FILE *
open_file(const struct spinat_conf *conf)
{
	return fopen(conf->records.file, "ae");
}

struct spinat_records *
spinat_records_create(struct spinat_engine *e, struct spinat_conf_error *err)
{
	const struct spinat_conf *conf = e->snapshot->conf;
	struct spinat_records *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->engine = e;
	if (conf->records.file[0] == '\0')
		return r;
	r->file = open_file(conf);
	if (r->file != NULL)
		return r;
	snprintf(err->text, sizeof(err->text), "%s: records.file: \"%.200s\" can not be opened: %s",
		conf->path, conf->records.file, strerror(errno));
	free(r);
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
	free(r);
}

void
spinat_records_reopen(struct spinat_records *r)
{
	FILE *file;

	if (r->file == NULL)
		return;
	file = open_file(r->engine->snapshot->conf);
	if (file == NULL) {
		LOG(ERR, "event=records result=failed error=\"%s\"", strerror(errno));
		return;
	}
	fclose(r->file);
	r->file = file;
}

static const char *const names[] = {
	[SPINAT_RECORD_SESSION_BEGIN] = "session_begin",
	[SPINAT_RECORD_SESSION_END] = "session_end",
	[SPINAT_RECORD_BLOCK_BEGIN] = "block_begin",
	[SPINAT_RECORD_BLOCK_END] = "block_end",
};

static void
write_record(struct spinat_records *r, const struct spinat_record *record, const char *time)
{
	char inside[INET_ADDRSTRLEN], outside[INET_ADDRSTRLEN], remote[INET_ADDRSTRLEN];
	const unsigned int first = ntohs(record->outside_port);

	inet_ntop(AF_INET, &record->inside, inside, sizeof(inside));
	inet_ntop(AF_INET, &record->outside, outside, sizeof(outside));
	fprintf(r->file, "time=%s event=%s realm=%u ", time, names[record->type], record->realm);
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

/* The first failure in a row is logged. */
static void
flush(struct spinat_records *r)
{
	const bool failed = fflush(r->file) != 0 || ferror(r->file);

	if (failed && !r->failed)
		LOG(ERR, "event=records result=failed error=\"%s\"", strerror(errno));
	r->failed = failed;
	clearerr(r->file);
}

unsigned int
spinat_records_serve(struct spinat_records *r)
{
	struct spinat_record record;
	struct timespec now;
	unsigned int n = 0;
	char time[32];
	struct tm tm;

	if (r->file == NULL)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now.tv_sec, &tm));
	for (uint16_t w = 0; w < r->engine->n_workers; w++) {
		struct spinat_recorder *recorder = &r->engine->workers[w]->nat->recorder;

		for (int i = 0; i < AT_ONCE && spinat_recorder_take(recorder, &record); i++, n++)
			write_record(r, &record, time);
	}
	if (n > 0)
		flush(r);
	return n;
}
