/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "telemetry/handlers.h"

/* The telemetry library passes no context to handlers. */
static struct spinat_telemetry current;
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
	const char *cmd;
	command_fn fn;
	const char *help;
} commands[] = {
	{"/spinat/info", handle_info, "Version, configuration, uptime, table usage. No parameters"},
	{"/spinat/stats", handle_stats, "Packet counters: totals, per worker, per interface, ARP"},
	{"/spinat/drops", handle_drops, "Dropped packets by reason. Parameter: text"},
	{"/spinat/sessions", handle_sessions,
		"Sessions. Parameters: protocol, client, remote, outside, realm, limit, cursor"},
	{"/spinat/mappings", handle_mappings,
		"Mappings. Parameters: protocol, client, outside, realm, limit, cursor"},
	{"/spinat/bindings", handle_bindings,
		"SPI bindings. Parameters: protocol, client, remote, outside, realm, limit, "
		"cursor"},
	{"/spinat/ike", handle_ike,
		"IKE SAs. Parameters: client, remote, outside, realm, limit, cursor"},
	{"/spinat/pools", handle_pools, "Outside addresses. Parameters: outside, limit, cursor"},
	{"/spinat/neighbours", handle_neighbours, "ARP entries. Parameters: remote, limit, cursor"},
	{"/spinat/checkpoint", handle_checkpoint,
		"Checkpoint: what was written and restored. No parameters"},
	{"/spinat/config", handle_config, "Configuration in force. No parameters"},
};

static int
dispatch(const char *cmd, const char *params, struct rte_tel_data *data)
{
	int rc = answer_error(data, "spinat is stopping");

	pthread_mutex_lock(&current_lock);
	for (unsigned int i = 0; current.engine != NULL && i < RTE_DIM(commands); i++) {
		if (strcmp(commands[i].cmd, cmd) != 0)
			continue;
		pthread_mutex_lock(&current.engine->control_lock);
		rc = commands[i].fn(&current, params, data);
		pthread_mutex_unlock(&current.engine->control_lock);
		break;
	}
	pthread_mutex_unlock(&current_lock);
	return rc;
}

/* These two wait for the control lcore, so they must not hold what that one may want. */
static int
handle_request(const char *cmd, const char *params __rte_unused, struct rte_tel_data *data)
{
	struct spinat_telemetry t;
	char answer[sizeof(struct spinat_conf_error) + 32];

	pthread_mutex_lock(&current_lock);
	t = current;
	pthread_mutex_unlock(&current_lock);
	if (t.engine == NULL)
		return answer_error(data, "spinat is stopping");
	(strcmp(cmd, "/spinat/reload") == 0 ? t.reload : t.checkpoint)(
		t.ctx, answer, sizeof(answer));
	return rte_tel_data_string(data, answer);
}

/* The same with an order to read first. */
static int
handle_order(const char *cmd, const char *params, struct rte_tel_data *data)
{
	const bool bind = strcmp(cmd, "/spinat/bind") == 0;
	char answer[256];
	struct spinat_order order;
	struct spinat_telemetry t;
	int rc = -ESHUTDOWN;

	snprintf(answer, sizeof(answer), "error: spinat is stopping");
	pthread_mutex_lock(&current_lock);
	t = current;
	if (t.engine != NULL) {
		pthread_mutex_lock(&t.engine->control_lock);
		rc = order_parse(
			params, bind, t.engine->snapshot->conf, &order, answer, sizeof(answer));
		pthread_mutex_unlock(&t.engine->control_lock);
	}
	pthread_mutex_unlock(&current_lock);
	if (rc == 0)
		t.order(t.ctx, &order, answer, sizeof(answer));
	return rte_tel_data_string(data, answer);
}

int
spinat_telemetry_start(const struct spinat_telemetry *t)
{
	int rc = 0;

	pthread_mutex_lock(&current_lock);
	current = *t;
	pthread_mutex_unlock(&current_lock);
	for (unsigned int i = 0; i < RTE_DIM(commands) && rc == 0; i++)
		rc = rte_telemetry_register_cmd(commands[i].cmd, dispatch, commands[i].help);
	if (rc == 0)
		rc = rte_telemetry_register_cmd("/spinat/reload", handle_request,
			"Reads the configuration file again. No parameters");
	if (rc == 0)
		rc = rte_telemetry_register_cmd("/spinat/checkpoint_now", handle_request,
			"Writes a checkpoint now. No parameters");
	if (rc == 0)
		rc = rte_telemetry_register_cmd("/spinat/bind", handle_order,
			"Gives an inbound SPI to one client. "
			"Parameters: SPI, gateway, outside, client [, realm]");
	if (rc == 0)
		rc = rte_telemetry_register_cmd("/spinat/unbind", handle_order,
			"Forgets whose an inbound SPI is. Parameters: SPI, gateway, outside [, "
			"realm]");
	return rc;
}

void
spinat_telemetry_stop(void)
{
	pthread_mutex_lock(&current_lock);
	current.engine = NULL;
	pthread_mutex_unlock(&current_lock);
}
