/*
 * A mailbox from inside: what the files of the room share. pool.c holds the mailboxes and says when
 * one may send; state.c alone moves one from state to state; cap.c knows what a day may hold, pace.c
 * what a gap is.
 * Runs on: loop. Private to src/mailbox.
 */
#pragma once

#include "coldmail/list.h"
#include "coldmail/mailbox.h"

#include "cap.h"
#include "pace.h"

struct mailbox {
	struct list_node node; /* in the list of its state */
	char *address; /* owned */
	enum mailbox_state state;
	enum mailbox_state
		health; /* READY to TLS: what it would be if nobody here stood in its way */
	char *why; /* owned: of the health; NULL: it is READY */
	int64_t until_ms; /* boot, of the health: a server's trouble has no calendar */
	char *paused; /* owned: why it is paused; NULL: it is not */
	bool is_removed;
	struct mailbox_pace pace;
	struct mailbox_cap cap;
	struct mailbox_guard guard;
	int connections;
	size_t in_use; /* mails started and not over */
	size_t waiting; /* of those, the ones that have no slot yet */
	int64_t backoff_ms; /* the next one */
	int refused_logins; /* in a row */
	bool is_proven; /* a mail went out since it failed last */
	bool has_history; /* mailbox_history() was called */
	bool is_resumed; /* before that */
};

/* state.c */
void mailbox_state_init(void); /* before the first mailbox */
void mailbox_state_enter(struct mailbox *m); /* a new one, READY */
void mailbox_state_leave(struct mailbox *m); /* it ends */
/* What ends by itself, ends. */
void mailbox_state_wake(struct mailbox *m);
void mailbox_state_set_removed(struct mailbox *m, bool is_removed);
/* Takes over what an earlier process kept. */
void mailbox_state_recall(struct mailbox *m, const struct store_mailbox *kept);
/* Why it is not READY; "" when it is. */
const char *mailbox_state_why(const struct mailbox *m);
/* When its state ends, on the wall clock; CLOCK_NEVER_MS: not by itself. */
int64_t mailbox_state_until(const struct mailbox *m);
