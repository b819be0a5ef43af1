/*
 * IMPORT: one address after the other becomes a lead, or changes one.
 * Runs on: lane 0, inside a group's transaction. The addresses come canonical.
 * Never un-suppresses, never mails again: who is new here is placed by what the ledger knows of the
 * person, which outlives the lead.
 */
#include "store_sqlite.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"

/* ---- fields ------------------------------------------------------------------------------------ */

static struct lead_var *find_var(struct lead *l, const char *name)
{
	for (size_t i = 0; i < l->n_vars; i++)
		if (str_eq(l->vars[i].name, name))
			return &l->vars[i];
	return NULL;
}

/* The file's values go over the stored ones; what it leaves empty stays. True: something changed. */
static bool merge_vars(struct mem_arena *a, struct lead *l, const struct store_import_row *row)
{
	bool changed = false;

	for (size_t i = 0; i < row->n_vars; i++) {
		const struct lead_var *new = &row->vars[i];
		struct lead_var *old = find_var(l, new->name);

		if (!*new->value ||
			(old && (lead_is_null_like(new->value) || str_eq(old->value, new->value))))
			continue;
		changed = true;
		if (old) {
			*old = *new;
			continue;
		}
		l->vars = store_grown(a, l->vars, l->n_vars, sizeof *l->vars);
		l->vars[l->n_vars++] = *new;
	}
	return changed;
}

/* STORE_LEAD_COLS: these columns, then LEAD_COLUMNS. */
#define N_FIXED         18
#define COUNT_ONE(name) +1
#define N_VARS          (0 LEAD_COLUMNS(COUNT_ONE))

static const char *value_of(struct lead *l, const char *name)
{
	const struct lead_var *v = find_var(l, name);

	return v ? v->value : NULL;
}

/* Whenever its fields change, so may its clock. */
static const char *zone_of(struct store_db *db, struct lead *l)
{
	return plan_zone_of(store_db_zones(db), value_of(l, "timezone"), value_of(l, "country"),
		value_of(l, "region"));
}

static void write_lead(struct store_db *db, enum store_sql sql, struct lead *l)
{
	const struct lead_var *vars[N_VARS] = {
#define COLUMN(name) find_var(l, #name),
		LEAD_COLUMNS(COLUMN)
#undef COLUMN
	};
	char *extra = store_row_extra(l->vars, l->n_vars);
	struct store_val v[N_FIXED + N_VARS + 1] = { SQL_T(l->id), SQL_T(l->email),
		SQL_T(l->person), SQL_T(l->campaign), SQL_T(lead_state_name(l->state)),
		SQL_T(lead_reason_name(l->reason)), SQL_I(l->until_ms),
		SQL_T(lead_stage_name(l->stage)), SQL_T(l->step), SQL_T(l->last_step),
		SQL_I(l->due_ms), SQL_T(l->mailbox), SQL_T(zone_of(db, l)), SQL_I(l->n_sent),
		SQL_I(l->last_sent_ms), SQL_T(lead_status(l->state, l->reason, l->n_sent)),
		SQL_I(l->created_ms), SQL_T(extra) };

	for (size_t i = 0; i < N_VARS; i++)
		v[N_FIXED + i] = (struct store_val)SQL_T(vars[i] ? vars[i]->value : NULL);
	store_db_run_v(db, sql, v);
	free(extra);
}

/* ---- where a lead that is new to its campaign stands -------------------------------------------- */

/* What went out to this person before: an import does not begin again. */
static void read_history(struct store_db *db, struct mem_arena *a, struct lead *l)
{
	sqlite3_stmt *st = store_db_find(db, STORE_SQL_SENT_OF_PERSON, SQL_T(l->person));

	if (st) {
		l->n_sent = sqlite3_column_int64(st, 0);
		l->last_sent_ms = sqlite3_column_int64(st, 1);
	}
	st = store_db_find(db, STORE_SQL_LAST_OF_CAMPAIGN, SQL_T(l->person), SQL_T(l->campaign));
	if (!st)
		return;
	struct store_row row = { .st = st, .arena = a };

	l->step = "";
	l->last_step = store_row_text(&row);
	l->mailbox = store_row_text(&row);
}

static void end_as(struct lead *l, enum lead_reason reason)
{
	l->state = LEAD_ENDED;
	l->reason = reason;
}

/* Fills all of L but id, created_ms and vars. A row without campaign leaves it its own. */
static void place(
	struct store_db *db, struct store_req *r, struct store_import_row *row, struct lead *l)
{
	l->email = row->email;
	l->person = row->person;
	if (!l->campaign || *row->campaign)
		l->campaign = row->campaign;
	l->state = LEAD_QUEUED;
	l->reason = LEAD_REASON_NONE;
	l->until_ms = CLOCK_NEVER_MS;
	l->stage = LEAD_STAGE_DRAFT;
	l->step = row->first_step;
	l->last_step = l->mailbox = "";
	l->due_ms = r->now_ms;
	read_history(db, &r->arena, l);
	const char *other = *l->campaign ? store_fact_contacted(db, &r->arena, row->person,
						   l->campaign, row->recontact_since_ms)
					 : NULL;

	if (store_fact_suppressed(db, &r->arena, row->email, row->person, r->now_ms)) {
		end_as(l, LEAD_REASON_SUPPRESSED);
		row->result = STORE_ROW_SUPPRESSED;
	} else if (other) {
		end_as(l, LEAD_REASON_ALREADY_CONTACTED);
		row->result = STORE_ROW_CONTACTED;
		row->other = other;
	} else if (!*l->campaign) {
		l->state = LEAD_HELD;
		l->reason = LEAD_REASON_NO_CAMPAIGN;
	}
}

static void add(struct store_db *db, struct store_req *r, struct store_import_row *row)
{
	struct lead l = { .created_ms = r->now_ms };
	char id[STORE_ID];

	store_new_id(r->now_ms, id);
	l.id = id;
	row->result = STORE_ROW_ADDED;
	merge_vars(&r->arena, &l, row);
	place(db, r, row, &l);
	if (row->result == STORE_ROW_SUPPRESSED && store_fact_is_forgotten(db, row->person))
		return;
	write_lead(db, STORE_SQL_LEAD_INSERT, &l);
}

/* ---- a lead that is there ----------------------------------------------------------------------- */

/* From another campaign a lead moves only where recontact_after allows it at all, and when it is through
 * there, or has not begun. */
static bool is_free(struct store_db *db, const struct lead *l)
{
	if (store_db_find(db, STORE_SQL_OPEN_OF_PERSON, SQL_T(l->person)))
		return false;
	switch (l->state) {
	case LEAD_ENDED:
		return l->reason == LEAD_REASON_COMPLETED ||
		       l->reason == LEAD_REASON_ALREADY_CONTACTED ||
		       l->reason == LEAD_REASON_OVERDUE_EXPIRED;
	case LEAD_QUEUED:
		return !l->n_sent;
	case LEAD_HELD:
		return !l->n_sent && l->reason != LEAD_REASON_OPERATOR;
	case LEAD_IN_FLIGHT:
		break;
	}
	return false;
}

/* Its place in a campaign is found as if it were new. */
static void settle(struct store_db *db, struct store_req *r, struct store_import_row *row,
	struct lead *l, const char *from)
{
	enum lead_state was = l->state;
	char id[STORE_ID];

	if (!*l->id) {
		store_new_id(r->now_ms, id);
		l->id = id;
	}
	row->result = STORE_ROW_UPDATED;
	row->other = from;
	merge_vars(&r->arena, l, row);
	place(db, r, row, l);
	if (!lead_state_may(was, l->state)) {
		row->result = STORE_ROW_DUPLICATE;
		return;
	}
	write_lead(db, STORE_SQL_LEAD_UPDATE, l);
	store_lead_log(db, l->id, was, l->state, "imported");
}

static void move(
	struct store_db *db, struct store_req *r, struct store_import_row *row, struct lead *l)
{
	row->result = STORE_ROW_DUPLICATE;
	row->other = l->campaign;
	if (row->recontact_since_ms != INT64_MIN && is_free(db, l) &&
		!store_fact_contacted(
			db, &r->arena, row->person, row->campaign, row->recontact_since_ms))
		settle(db, r, row, l, l->campaign);
}

static void update(
	struct store_db *db, struct store_req *r, struct store_import_row *row, struct lead *l)
{
	row->result = STORE_ROW_DUPLICATE;
	if (!merge_vars(&r->arena, l, row))
		return;
	row->result = STORE_ROW_UPDATED;
	if (l->state == LEAD_HELD && l->reason == LEAD_REASON_MISSING_FIELD) {
		l->state = LEAD_QUEUED;
		l->reason = LEAD_REASON_NONE;
		store_lead_log(db, l->id, LEAD_HELD, LEAD_QUEUED, "imported");
	}
	write_lead(db, STORE_SQL_LEAD_UPDATE, l);
}

/* Its row could not be worked with, or it had no campaign. */
static bool needs_a_place(const struct lead *l, const struct store_import_row *row)
{
	return l->state != LEAD_ENDED &&
	       (l->reason == LEAD_REASON_BAD_RECORD || (!*l->campaign && *row->campaign));
}

static void import_row(struct store_db *db, struct store_req *r, struct store_import_row *row)
{
	struct lead l;
	bool ok;

	if (!store_lead_find(db, &r->arena, STORE_SQL_LEAD_BY_EMAIL, row->email, &l, &ok))
		add(db, r, row);
	else if (!ok && l.state == LEAD_ENDED)
		row->result = STORE_ROW_DUPLICATE;
	else if (needs_a_place(&l, row))
		settle(db, r, row, &l, NULL);
	else if (*row->campaign && !str_eq(l.campaign, row->campaign))
		move(db, r, row, &l);
	else
		update(db, r, row, &l);
}

int store_op_import(struct store_db *db, struct store_req *r)
{
	for (size_t i = 0; i < r->u.import.n && !db->err; i++)
		import_row(db, r, &r->u.import.rows[i]);
	return CM_OK;
}
