/*
 * The seal of a store that is a file: which store, on which machine, which file, how far it had come when
 * the seal was written. A store that is not what its seal says was restored, copied or moved.
 * Runs on: lane, one at a time. Seen by src/store alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How far a store has come: both only grow. */
struct store_come {
	int64_t entries; /* of the ledger */
	int64_t facts; /* what people said: suppressions, stops, holds, pauses, erasures */
};

struct store_seal {
	char *file; /* owned: PATH.seal */
	char *path; /* owned: the store's real path */
	char store_id[33], machine[33];
	uint64_t inode;
	struct store_come come; /* as the file says; -1: there is none like this one */
	char *why; /* owned: what is wrong with the store, for people; NULL: nothing */
	bool is_moved; /* WHY: it is whole, and only in another place than it was */
};

/* Holds the store STORE_ID at PATH, which exists and has COME so far, against its seal: sets why, or
 * renews the seal. RET_WHY: of an error, owned by the caller. What S held before ends. */
int store_seal_open(struct store_seal *s, const char *path, const char *store_id,
	struct store_come come, char **ret_why) __attribute__((warn_unused_result));
/* The seal says what is true, COME included: nothing is wrong with the store from here on. Durable
 * when it returns; nothing is written if it says so already. */
int store_seal_write(struct store_seal *s, struct store_come come, char **ret_why)
	__attribute__((warn_unused_result));
void store_seal_done(struct store_seal *s); /* a zeroed one is accepted */

/* Which store the seal beside PATH is of; false: nobody knows. */
bool store_seal_id(const char *path, char ret[33]);
/* Before STORE_ID is put at PATH from a copy: its seal, if there is one, will tell; else one is made that
 * no file fits. */
int store_seal_keep(const char *path, const char *store_id, char **ret_why)
	__attribute__((warn_unused_result));
