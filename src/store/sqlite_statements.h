/*
 * Every statement of the SQLite backend, in one table, so that a test can hold all of them against
 * the indexes (tests/store/plans.c).
 *   NONE   no plan
 *   SEEK   finds its rows through an index: its cost does not grow with the store
 *   SMALL  may read all of something that is small by nature: controls, tally, what is in flight
 *   PAGE   walks one index in order from where it left off, or counts: never for the corridor
 * Runs on: lane. Included by store_sqlite.h alone.
 */
#pragma once

#include "coldmail/lead.h"

/* SQL has a format of its own. */
/* clang-format off */

#define STORE_COLUMN(name)      ", " #name
#define STORE_COLUMN_SET(name)  ", " #name " = ?"
#define STORE_COLUMN_MARK(name) ", ?"

/* With STORE_LEAD_READ, read by store_row_lead(). */
#define STORE_LEAD_COLS                                                                            \
	"_id, email, person, campaign, state, reason, until, stage, step, last_step, due, "        \
	"mailbox, zone, n_sent, last_sent_at, status, created_at, extra" LEAD_COLUMNS(STORE_COLUMN)
#define STORE_LEAD_MARKS                                                                           \
	"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?" LEAD_COLUMNS(STORE_COLUMN_MARK)
#define STORE_LEAD_SETS                                                                            \
	"_id = ?, email = ?, person = ?, campaign = ?, state = ?, reason = ?, until = ?, "         \
	"stage = ?, step = ?, last_step = ?, due = ?, mailbox = ?, zone = ?, n_sent = ?, "         \
	"last_sent_at = ?, status = ?, created_at = ?, extra = ?" LEAD_COLUMNS(STORE_COLUMN_SET)

/* A lead as it is read: the reason for people comes last, and is written by other statements. */
#define STORE_LEAD_READ STORE_LEAD_COLS ", error_message"

/* Read by store_row_email(). */
#define STORE_EMAIL_COLS                                                                           \
	"key, lead_id, campaign_id, person, step, followup_number, to_email, from_email, "         \
	"subject, body, draft_hash, renderer, message_id, in_reply_to, \"references\", date, "     \
	"identity, state, outcome, created_at, sent_at, error_message"

/* Read by store_row_attempt(): the attempt a and its slot s. */
#define STORE_ATTEMPT_COLS                                                                         \
	"a._id, a.state, s.state, s.why, a.campaign, a.lead_id, a.step, a.to_email, "              \
	"a.mailbox, a.message_id, a.class, a.why, a.code, a.text, a.queue_id, "                     \
	"a.server_message_id, a.sha256, a.at, s.at, "                                              \
	"a.ended_at, a.delay_connect, a.delay_envelope, a.delay_dot"
#define STORE_ATTEMPT_FROM                                                                         \
	"SELECT " STORE_ATTEMPT_COLS " FROM attempts a"                                            \
	" LEFT JOIN attempts s ON s._id = a._id || '!' "

/* Read by store_row_suppression(). */
#define STORE_SUPPRESSION_COLS "pattern, reason, evidence, source, created_at, until"

/* Holds for good: NULL says so, and what is no time is no end. */
#define STORE_NO_END "until IS NULL OR typeof(until) <> 'integer' OR until <= 0"

/* The attempts of a key: '#' is followed by '$'. */
#define STORE_ATTEMPTS_OF(t, key) t "_id > " key " || '#' AND " t "_id < " key " || '$'"

/* Went out, for all we know: what is counted. */
#define STORE_WENT_OUT "outcome IN ('sent', 'uncertain')"

/* What guards ask instead: may have gone out. Every row but one that is known not to, for the cell that
 * says so may be the one that cannot be read. (A longer IN would build a table for each mail.) */
#define STORE_MAY_BE_OUT(e)                                                                        \
	"((" e "state = 'done' AND " e "outcome IN ('refused', 'cancelled')) OR (" e               \
	"outcome = '' AND (" e "state IN ('drafted', 'ready') OR " e "state = 'planned')))"        \
	" IS NOT TRUE"

/* So does a try of it, whatever its row in emails says; its slots say nothing more. */
#define STORE_TRY_MAY_BE_OUT(e)                                                                    \
	"EXISTS (SELECT 1 FROM attempts t WHERE " STORE_ATTEMPTS_OF("t.", e "key") " AND"          \
	" (t.state <> 'released' AND t.state <> 'refused' AND t.state <> 'not_sent' AND"           \
	" t.state <> 'void' AND t.state <> 'transmitting') IS NOT FALSE)"

/* A lead whose step is none of the stopped ones, ?4. */
#define STORE_GOES_ON "(?4 = '' OR instr(?4, char(10) || step || char(10)) = 0)"

/* A lead that no claim, waking or release would ever find. The index leads_odd is made of the same
 * words; every lead written is held against them, and NOT IN would build a table for that. */
#define STORE_LEAD_ODD                                                                             \
	"(state IS NULL OR (state <> 'queued' AND state <> 'held' AND state <> 'in_flight'"        \
	" AND state <> 'ended')"                                                                   \
	" OR (state = 'queued' AND (typeof(due) <> 'integer' OR typeof(campaign) <> 'text'"        \
	" OR campaign = '' OR typeof(mailbox) <> 'text' OR typeof(zone) <> 'text'"                 \
	" OR instr(zone, char(0)) OR coalesce(stage, '') NOT IN ('draft', 'send'))))"

/* Queued leads of campaign ?1: for the one pump, and for the other from mailbox WHOSE. */
#define STORE_FOR_DRAFT "FROM leads WHERE state = 'queued' AND stage = 'draft' AND campaign = ?1"
#define STORE_FOR_SEND(whose)                                                                      \
	"FROM leads WHERE state = 'queued' AND stage = 'send' AND campaign = ?1 AND mailbox = " whose

#define STORE_STATEMENTS(X)                                                                        \
	/* transactions */                                                                         \
	X(BEGIN_WRITE, NONE, "BEGIN IMMEDIATE")                                                    \
	X(BEGIN_READ, NONE, "BEGIN")                                                               \
	X(COMMIT, NONE, "COMMIT")                                                                  \
	X(ROLLBACK, NONE, "ROLLBACK")                                                              \
	X(OP_BEGIN, NONE, "SAVEPOINT op")                                                          \
	X(OP_UNDO, NONE, "ROLLBACK TO op")                                                         \
	X(OP_END, NONE, "RELEASE op")                                                              \
                                                                                                   \
	/* meta */                                                                                 \
	X(META_GET, SEEK, "SELECT value FROM meta WHERE name = ?1")                                \
	X(META_SET, NONE, "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO"   \
		" UPDATE SET value = excluded.value")                                              \
	X(META_DROP, SEEK, "DELETE FROM meta WHERE name = ?1")                                     \
	X(FACTS, SEEK, "SELECT value FROM meta WHERE name = 'facts' AND typeof(value) ="           \
		" 'integer'")                                                                      \
	X(FACT_ADD, NONE, "INSERT INTO meta (name, value) VALUES ('facts', 1) ON CONFLICT (name)"  \
		" DO UPDATE SET value = value + 1")                                                \
                                                                                                   \
	/* leads */                                                                                \
	X(LEAD_BY_ROW, SEEK, "SELECT " STORE_LEAD_READ " FROM leads WHERE rowid = ?1")             \
	X(LEAD_BY_ID, SEEK, "SELECT " STORE_LEAD_READ " FROM leads WHERE _id = ?1")                \
	X(LEAD_BY_EMAIL, SEEK, "SELECT " STORE_LEAD_READ " FROM leads WHERE email = ?1")           \
	X(LEAD_OF_PERSON, SEEK, "SELECT " STORE_LEAD_READ " FROM leads WHERE _id = (SELECT"        \
		" lead_id FROM emails WHERE person = ?1 ORDER BY rowid DESC LIMIT 1)")             \
	X(LEAD_IN_FLIGHT, SEEK, "SELECT 1 FROM leads WHERE _id = ?1 AND state = 'in_flight' AND"   \
		" claimed_by = ?2")                                                                \
	X(LEAD_KEY, SEEK, "SELECT campaign, person, step FROM leads WHERE _id = ?1")               \
	X(LEAD_INSERT, NONE, "INSERT INTO leads (" STORE_LEAD_COLS ") VALUES (" STORE_LEAD_MARKS   \
		")")                                                                               \
	X(LEAD_UPDATE, SEEK, "UPDATE leads SET " STORE_LEAD_SETS ", error_message = iif(state ="   \
		" ?5, error_message, NULL) WHERE email = ?2")                                      \
	X(LEAD_MOVE, SEEK, "UPDATE leads SET state = ?2, reason = ?3, until = ?4, stage ="         \
		" coalesce(?5, stage), step = coalesce(?6, step), last_step = coalesce(?7,"        \
		" last_step), due = coalesce(?8, due), mailbox = coalesce(?9, mailbox), status"    \
		" = lead_status(?2, ?3, n_sent), error_message = ?10 WHERE _id = ?1 AND (?11 IS"   \
		" NULL OR (state = 'in_flight' AND (?11 = '' OR claimed_by = ?11)))")              \
	X(LEAD_RECOUNT, SEEK, "UPDATE leads SET n_sent = ?2, last_sent_at = ?3, status ="          \
		" lead_status(state, reason, ?2) WHERE _id = ?1")                                  \
	X(LEAD_SPOIL, SEEK, "UPDATE leads SET state = 'held', reason = 'bad_record', until ="      \
		" 9223372036854775807, status = lead_status('held', 'bad_record', n_sent),"        \
		" error_message = ?2 WHERE rowid = ?1")                                            \
	X(LEADS_ODD, SMALL, "UPDATE leads SET state = 'held', reason = 'bad_record', until ="      \
		" 9223372036854775807, status = lead_status('held', 'bad_record', n_sent),"        \
		" error_message = 'state, stage, campaign, mailbox or due time is not usable'"     \
		" WHERE rowid IN (SELECT rowid FROM leads WHERE " STORE_LEAD_ODD " LIMIT ?1)")     \
	/* The first zone from ?2 on that has leads, and the earliest of them. */               \
	X(DRAFT_BUCKET, SEEK, "SELECT zone, due " STORE_FOR_DRAFT " AND zone >= ?2 AND "           \
		STORE_GOES_ON " ORDER BY zone, due LIMIT 1")                                       \
	X(SEND_BUCKET, SEEK, "SELECT zone, due " STORE_FOR_SEND("?3") " AND zone >= ?2 AND "       \
		STORE_GOES_ON " UNION ALL SELECT zone, due " STORE_FOR_SEND("''") " AND zone"      \
		" >= ?2 AND " STORE_GOES_ON " ORDER BY zone, due LIMIT 1")                         \
	X(CLAIM_DRAFT, SEEK, "SELECT rowid, due " STORE_FOR_DRAFT " AND zone = ?5 AND due <= ?2"   \
		" AND " STORE_GOES_ON " ORDER BY due LIMIT ?3")                                    \
	X(CLAIM_SEND, SEEK, "SELECT rowid, due " STORE_FOR_SEND("?6") " AND zone = ?5 AND due <="  \
		" ?2 AND " STORE_GOES_ON " UNION ALL SELECT rowid, due " STORE_FOR_SEND("''")      \
		" AND zone = ?5 AND due <= ?2 AND " STORE_GOES_ON " ORDER BY due LIMIT ?3")        \
	X(CLAIM_TAKE, SEEK, "UPDATE leads SET state = 'in_flight', reason = '', claimed_by ="      \
		" ?2, status = lead_status('in_flight', '', n_sent) WHERE rowid = ?1")             \
	X(RECOVER, SMALL, "UPDATE leads SET state = 'queued', reason = '', claimed_by = NULL,"     \
		" status = lead_status('queued', '', n_sent) WHERE rowid IN (SELECT l.rowid"       \
		" FROM leads l WHERE l.state = 'in_flight' AND NOT EXISTS (SELECT 1 FROM"          \
		" attempts WHERE state = 'reserved' AND person = l.person) LIMIT ?1)")             \
	X(WAKE, SEEK, "UPDATE leads SET state = 'queued', reason = '', status ="                   \
		" lead_status('queued', '', n_sent) WHERE rowid IN (SELECT rowid FROM leads"       \
		" WHERE state = 'held' AND until <= ?1 ORDER BY until LIMIT ?2)")                  \
	X(WAKE_NEXT, SEEK, "SELECT until FROM leads WHERE state = 'held' AND until < ?1 ORDER"     \
		" BY until LIMIT 1")                                                               \
	X(STRAYS, SEEK, "SELECT rowid, due, _id, zone " STORE_FOR_SEND("?2") " AND (zone, due,"    \
		" rowid) > (?3, ?4, ?5) ORDER BY zone, due, rowid LIMIT ?6")                       \
	X(LEAD_REDUE, SEEK, "UPDATE leads SET due = ?2 WHERE _id = ?1 AND (typeof(due) <>"         \
		" 'integer' OR due NOT BETWEEN 0 AND 253402300799999)")                            \
	X(LEAD_UNBIND, SEEK, "UPDATE leads SET mailbox = '' WHERE rowid = ?1")                     \
	X(LEAD_LIST, PAGE, "SELECT " STORE_LEAD_READ " FROM leads WHERE email > ?1 AND (?2 IS"     \
		" NULL OR campaign = ?2) AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR"        \
		" reason = ?4) ORDER BY email LIMIT ?5")                                           \
	X(LEADS_STOPPED, PAGE, "SELECT email, state, reason, error_message FROM leads WHERE"       \
		" rowid > ?1 AND (state = 'ended' AND reason IN ('opted_out', 'suppressed',"       \
		" 'lead_replied', 'bounced', 'stopped') OR state = 'held' AND reason ="            \
		" 'operator') ORDER BY rowid")                                                     \
	X(LEADS_FORGOTTEN, PAGE, "SELECT email, person FROM leads WHERE rowid > ?1 AND EXISTS"     \
		" (SELECT 1 FROM do_not_contact WHERE pattern = '" LEAD_PERSON_PREFIX "' ||"       \
		" person AND reason = '" STORE_FORGOTTEN "') ORDER BY rowid")                      \
	X(TALLY, SMALL, "SELECT campaign, state, reason, n FROM tally WHERE n <> 0")               \
                                                                                                   \
	/* what is due, for people */                                                              \
	X(DUE_DRAFT, PAGE, "SELECT count(*) " STORE_FOR_DRAFT " AND zone = ?2 AND due <= ?3")      \
	X(DUE_SEND, PAGE, "SELECT count(*) " STORE_FOR_SEND("?4") " AND zone = ?2 AND due <= ?3")  \
	X(SEND_BUCKET_OF, SEEK, "SELECT zone, due " STORE_FOR_SEND("?3") " AND zone >= ?2 AND "    \
		STORE_GOES_ON " ORDER BY zone, due LIMIT 1")                                       \
	X(SEND_MAILBOX, SEEK, "SELECT mailbox FROM leads WHERE state = 'queued' AND stage ="       \
		" 'send' AND campaign = ?1 AND mailbox > ?2 ORDER BY mailbox LIMIT 1")             \
	X(WAKE_NEXT_OF, PAGE, "SELECT until FROM leads WHERE state = 'held' AND until < ?1 AND"    \
		" campaign = ?2 ORDER BY until LIMIT 1")                                           \
                                                                                                   \
	/* emails */                                                                               \
	X(EMAIL_BY_KEY, SEEK, "SELECT " STORE_EMAIL_COLS " FROM emails WHERE key = ?1")            \
	X(EMAILS_FORGOTTEN, PAGE, "SELECT to_email, person FROM emails WHERE rowid > ?1 AND"       \
		" to_email <> '' AND EXISTS (SELECT 1 FROM do_not_contact WHERE pattern = '"       \
		LEAD_PERSON_PREFIX "' || person AND reason = '" STORE_FORGOTTEN "') ORDER BY"      \
		" rowid")                                                                          \
	X(EMAIL_PUT, NONE, "INSERT INTO emails (_id, key, lead_id, campaign_id, person, step,"     \
		" followup_number, email_type, to_email, from_email, subject, body, draft_hash,"   \
		" renderer, in_reply_to, \"references\", created_at, state, outcome, status,"      \
		" date, message_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"    \
		" ?13, ?14, ?15, ?16, ?17, 'ready', '', 'pending', 0, '') ON CONFLICT (key) DO"    \
		" UPDATE SET lead_id = excluded.lead_id, followup_number ="                        \
		" excluded.followup_number, email_type = excluded.email_type, to_email ="          \
		" excluded.to_email, from_email = excluded.from_email, subject ="                  \
		" excluded.subject, body = excluded.body, draft_hash = excluded.draft_hash,"       \
		" renderer = excluded.renderer, in_reply_to = excluded.in_reply_to,"               \
		" \"references\" = excluded.\"references\", state = 'ready', outcome = '',"        \
		" status = 'pending', error_message = NULL")                                       \
	X(EMAIL_FIX, SEEK, "UPDATE emails SET from_email = ?2, date = ?3, message_id = ?4,"        \
		" renderer = ?5, identity = ?6 WHERE key = ?1")                                                   \
	X(EMAIL_END, SEEK, "UPDATE emails SET state = ?2, outcome = ?3, status = ?4, sent_at ="    \
		" ?5, error_message = ?6 WHERE key = ?1")                                          \
	X(EMAIL_CANCEL, SEEK, "UPDATE emails SET state = 'done', outcome = 'cancelled', status"    \
		" = 'failed', error_message = ?2 WHERE key = ?1 AND state IN ('planned',"          \
		" 'drafted', 'ready')")                                                            \
	X(EMAIL_NOTE, SEEK, "UPDATE emails SET error_message = ?2 WHERE key = ?1 AND state <>"     \
		" 'done'")                                                                         \
	X(EMAIL_REPLIED, SEEK, "UPDATE emails SET replied_at = coalesce(replied_at, ?2) WHERE"     \
		" key = ?1")                                                                       \
	X(EMAILS_OF_PERSON, SEEK, "SELECT " STORE_EMAIL_COLS " FROM emails WHERE person = ?1")     \
	X(SENT_OF_PERSON, SEEK, "SELECT count(*), max(sent_at) FROM emails WHERE person = ?1"      \
		" AND " STORE_WENT_OUT)                                                            \
	X(LAST_OF_CAMPAIGN, SEEK, "SELECT step, from_email FROM emails WHERE person = ?1 AND"      \
		" campaign_id = ?2 AND " STORE_MAY_BE_OUT("") " ORDER BY rowid DESC LIMIT 1")      \
	X(CONTACTED_BY, SEEK, "SELECT campaign_id FROM emails e WHERE person = ?1 AND"             \
		" campaign_id IS NOT ?2 AND (typeof(sent_at) <> 'integer' OR sent_at <= 0 OR"      \
		" sent_at >= ?3) AND (" STORE_MAY_BE_OUT("") " OR " STORE_TRY_MAY_BE_OUT("e.")     \
		") ORDER BY rowid DESC LIMIT 1")                                                   \
                                                                                                   \
	/* attempts and their slots */                                                             \
	X(ATTEMPT_BY_ID, SEEK, STORE_ATTEMPT_FROM "WHERE a._id = ?1 AND a.slot = 0")               \
	X(ATTEMPTS_OF_KEY, SEEK, STORE_ATTEMPT_FROM "WHERE " STORE_ATTEMPTS_OF("a.", "?1")         \
		" AND a.key = ?1 AND a.slot = 0")                                                  \
	X(ATTEMPTS_OF_PERSON, SEEK, "SELECT " STORE_ATTEMPT_COLS " FROM emails e CROSS JOIN"       \
		" attempts a ON " STORE_ATTEMPTS_OF("a.", "e.key") " AND a.key = e.key LEFT"       \
		" JOIN attempts s ON s._id = a._id || '!' WHERE e.person = ?1 AND a.slot = 0"      \
		" ORDER BY a.at, a._id")                                                           \
	X(ATTEMPT_STATE, SEEK, "SELECT state, class, message_id, sha256 FROM attempts WHERE"      \
		" _id = ?1")                                                                     \
	X(ATTEMPT_SAME, SEEK, "SELECT 1 FROM attempts WHERE _id = ?1 AND state = 'reserved' AND"   \
		" instance = ?2 AND mailbox = ?3 AND message_id = ?4 AND sha256 = ?5")             \
	X(RESERVE, NONE, "INSERT INTO attempts (_id, key, n, slot, state, at, person, campaign,"   \
		" lead_id, step, to_email, mailbox, message_id, sha256, renderer, instance,"       \
		" domain) VALUES (?1, ?2, ?3, 0, 'reserved', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"    \
		" ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING")                                     \
	X(DOMAIN_USE, SMALL, "SELECT state = 'reserved', iif(state = 'reserved', ?5,"              \
		" coalesce(ended_at, at)) t FROM attempts WHERE domain = ?1 AND at >= ?2 AND"      \
		" state IN ('reserved', 'sent', 'uncertain') AND _id <> ?3 ORDER BY t DESC LIMIT"  \
		" 1 OFFSET ?4")                                                                    \
	X(TRANSMITTED, SEEK, "SELECT 1 FROM attempts WHERE " STORE_ATTEMPTS_OF("", "?1") " AND"    \
		" key = ?1 AND slot = 1 AND state = 'transmitting' LIMIT 1")                       \
	X(ATTEMPT_MAILBOX, SEEK, "SELECT mailbox FROM attempts WHERE _id = ?1 AND slot = 0 AND"    \
		" state = 'reserved'")                                                             \
	X(SLOT_TAKE, NONE, "INSERT INTO attempts (_id, key, n, slot, state, at, mailbox,"          \
		" instance, nonce) VALUES (?1, ?2, ?3, 1, 'transmitting', ?4, ?5, ?6, ?7)"         \
		" ON CONFLICT DO NOTHING")                                                         \
	X(SLOT_VOID, SEEK, "INSERT INTO attempts (_id, key, n, slot, state, at, why) SELECT _id"   \
		" || '!', key, n, 1, 'void', ?2, ?3 FROM attempts WHERE _id = ?1 AND slot = 0"     \
		" ON CONFLICT DO NOTHING")                                                         \
	X(SLOT_BY_ID, SEEK, "SELECT state, why, instance, nonce FROM attempts WHERE _id = ?1")     \
	X(ATTEMPT_END, SEEK, "UPDATE attempts SET state = ?2, class = ?3, code = ?4, text = ?5,"   \
		" queue_id = ?6, ended_at = ?7, delay_connect = ?8, delay_envelope = ?9,"          \
		" delay_dot = ?10, why = ?12, server_message_id = ?13 WHERE _id = ?1 AND slot = 0" \
		" AND state = 'reserved' AND (?11 IS NULL OR instance = ?11)")                                                        \
	X(ATTEMPT_SETTLE, SEEK, "UPDATE attempts SET state = ?2 WHERE _id = ?1 AND slot = 0 AND"   \
		" state = 'uncertain'")                                                            \
	X(OPEN_ALL, SMALL, "SELECT _id, person, campaign, mailbox, to_email FROM attempts WHERE"   \
		" state = 'reserved'")                                                             \
	X(OPEN_OF_PERSON, SEEK, "SELECT _id FROM attempts WHERE state = 'reserved' AND person ="   \
		" ?1")                                                                             \
	X(OPEN_ELSEWHERE, SEEK, "SELECT campaign FROM attempts WHERE state = 'reserved' AND"       \
		" person = ?1 AND campaign IS NOT ?2 LIMIT 1")                                     \
	X(OPEN_PAGE, SMALL, STORE_ATTEMPT_FROM "WHERE a.state = 'reserved' AND +a._id > ?1"        \
		" AND typeof(a._id) = 'text' ORDER BY +a._id LIMIT ?2")                            \
	X(UNSETTLED_PAGE, SMALL, STORE_ATTEMPT_FROM "WHERE a._id IN (SELECT _id FROM attempts"     \
		" WHERE state = 'reserved' AND +_id > ?1 UNION ALL SELECT _id FROM attempts"       \
		" WHERE state = 'uncertain' AND +_id > ?1) ORDER BY a._id LIMIT ?2")               \
	X(MAILBOX_USE, SMALL, "SELECT at FROM attempts WHERE state = 'transmitting' AND mailbox"   \
		" = ?1 AND at >= ?2 UNION ALL SELECT a.at FROM attempts a WHERE a.state ="         \
		" 'reserved' AND a.mailbox = ?1 AND a.at >= ?2 AND NOT EXISTS (SELECT 1 FROM"      \
		" attempts s WHERE s._id = a._id || '!') UNION ALL SELECT at FROM test_slots"      \
		" WHERE mailbox = ?1 AND at >= ?2 ORDER BY 1 DESC LIMIT ?3")                       \
	X(TEST_SLOT, NONE, "INSERT INTO test_slots (mailbox, at) VALUES (?1, ?2) ON CONFLICT DO"   \
		" NOTHING")                                                                        \
	X(MAILBOX_TRIED, SMALL, "SELECT at FROM attempts WHERE slot = 0 AND mailbox = ?1 AND at >="  \
		" ?2 AND state IN ('refused', 'not_sent') ORDER BY at DESC LIMIT 1")               \
	X(MAILBOX_PUT, NONE, "INSERT INTO mailboxes (_id, state, why, until, backoff,"             \
		" refused_logins, lowered, lowered_until, back_at, updated_at) VALUES (?1, ?2, ?3,"  \
		" ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (_id) DO UPDATE SET state ="             \
		" excluded.state, why = excluded.why, until = excluded.until, backoff ="            \
		" excluded.backoff, refused_logins = excluded.refused_logins, lowered ="            \
		" excluded.lowered, lowered_until = excluded.lowered_until, back_at ="              \
		" excluded.back_at, updated_at = excluded.updated_at")                              \
	X(MAILBOX_GET, SEEK, "SELECT state, why, until, backoff, refused_logins, lowered,"         \
		" lowered_until, back_at FROM mailboxes WHERE _id = ?1")                            \
	X(MAILBOX_FIRST, SEEK, "SELECT at FROM attempts WHERE state = 'transmitting' AND mailbox"  \
		" = ?1 AND typeof(at) = 'integer' ORDER BY at LIMIT 1")                            \
	X(SENDS, PAGE, STORE_ATTEMPT_FROM "WHERE a.slot = 0 AND (a.at, a._id) < (?1, ?2) AND"      \
		" (?3 IS NULL OR a.campaign = ?3) AND (?4 IS NULL OR a.mailbox = ?4) AND (?5 IS"   \
		" NULL OR a.state = ?5) ORDER BY a.at DESC, a._id DESC LIMIT ?6")                  \
	X(LAST_ENTRY, SEEK, "SELECT at FROM attempts WHERE slot = 0 AND at <"                      \
		" 9223372036854775807 ORDER BY at DESC LIMIT 1")                                   \
	/* Nothing is ever deleted there: the last row's number counts them all. */                \
	X(ENTRIES, SEEK, "SELECT coalesce(max(rowid), 0) FROM attempts")                           \
	X(COUNT_ATTEMPTS, PAGE, "SELECT count(*) FROM attempts WHERE slot = 0")                    \
                                                                                                   \
	/* suppressions, controls */                                                               \
	X(SUPPRESSION, SEEK, "SELECT " STORE_SUPPRESSION_COLS " FROM do_not_contact WHERE"         \
		" pattern = ?1 AND (" STORE_NO_END " OR until > ?2)")                              \
	X(SUPPRESS_PUT, NONE, "INSERT INTO do_not_contact (" STORE_SUPPRESSION_COLS ") VALUES"     \
		" (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (pattern) DO UPDATE SET reason ="           \
		" excluded.reason, evidence = excluded.evidence, source = excluded.source,"        \
		" created_at = excluded.created_at, until = excluded.until WHERE NOT ("            \
		STORE_NO_END ") AND until < coalesce(excluded.until, 9223372036854775807)")                          \
	X(SUPPRESS_DROP, SEEK, "DELETE FROM do_not_contact WHERE pattern = ?1")                    \
	X(SUPPRESS_PAGE, SEEK, "SELECT " STORE_SUPPRESSION_COLS " FROM do_not_contact WHERE"       \
		" pattern > ?1 ORDER BY pattern LIMIT ?2")                                         \
	/* A key as it is stored, of any type. */                                                  \
	X(PATTERNS, SEEK, "SELECT pattern FROM do_not_contact WHERE pattern > iif(?2, CAST(?1"     \
		" AS TEXT), ?1) ORDER BY pattern LIMIT ?3")                                        \
	X(PATTERN_GET, SEEK, "SELECT " STORE_SUPPRESSION_COLS " FROM do_not_contact WHERE"         \
		" pattern = iif(?2, CAST(?1 AS TEXT), ?1)")                                        \
	X(PATTERN_DROP, SEEK, "DELETE FROM do_not_contact WHERE pattern = iif(?2, CAST(?1 AS"      \
		" TEXT), ?1)")                                                                     \
	X(IS_FORGOTTEN, SEEK, "SELECT 1 FROM do_not_contact WHERE pattern = '" LEAD_PERSON_PREFIX  \
		"' || ?1 AND reason = ?2")                                                         \
	X(FORGET_LEAD, SEEK, "DELETE FROM leads WHERE email = ?1")                                 \
	X(EMAIL_KEYS_OF_PERSON, SEEK, "SELECT key FROM emails WHERE person = ?1")                  \
	X(FORGET_EMAIL, SEEK, "UPDATE emails SET to_email = '', subject = '', body = '',"          \
		" error_message = NULL WHERE key = ?1 AND (to_email IS NOT '' OR subject IS NOT"   \
		" '' OR body IS NOT '' OR error_message IS NOT NULL)")                             \
	X(FORGET_ATTEMPTS, SEEK, "UPDATE attempts SET to_email = '', domain = NULL, text = NULL,"  \
		" queue_id = NULL, server_message_id = NULL WHERE " STORE_ATTEMPTS_OF("", "?1")    \
		" AND key = ?1 AND slot = 0 AND (to_email IS NOT '' OR domain IS NOT NULL OR text" \
		" IS NOT NULL OR queue_id IS NOT NULL OR server_message_id IS NOT NULL)")          \
	X(FORGET_FAULT, SMALL, "UPDATE mailboxes SET why = '' WHERE instr(lower(why), ?1) > 0")    \
	X(FORGET_EVIDENCE, SEEK, "UPDATE do_not_contact SET evidence = NULL WHERE pattern = ?1"    \
		" AND instr(lower(evidence), ?2) > 0")                                             \
	X(FORGET_PERSON, NONE, "INSERT INTO do_not_contact (pattern, reason, source, created_at)"  \
		" VALUES (?1, ?2, ?3, ?4) ON CONFLICT (pattern) DO UPDATE SET reason ="            \
		" excluded.reason, evidence = NULL, source = excluded.source, until = NULL"        \
		" WHERE reason IS NOT excluded.reason OR until IS NOT NULL")                       \
	X(CONTROLS, SMALL, "SELECT name, value, at FROM controls")                                 \
	X(CONTROL_PUT, NONE, "INSERT INTO controls (name, value, at) VALUES (?1, ?2, ?3) ON"       \
		" CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at WHERE"    \
		" value IS NOT excluded.value")                                                    \
	X(CONTROL_DROP, SEEK, "DELETE FROM controls WHERE name = ?1")                              \
                                                                                                   \
	/* audit */                                                                                \
	X(AUDIT_EMAILS, PAGE, "SELECT rowid, key, lead_id, person, state, outcome, status,"        \
		" (SELECT count(*) FROM attempts a WHERE " STORE_ATTEMPTS_OF("a.", "e.key")        \
		" AND a.key = e.key AND a.slot = 0 AND a.state = 'sent'), (SELECT count(*) FROM"   \
		" attempts a WHERE " STORE_ATTEMPTS_OF("a.", "e.key") " AND a.key = e.key AND"     \
		" a.slot = 0 AND a.state = 'uncertain'), followup_number = 0 AND "                 \
		STORE_WENT_OUT " AND NOT EXISTS (SELECT 1 FROM emails b WHERE b.person ="          \
		" e.person AND b.followup_number = 0 AND b." STORE_WENT_OUT " AND b.rowid <"       \
		" e.rowid) AND EXISTS (SELECT 1 FROM leads WHERE _id = e.lead_id) FROM emails e"   \
		" WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")                                       \
	X(AUDIT_ATTEMPTS, PAGE, "SELECT a.rowid, a._id, a.slot, a.state, s.state, a.at, e.key IS NOT"       \
		" NULL, a.n = 1 OR EXISTS (SELECT 1 FROM attempts b WHERE b._id = a.key || '#'"    \
		" || (a.n - 1)), EXISTS (SELECT 1 FROM leads l WHERE l._id = a.lead_id AND"        \
		" l.state = 'in_flight'), EXISTS (SELECT 1 FROM attempts t WHERE t._id = a.key"    \
		" || '#' || a.n) FROM attempts a LEFT JOIN attempts s ON s._id = a._id || '!'"     \
		" LEFT JOIN emails e ON e.key = a.key WHERE a.rowid > ?1 ORDER BY a.rowid LIMIT ?2") \
	X(AUDIT_LEADS, PAGE, "SELECT rowid, _id, email, person, campaign, state, reason,"          \
		" n_sent, last_sent_at, status, (SELECT count(*) FROM emails e WHERE e.person ="   \
		" leads.person AND " STORE_WENT_OUT "), (SELECT coalesce(max(sent_at), 0) FROM"    \
		" emails e WHERE e.person = leads.person AND " STORE_WENT_OUT ") FROM leads"       \
		" WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")                                       \
	X(FIX_EMAIL, SEEK, "UPDATE emails SET state = ?2, outcome = ?3, status = ?4, sent_at ="    \
		" coalesce(sent_at, ?5) WHERE key = ?1")                                           \
	X(FIX_STATUS, SEEK, "UPDATE emails SET status = ?2 WHERE key = ?1")                        \
	X(FIX_TALLY, NONE, "INSERT INTO tally (campaign, state, reason, n) VALUES (?1, ?2, ?3,"    \
		" ?4) ON CONFLICT (campaign, state, reason) DO UPDATE SET n = n + excluded.n")     \
                                                                                                   \
	/* audit, the fields */                                                                    \
	X(FIELDS_LEADS, PAGE, "SELECT rowid, * FROM leads WHERE rowid > ?1 ORDER BY rowid LIMIT"   \
		" ?2")                                                                             \
	X(FIELDS_EMAILS, PAGE, "SELECT rowid, * FROM emails WHERE rowid > ?1 ORDER BY rowid"       \
		" LIMIT ?2")                                                                       \
	X(FIELDS_ATTEMPTS, PAGE, "SELECT rowid, * FROM attempts WHERE rowid > ?1 ORDER BY rowid"   \
		" LIMIT ?2")                                                                       \
	X(FIELDS_SUPPRESSIONS, PAGE, "SELECT * FROM do_not_contact WHERE pattern > iif(?3,"        \
		" CAST(?1 AS TEXT), ?1) ORDER BY pattern LIMIT ?2")                                \
	X(FIELDS_MAILBOXES, SMALL, "SELECT * FROM mailboxes")                                      \
	X(FIELDS_TALLY, SMALL, "SELECT campaign || '/' || state || '/' || reason AS name, *"       \
		" FROM tally")                                                                     \
	X(FIELDS_TEST_SLOTS, SMALL, "SELECT * FROM test_slots")                                    \
	X(FIX_PERSON, SEEK, "UPDATE leads SET person = ?2 WHERE rowid = ?1")                       \
	X(FIX_EMAIL_KEY, SEEK, "UPDATE emails SET campaign_id = ?2, person = ?3, step = ?4 WHERE"  \
		" rowid = ?1")                                                                     \
	X(FIX_SENT_AT, SEEK, "UPDATE emails SET sent_at = (SELECT max(coalesce(a.ended_at, a.at))" \
		" FROM attempts a WHERE " STORE_ATTEMPTS_OF("a.", "emails.key") " AND a.key ="     \
		" emails.key AND a.slot = 0 AND a.state IN ('sent', 'uncertain')) WHERE rowid ="   \
		" ?1")                                                                             \
	/* Steps are written in their order. */                                                    \
	X(FIX_FOLLOWUP, SEEK, "UPDATE emails SET followup_number = (SELECT count(*) FROM emails b" \
		" WHERE b.person = emails.person AND b.campaign_id = emails.campaign_id AND"       \
		" b.rowid < emails.rowid) WHERE rowid = ?1")                                       \
	X(FIX_TRY, SEEK, "UPDATE attempts SET key = ?2, n = ?3, slot = ?4, person = coalesce(?5,"  \
		" person) WHERE rowid = ?1")                                                       \
	X(FIX_COUNT, SMALL, "UPDATE tally SET n = (SELECT count(*) FROM leads counted_anew WHERE"  \
		" coalesce(campaign, '') = tally.campaign AND coalesce(state, '') = tally.state"   \
		" AND coalesce(reason, '') = tally.reason) WHERE typeof(n) <> 'integer' OR n NOT"  \
		" BETWEEN 0 AND 9007199254740992")

/* clang-format on */
