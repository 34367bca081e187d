/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "orders.h"

#define WAIT_S 30

/* One order at a time; who asks next waits. */
struct spinat_orders {
	struct spinat_engine *engine;
	pthread_mutex_t one; /* held by the thread that asks, from its question to its answer */
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	enum { ORDER_NONE, ORDER_WANTED, ORDER_SENT, ORDER_DONE } phase;
	struct spinat_order_slip slip; /* the worker's while phase is SENT */
};

struct spinat_orders *
spinat_orders_create(struct spinat_engine *e)
{
	struct spinat_orders *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->engine = e;
	pthread_mutex_init(&o->one, NULL);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	return o;
}

void
spinat_orders_free(struct spinat_orders *o)
{
	if (o == NULL)
		return;
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	pthread_mutex_destroy(&o->one);
	free(o);
}

static void
say(const struct spinat_order *order, enum spinat_order_result result, char *answer, size_t size)
{
	char client[INET_ADDRSTRLEN], outside[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];
	const uint32_t spi = rte_be_to_cpu_32(order->spi);

	inet_ntop(AF_INET, &order->client.addr, client, sizeof(client));
	inet_ntop(AF_INET, &order->outside, outside, sizeof(outside));
	inet_ntop(AF_INET, &order->gateway, gateway, sizeof(gateway));
	switch (result) {
	case SPINAT_ORDER_DONE:
		if (order->client.addr != 0)
			snprintf(answer, size, "ok: 0x%08x from %s goes to %s alone", spi, gateway,
				client);
		else
			snprintf(answer, size, "ok: what was known of 0x%08x from %s is forgotten",
				spi, gateway);
		break;
	case SPINAT_ORDER_NO_SPI:
		snprintf(answer, size,
			"error: no inbound SPI 0x%08x is known from gateway %s to outside address "
			"%s",
			spi, gateway, outside);
		break;
	case SPINAT_ORDER_NO_CLIENT:
		snprintf(answer, size,
			"error: %s is no client of gateway %s through outside address %s", client,
			gateway, outside);
		break;
	case SPINAT_ORDER_LIMIT:
		snprintf(answer, size,
			"error: %s has as many SPIs in use as limits.bindings_per_client allows",
			client);
		break;
	}
}

void
spinat_orders_ask(
	struct spinat_orders *o, const struct spinat_order *order, char *answer, size_t size)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&o->one);
	pthread_mutex_lock(&o->lock);
	/* one whose asker has lost patience may still be under way */
	while (o->phase == ORDER_SENT && rc == 0)
		rc = pthread_cond_timedwait(&o->changed, &o->lock, &until);
	if (rc == 0) {
		o->slip.order = *order;
		o->phase = ORDER_WANTED;
	}
	while (o->phase != ORDER_DONE && rc == 0)
		rc = pthread_cond_timedwait(&o->changed, &o->lock, &until);
	if (rc == 0)
		say(order, o->slip.result, answer, size);
	else
		snprintf(answer, size, "error: the worker did not answer in time");
	if (o->phase != ORDER_SENT)
		o->phase = ORDER_NONE;
	pthread_mutex_unlock(&o->lock);
	pthread_mutex_unlock(&o->one);
}

void
spinat_orders_serve(struct spinat_orders *o)
{
	char text[160];

	pthread_mutex_lock(&o->lock);
	if (o->phase == ORDER_WANTED && spinat_engine_order(o->engine, &o->slip) == 0)
		o->phase = ORDER_SENT;
	if (o->phase == ORDER_SENT && __atomic_load_n(&o->slip.done, __ATOMIC_ACQUIRE)) {
		say(&o->slip.order, o->slip.result, text, sizeof(text));
		LOG(NOTICE, "event=order realm=%u answer=\"%s\"", o->slip.order.client.realm, text);
		o->phase = ORDER_DONE;
		pthread_cond_broadcast(&o->changed);
	}
	pthread_mutex_unlock(&o->lock);
}
