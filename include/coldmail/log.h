/*
 * Log: events with a subject, as text (terminal), JSON (files) or native journal datagrams. A log
 * call can neither fail the work nor wait for anybody: what cannot be written at once is dropped
 * and counted. errno is preserved. Secrets, bodies and prompts never reach it.
 * Runs on: any (lanes too).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h> /* LOG_ERR LOG_WARNING LOG_NOTICE LOG_INFO LOG_DEBUG */

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL };

/* AUTO: journal fields when standard error is the journal's stream (JOURNAL_STREAM, systemd.exec(5)),
 * text on a terminal, JSON otherwise. */
void log_init(enum log_format format, int max_priority);
void log_set_level(int max_priority); /* LOG_DEBUG shows everything */
/* "error" "warning" "notice" "info" "debug" to a priority; -1 when it is none of them. */
int log_parse_level(const char *name);

/* One key and its value. The keys lead, mailbox, campaign and model become COLDMAIL_* fields in
 * the journal; names are stable: interfaces.md. */
struct log_kv {
	const char *key;
	enum { LOG_KV_END, LOG_KV_STR, LOG_KV_INT, LOG_KV_NUM, LOG_KV_BOOL } type;
	union {
		const char *s; /* NULL leaves the key out */
		int64_t i;
		double f;
	} u;
};
#define LOG_S(k, v)                                                                                \
	{                                                                                          \
		(k), LOG_KV_STR,                                                                   \
		{                                                                                  \
			.s = (v)                                                                   \
		}                                                                                  \
	}
#define LOG_I(k, v)                                                                                \
	{                                                                                          \
		(k), LOG_KV_INT,                                                                   \
		{                                                                                  \
			.i = (int64_t)(v)                                                          \
		}                                                                                  \
	}
#define LOG_F(k, v)                                                                                \
	{                                                                                          \
		(k), LOG_KV_NUM,                                                                   \
		{                                                                                  \
			.f = (v)                                                                   \
		}                                                                                  \
	}
#define LOG_B(k, v)                                                                                \
	{                                                                                          \
		(k), LOG_KV_BOOL,                                                                  \
		{                                                                                  \
			.i = (v)                                                                   \
		}                                                                                  \
	}

/* log_event(LOG_INFO, "send", LOG_S("to", addr), LOG_I("code", 250)): `send to=… code=250`. A
 * value with spaces, quotes or non-printing bytes is quoted and escaped in the text form. */
#define log_event(prio, event, ...)                                                                \
	log_write((prio), (event), (const struct log_kv[]){ __VA_ARGS__, { 0 } })
void log_write(int priority, const char *event, const struct log_kv *kv);

uint64_t log_dropped(void); /* lines lost because nobody read them */
