/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "nat/hash.h"
#include "state/kinds.h"
#include "state/save.h"

/* Indices looked at in one turn: some 200 us, which ARP can wait. */
#define TURN_ROWS 1024

struct spinat_state *
spinat_state_create(struct spinat_engine *e)
{
	struct spinat_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->engine = e;
	s->due_ms = spinat_engine_now_ms(e) + e->snapshot->conf->checkpoint.interval * 1000ull;
	return s;
}

void
spinat_state_free(struct spinat_state *s)
{
	if (s == NULL)
		return;
	if (s->phase == STATE_WRITES)
		pthread_join(s->thread, NULL);
	free(s->data);
	free(s);
}

const struct spinat_state_stats *
spinat_state_stats_get(const struct spinat_state *s)
{
	return &s->stats;
}

void
spinat_state_want(struct spinat_state *s)
{
	s->wanted = true;
}

static struct spinat_state_header *
header(struct spinat_state *s)
{
	return (struct spinat_state_header *)s->data;
}

/* Room for that many bytes more, and the digest. */
static bool
make_room(struct spinat_state *s, size_t more)
{
	const size_t need = s->len + more + SPINAT_STATE_DIGEST_LEN;
	uint8_t *data;

	if (need <= s->room)
		return true;
	data = realloc(s->data, need * 2);
	if (data == NULL)
		return false;
	s->data = data;
	s->room = need * 2;
	return true;
}

/* The checkpoint under way is over, one way or the other. */
static enum spinat_state_end
end(struct spinat_state *s, uint64_t now_ms, int result)
{
	struct spinat_state_stats *stats = &s->stats;
	const bool serving = s->serving;

	pthread_mutex_lock(&s->engine->control_lock);
	if (result == 0) {
		const struct spinat_state_header *h = header(s);

		stats->written++;
		stats->error.text[0] = '\0';
		stats->ended_ms = now_ms;
		stats->bytes = h->length;
		stats->gather_ms = s->gathered_ms - s->begin_ms;
		stats->write_ms = now_ms - s->gathered_ms;
		for (unsigned int k = 0; k < SPINAT_STATE_KINDS; k++)
			stats->rows[k] = h->rows[k];
	} else {
		stats->failures++;
		stats->error = s->error;
	}
	pthread_mutex_unlock(&s->engine->control_lock);
	free(s->data);
	s->data = NULL;
	s->len = s->room = 0;
	s->phase = STATE_IDLE;
	s->serving = false;
	s->due_ms = now_ms + s->engine->snapshot->conf->checkpoint.interval * 1000ull;
	return serving ? SPINAT_STATE_ENDED_WANTED : SPINAT_STATE_ENDED;
}

static int
no_memory(struct spinat_state *s)
{
	snprintf(s->error.text, sizeof(s->error.text), "%s: no memory for the rows", s->path);
	return -ENOMEM;
}

static int
begin(struct spinat_state *s, uint64_t now_ms)
{
	const struct spinat_conf *conf = s->engine->snapshot->conf;

	snprintf(s->path, sizeof(s->path), "%s", conf->checkpoint.file);
	s->serving = s->wanted;
	s->wanted = false;
	s->begin_ms = now_ms;
	s->kind = 0;
	s->worker = 0;
	s->index = 0;
	if (!make_room(s, sizeof(struct spinat_state_header)))
		return no_memory(s);
	spinat_state_header_init(header(s), conf->name);
	header(s)->owner_seed = spinat_owner_seed;
	header(s)->workers = s->engine->n_workers;
	s->len = sizeof(struct spinat_state_header);
	s->phase = STATE_GATHERS;
	return 0;
}

/* On to the next table: of the next worker, then of the next kind. */
static void
next_table(struct spinat_state *s)
{
	s->index = 0;
	if (++s->worker < s->engine->n_workers)
		return;
	s->worker = 0;
	s->kind++;
}

/* Copies rows of one table. */
static int
gather(struct spinat_state *s)
{
	const struct state_source *source = &state_sources[s->kind];
	const uint32_t size = spinat_state_row_size[s->kind];
	const struct spinat_worker *w = s->engine->workers[s->worker];
	const uint32_t count = source->count(w), stop = RTE_MIN(count, s->index + TURN_ROWS);

	if (!make_room(s, (size_t)TURN_ROWS * source->rows * size))
		return no_memory(s);
	rte_rcu_qsbr_thread_online(s->engine->qsbr, SPINAT_READER_CONTROL);
	for (; s->index < stop; s->index++) {
		const unsigned int n = source->save(w, s->index, s->begin_ms, s->data + s->len);

		s->len += n * size;
		header(s)->rows[s->kind] += n;
	}
	rte_rcu_qsbr_thread_offline(s->engine->qsbr, SPINAT_READER_CONTROL);
	if (s->index >= count)
		next_table(s);
	return 0;
}

static void *
write_thread(void *arg)
{
	struct spinat_state *s = arg;

	s->result = spinat_state_file_write(s->path, s->data, &s->error);
	__atomic_store_n(&s->written, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
seal(struct spinat_state *s)
{
	s->gathered_ms = spinat_engine_now_ms(s->engine);
	header(s)->length = s->len + SPINAT_STATE_DIGEST_LEN;
}

/* A disk may take its time: a thread waits for it, not the control lcore. */
static int
start_writing(struct spinat_state *s)
{
	int rc;

	seal(s);
	s->written = false;
	rc = rte_ctrl_thread_create(&s->thread, "spinat-state", NULL, write_thread, s);
	if (rc != 0) {
		snprintf(s->error.text, sizeof(s->error.text), "%s: no thread to write it: %s",
			s->path, strerror(abs(rc)));
		return -EAGAIN;
	}
	s->phase = STATE_WRITES;
	return 0;
}

enum spinat_state_end
spinat_state_turn(struct spinat_state *s, uint64_t now_ms)
{
	const bool on = s->engine->snapshot->conf->checkpoint.file[0] != '\0';
	int rc = 0;

	switch (s->phase) {
	case STATE_IDLE:
		if (on && (s->wanted || now_ms >= s->due_ms))
			rc = begin(s, now_ms);
		break;
	case STATE_GATHERS:
		rc = s->kind < SPINAT_STATE_KINDS ? gather(s) : start_writing(s);
		break;
	case STATE_WRITES:
		if (!__atomic_load_n(&s->written, __ATOMIC_ACQUIRE))
			return SPINAT_STATE_GOES_ON;
		pthread_join(s->thread, NULL);
		return end(s, now_ms, s->result);
	}
	return rc == 0 ? SPINAT_STATE_GOES_ON : end(s, now_ms, rc);
}

int
spinat_state_finish(struct spinat_state *s)
{
	int rc;

	if (s->engine->snapshot->conf->checkpoint.file[0] == '\0')
		return 0;
	if (s->phase == STATE_WRITES) {
		pthread_join(s->thread, NULL);
		end(s, spinat_engine_now_ms(s->engine), s->result);
	}
	free(s->data);
	s->data = NULL;
	s->len = s->room = 0;
	rc = begin(s, spinat_engine_now_ms(s->engine));
	while (rc == 0 && s->kind < SPINAT_STATE_KINDS)
		rc = gather(s);
	if (rc == 0) {
		seal(s);
		rc = spinat_state_file_write(s->path, s->data, &s->error);
	}
	end(s, spinat_engine_now_ms(s->engine), rc);
	return rc;
}
