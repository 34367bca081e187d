/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "binder_internal.h"

void *
ipsec_index_find(const struct spinat_binder *b, const struct ipsec_key *key)
{
	void *data;

	return rte_hash_lookup_data(b->index, key, &data) < 0 ? NULL : data;
}

int
ipsec_index_put(struct spinat_binder *b, const struct ipsec_key *key, void *data)
{
	return rte_hash_add_key_data(b->index, key, data);
}

void
ipsec_index_del(struct spinat_binder *b, const struct ipsec_key *key)
{
	rte_hash_del_key(b->index, key);
}
