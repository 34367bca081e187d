/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_BINDER_STATE_H
#define SPINAT_IPSEC_BINDER_STATE_H

#include "ipsec/binder.h"

/*
 * What the binder knows, as rows that outlive the process: IKE SAs, SPIs and credits. A row names
 * its client, outside address and gateway itself, so that rows can be put back one by one, in the
 * order of the kinds here. What is contested or watched is not kept: it is decided by timing that is over
 * when the rows come back, and by then the SPI's next packet is seen as one of an old SA.
 */

/* Flags of a row. */
#define SPINAT_ROW_LIVE 0x01 /* inbound ESP may be for the client */
#define SPINAT_ROW_NATT 0x02 /* the client's ESP with the gateway goes in UDP */
#define SPINAT_ROW_CLIENT_INITIATED 0x04 /* IKE SA */
#define SPINAT_ROW_ESTABLISHED 0x08 /* IKE SA */
#define SPINAT_ROW_PORT_OTHER 0x10 /* IKE SA: its source port is translated */
#define SPINAT_ROW_PORT_4500 0x20 /* IKE SA */
#define SPINAT_ROW_DOUBT 0x10 /* SPI: bound without agreeing evidence */
#define SPINAT_ROW_ORDERED 0x40 /* SPI: an operator has decided whose it is */
#define SPINAT_ROW_STALE 0x20 /* credit: a later one of its IKE SA has been spent */

/** Whose state it is. Addresses and SPIs in network byte order, all else native. */
struct spinat_row_owner {
	rte_be32_t client, outside, gateway;
	uint16_t realm;
	uint8_t flags; /* SPINAT_ROW_* */
	uint8_t proto; /* of the SPI; of a credit's outbound SPI; 0 */
};

struct spinat_ike_sa_row {
	struct spinat_row_owner owner;
	uint64_t init_spi, resp_spi;
	uint64_t packets;
	uint32_t idle_ms, age_ms;
	uint8_t major, exchange;
	uint8_t pad[6];
};

struct spinat_spi_row {
	struct spinat_row_owner owner;
	rte_be32_t spi;
	rte_be32_t peer; /* the other direction of the pair; 0: not known */
	uint32_t seq_first, seq_last;
	uint32_t idle_ms, age_ms;
	uint64_t packets, bytes, copies;
	rte_be32_t second; /* another client of the realm that chose the same SPI; 0: nobody */
	uint8_t dir; /* enum spinat_dir */
	uint8_t pad[3];
};

struct spinat_credit_row {
	struct spinat_row_owner owner;
	uint64_t init_spi; /* of the IKE SA that gave it; 0: none */
	rte_be32_t spi; /* outbound SPI of the pair; 0: not seen */
	uint32_t message_id;
	uint32_t age_ms;
	uint8_t kind, exchange;
	uint8_t pad[2];
};

_Static_assert(sizeof(struct spinat_row_owner) == 16, "rows are written to files as they are");
_Static_assert(sizeof(struct spinat_ike_sa_row) == 56, "rows are written to files as they are");
_Static_assert(sizeof(struct spinat_spi_row) == 72, "rows are written to files as they are");
_Static_assert(sizeof(struct spinat_credit_row) == 40, "rows are written to files as they are");

/** Credits of one client with one gateway at most: rows of one index. */
#define SPINAT_CREDIT_ROWS 8

/** What became of a row. */
enum spinat_binder_restored {
	SPINAT_BINDER_RESTORED,
	SPINAT_BINDER_EXPIRED,
	SPINAT_BINDER_FORBIDDEN, /* the configuration has no rule for it any more */
	SPINAT_BINDER_CLASH, /* it contradicts another row */
	SPINAT_BINDER_FULL,
	SPINAT_BINDER_INVALID,
};

/** Indices that may hold a row are below these. */
uint32_t spinat_binder_ike_rows(const struct spinat_binder *b);
uint32_t spinat_binder_spi_rows(const struct spinat_binder *b);
uint32_t spinat_binder_credit_rows(const struct spinat_binder *b);

/**
 * Copies what is at an index while the owner goes on. Any thread. What the owner is changing in that
 * moment is left out, not torn.
 *
 * @param at_ms of the binder's clock: what ages are counted from
 * @return number of rows: 0 or 1; of credits up to SPINAT_CREDIT_ROWS
 */
unsigned int spinat_binder_save_ike(const struct spinat_binder *b, uint32_t index, uint64_t at_ms,
	struct spinat_ike_sa_row *row);
unsigned int spinat_binder_save_spi(
	const struct spinat_binder *b, uint32_t index, uint64_t at_ms, struct spinat_spi_row *row);
unsigned int spinat_binder_save_credits(const struct spinat_binder *b, uint32_t index,
	uint64_t at_ms, struct spinat_credit_row *rows);

/**
 * Puts a row back that was saved down_ms ago. Before the worker starts: first IKE SAs, then SPIs,
 * then credits. Shortcuts are put in by the first packet of each SPI.
 */
enum spinat_binder_restored spinat_binder_restore_ike(struct spinat_binder *b,
	const struct spinat_conf *conf, const struct spinat_ike_sa_row *row, uint64_t now_ms,
	uint64_t down_ms);
enum spinat_binder_restored spinat_binder_restore_spi(struct spinat_binder *b,
	const struct spinat_conf *conf, const struct spinat_spi_row *row, uint64_t now_ms,
	uint64_t down_ms);
enum spinat_binder_restored spinat_binder_restore_credit(struct spinat_binder *b,
	const struct spinat_conf *conf, const struct spinat_credit_row *row, uint64_t now_ms,
	uint64_t down_ms);

#endif
