/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_TCP_MSS_H
#define SPINAT_PACKET_TCP_MSS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Lowers the maximum segment size that a SYN offers (RFC 9293 3.7.1) and keeps the checksum as right
 * or wrong as it was. An option that is absent, smaller or malformed stays as it is. Any lcore.
 *
 * @param tcp TCP header
 * @param len bytes that can be read at tcp, 20 or more; options behind them are not looked at
 * @param mss largest value to let through, host order
 * @return whether it was changed
 */
bool spinat_tcp_clamp_mss(uint8_t *tcp, uint32_t len, uint16_t mss);

#endif
