/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <string.h>

#include "nat/hash.h"
#include "state/kinds.h"
#include "state/save.h"

/*
 * From the last row to the first: the tables changed while they were copied, so of two rows that
 * contradict each other (a port that went from one mapping to another) the later one is true.
 */
static void
restore_rows(struct spinat_state *s, const struct spinat_state_image *image,
	enum spinat_state_kind kind, uint64_t now_ms)
{
	const uint32_t size = spinat_state_row_size[kind];

	for (uint32_t i = image->header->rows[kind]; i-- > 0;) {
		const enum spinat_restored done = state_sources[kind].restore(
			s->engine, image->rows[kind] + (size_t)i * size, now_ms, s->stats.down_ms);

		if (done == SPINAT_RESTORED)
			s->stats.restored[kind]++;
		else
			s->stats.skipped[done]++;
	}
}

int
spinat_state_restore(struct spinat_state *s, struct spinat_conf_error *err)
{
	const struct spinat_conf *conf = s->engine->snapshot->conf;
	const uint64_t begin_ms = spinat_engine_now_ms(s->engine);
	struct spinat_state_image image;
	int rc;

	if (conf->checkpoint.file[0] == '\0')
		return 0;
	rc = spinat_state_file_read(conf->checkpoint.file, conf->name, &image, err);
	if (rc == -ENOENT)
		return 0;
	if (rc != 0) {
		s->stats.refused = *err;
		spinat_state_file_put_aside(conf->checkpoint.file);
		return rc;
	}
	s->stats.found = true;
	s->stats.down_ms = spinat_state_since(image.header);
	/* every host stays with the worker that has its ports, as far as there are as many */
	spinat_owner_seed = image.header->owner_seed;
	for (unsigned int kind = 0; kind < SPINAT_STATE_KINDS; kind++)
		restore_rows(s, &image, kind, begin_ms);
	spinat_state_image_free(&image);
	s->stats.restore_ms = spinat_engine_now_ms(s->engine) - begin_ms;
	return 0;
}
