/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector.h"
#include "ipfix.h"

#define RETRY_MS 1000 /* until the next try to open a file or a connection */
#define STALE_MS 10000 /* templates come again over UDP, where a collector may have begun anew */
#define SILENT_MS 30000 /* a connection that acknowledges nothing for so long has broken */

struct spinat_collector {
	enum spinat_ipfix_transport transport;
	char path[SPINAT_PATH_LEN];
	struct sockaddr_in to;
	int fd; /* -1: none */
	bool connecting;
	bool new; /* nothing has been sent on fd */
	uint64_t retry_ms, stale_ms;
	int error;
	uint8_t rest[SPINAT_IPFIX_MESSAGE]; /* of a message that TCP took in part */
	size_t rest_len;
};

struct spinat_collector *
spinat_collector_create(const struct spinat_conf *conf)
{
	struct spinat_collector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->transport = conf->records.transport;
	strcpy(c->path, conf->records.ipfix);
	c->to.sin_family = AF_INET;
	c->to.sin_addr.s_addr = conf->records.collector;
	c->to.sin_port = conf->records.collector_port;
	c->fd = -1;
	return c;
}

void
spinat_collector_free(struct spinat_collector *c)
{
	if (c == NULL)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* The end of a transport session. */
static int
fail(struct spinat_collector *c, int error)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->rest_len = 0;
	c->error = error;
	return -error;
}

void
spinat_collector_reopen(struct spinat_collector *c)
{
	if (c->transport == SPINAT_IPFIX_FILE) {
		fail(c, 0);
		c->retry_ms = 0;
	}
}

static int
open_file(struct spinat_collector *c)
{
	/* a pipe that nobody reads must not hold the control lcore up */
	c->fd = open(c->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
	return c->fd < 0 ? fail(c, errno) : 0;
}

static int
open_socket(struct spinat_collector *c)
{
	const bool tcp = c->transport == SPINAT_IPFIX_TCP;
	const unsigned int silent_ms = SILENT_MS;

	c->fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return fail(c, errno);
	if (tcp)
		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof(silent_ms));
	c->connecting = connect(c->fd, (struct sockaddr *)&c->to, sizeof(c->to)) != 0;
	return c->connecting && errno != EINPROGRESS ? fail(c, errno) : 0;
}

/* Whether a connection that is being made is there. */
static bool
is_connected(struct spinat_collector *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, 0) == 0)
		return false;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		fail(c, error);
	c->connecting = false;
	return error == 0;
}

/* Collectors say nothing: what can be read is the end of the connection. */
static bool
has_ended(struct spinat_collector *c)
{
	char byte;

	return c->transport == SPINAT_IPFIX_TCP && recv(c->fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* What TCP does not take now is kept. */
static int
send_some(struct spinat_collector *c, const uint8_t *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN && c->transport == SPINAT_IPFIX_TCP)
		n = 0;
	if (n < 0)
		return fail(c, errno);
	memmove(c->rest, data + n, len - n);
	c->rest_len = len - n;
	return 0;
}

/* A message that the disk has taken in part would spoil what follows. */
static int
write_whole(struct spinat_collector *c, const uint8_t *data, size_t len)
{
	const off_t end = lseek(c->fd, 0, SEEK_END);
	const ssize_t n = write(c->fd, data, len);
	const int error = n < 0 ? errno : ENOSPC;

	if (n == (ssize_t)len)
		return 0;
	if (n > 0 && end >= 0 && ftruncate(c->fd, end) != 0)
		return fail(c, errno);
	return fail(c, error);
}

enum spinat_collector_state
spinat_collector_poll(struct spinat_collector *c, uint64_t now_ms)
{
	if (c->fd < 0) {
		if (now_ms < c->retry_ms)
			return SPINAT_COLLECTOR_AWAY;
		c->retry_ms = now_ms + RETRY_MS;
		c->new = true;
		if ((c->transport == SPINAT_IPFIX_FILE ? open_file(c) : open_socket(c)) != 0)
			return SPINAT_COLLECTOR_AWAY;
	}
	if (c->connecting && !is_connected(c))
		return SPINAT_COLLECTOR_AWAY;
	if (has_ended(c))
		fail(c, ECONNRESET);
	else if (c->rest_len > 0)
		send_some(c, c->rest, c->rest_len);
	if (c->fd < 0 || c->rest_len > 0)
		return SPINAT_COLLECTOR_AWAY;
	if (!c->new && (c->transport != SPINAT_IPFIX_UDP || now_ms < c->stale_ms))
		return SPINAT_COLLECTOR_READY;
	c->stale_ms = now_ms + STALE_MS;
	return c->new ? SPINAT_COLLECTOR_NEW : SPINAT_COLLECTOR_STALE;
}

int
spinat_collector_send(struct spinat_collector *c, const uint8_t *message, size_t len)
{
	if (c->fd < 0)
		return -ENOTCONN;
	c->new = false;
	c->error = 0;
	return c->transport == SPINAT_IPFIX_FILE ? write_whole(c, message, len)
						 : send_some(c, message, len);
}

int
spinat_collector_error(const struct spinat_collector *c)
{
	return c->error;
}
