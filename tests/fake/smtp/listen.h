/*
 * fake-smtp: the listening socket.
 * Runs on: the one thread of fake-smtp. Called by main.c at its start.
 */
#pragma once

#include "server.h"

enum listen_result {
	LISTEN_OK,
	LISTEN_BAD_ADDRESS, /* a mistake on the command line */
	LISTEN_FAILED, /* the system refused */
};

/* Listens on ADDR:PORT or [ADDR]:PORT, numeric; port 0: any. Connections go to conn_accept().
 * RET_NAME gets the address with its real port, *RET_PORT the port; or ERR what went wrong. */
enum listen_result listen_start(struct server *srv, const char *address, bool allow_remote,
	struct buf *ret_name, int *ret_port, struct buf *err);

/* Writes PORT into a file that appears complete or not at all. */
bool listen_write_port(const char *path, int port, struct buf *err);
