/*
 * A mailbox in this process: its connections, the items that wait for one, and who gets which.
 * Runs on: loop. Called through the stage table, by sched.c, send.c, record.c and flow.c.
 * Never decides what a reply means (trouble.c), never ends a link that carries a mail: a link that is
 * to go (its server, its mailbox or its place is not configured any more) goes after its mail.
 */
#include "flow_private.h"

#include "coldmail/clock.h"
#include "coldmail/err.h"
#include "coldmail/log.h"
#include "coldmail/mem.h"
#include "coldmail/str.h"

/* A server that took fewer connections than configured is not asked for more meanwhile. */
#define MORE_LINKS_AFTER_MS (10 * CLOCK_MINUTE_MS)

/* ---- senders ----------------------------------------------------------------------------------- */

struct flow_sender *flow_sender_get(const char *address)
{
	for (guint i = 0; i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		if (str_eq(s->address, address))
			return s;
	}
	struct flow_sender *s = xcalloc(1, sizeof *s);
	s->address = xstrdup(address);
	s->mailbox = mailbox_find(address);
	bug_if(!s->mailbox, "no mailbox %s", address);
	list_init(&s->waiting);
	list_init(&s->reserved);
	list_init(&s->links);
	g_ptr_array_add(flow.senders, s);
	return s;
}

void flow_sender_leave(struct flow_item *it)
{
	if (it->link) {
		it->link->item = 0;
		it->link->ready = mail_smtp_is_idle(it->link->smtp);
		it->link = NULL;
	}
	if (it->was_asked && !it->had_slot)
		mailbox_tried(it->sender->mailbox);
	if (!it->asks_slot) /* else it keeps its place in the day until the store has answered */
		mailbox_give_back(it->sender->mailbox, it->had_slot);
	it->sender = NULL;
}

struct flow_sender *flow_sender_with_room(const struct conf_campaign *c, const char *address)
{
	struct flow_sender *best = NULL;

	for (size_t i = 0; i < c->n_mailboxes; i++) {
		struct flow_sender *s = flow_sender_get(c->mailboxes[i]->address);

		if (s->claiming || (*address && !str_eq(address, s->address)) ||
			!mailbox_room(s->mailbox, NULL, NULL))
			continue;
		if (!best || mailbox_compare(s->mailbox, best->mailbox) < 0)
			best = s;
	}
	return best;
}

/* Out of V, where it has waited the longest; NULL: nobody waits. */
static struct flow_item *next_of(struct list *v)
{
	struct list_node *node = list_first(v);

	if (!node)
		return NULL;
	list_remove(v, node);
	return list_entry(node, struct flow_item, wait_node);
}

void flow_sender_turn_away(struct flow_item *it)
{
	it->to = (struct store_lead_to){ .state = LEAD_QUEUED,
		.stage = LEAD_STAGE_SEND,
		.due_ms = -1,
		.mailbox = it->claimed->email.mailbox };
	flow_sender_leave(it);
	flow_advance(it, FLOW_RETURN);
}

/* Who waits for a link goes back. */
static void turn_away(struct flow_sender *s, const char *why)
{
	struct flow_item *it;

	while ((it = next_of(&s->waiting)))
		flow_sender_turn_away(it);
	while ((it = next_of(&s->reserved)))
		flow_send_release(it, why, LEAD_REASON_NONE);
}

/* ---- links ------------------------------------------------------------------------------------- */

static struct flow_item *item_of(struct flow_link *k)
{
	return k->item ? flow_item_find(k->item) : NULL;
}

static void unlink_item(struct flow_link *k)
{
	struct flow_item *it = item_of(k);

	if (it)
		it->link = NULL;
	k->item = 0;
}

void flow_link_free(struct flow_link *k)
{
	unlink_item(k);
	list_remove(&k->sender->links, &k->node);
	mail_smtp_free(k->smtp);
	conf_unref(k->conf);
	free(k);
}

static void on_ready(void *arg)
{
	struct flow_link *k = arg;

	k->ready = k->was_ready = true;
	flow_sched_soon();
}

static void on_at_dot(void *arg)
{
	struct flow_link *k = arg;
	struct flow_item *it = item_of(k);

	if (it)
		flow_advance(it, FLOW_GO);
	else
		mail_smtp_abort(k->smtp);
}

static void on_verdict(void *arg, const struct mail_verdict *v)
{
	struct flow_link *k = arg;
	struct flow_item *it = item_of(k);

	unlink_item(k);
	if (!it)
		return;
	it->verdict = *v;
	flow_advance(it, FLOW_RECORDING);
}

/* Works, or may come to. */
static bool is_of_use(const struct flow_link *k)
{
	bool has_closed = k->ready && !mail_smtp_is_idle(k->smtp);

	return !k->is_leaving && !has_closed;
}

static bool has_link_of_use(const struct flow_sender *s)
{
	list_each (node, &s->links)
		if (is_of_use(list_entry(node, struct flow_link, node)))
			return true;
	return false;
}

void flow_sender_fault(struct flow_sender *s, enum mailbox_fault f, const struct mail_verdict *v)
{
	const struct conf_mailbox *cm = conf_find_mailbox(flow.plan->conf, s->address);
	char *said = mail_explain(v, cm ? cm->smtp : "", cm ? cm->oauth.token_url : "");
	char *why = NULL;

	if (v->outcome == MAIL_OUTCOME_UNCERTAIN && s->n_uncertain > 1)
		why = xasprintf("%d mails in a row are uncertain: %s", s->n_uncertain, said);
	else if (v->outcome == MAIL_OUTCOME_UNCERTAIN)
		why = xasprintf("a mail is uncertain: %s", said);
	const struct mailbox_remedy remedy = flow_trouble_remedy(f, s->mailbox);
	mailbox_fault(s->mailbox, &remedy, why ? why : said);
	free(why);
	free(said);
}

/* No dialogue came about. The server or the way to it is at fault, never the leads that wait; and the
 * mailbox is in trouble only if it has no other link: else this server takes fewer than are
 * configured, and it goes on with those. */
static void connect_failed(struct flow_sender *s, const struct mail_verdict *v)
{
	log_event(LOG_WARNING, "connect_failed", LOG_S("mailbox", s->address),
		LOG_S("stage", mail_stage_name(v->stage)), LOG_I("code", v->code),
		LOG_S("why", v->text));
	s->more_links_ms = clock_boot_ms() + MORE_LINKS_AFTER_MS;
	if (has_link_of_use(s))
		return;
	flow_sender_fault(
		s, flow_trouble_of_connecting(v, flow_trouble_ruling(flow.plan->classes, v)), v);
	flow_sched_in_vain();
}

static void on_end(void *arg, const struct mail_verdict *v)
{
	struct flow_link *k = arg;
	struct flow_sender *s = k->sender;
	bool failed = !k->was_ready && !k->is_leaving;

	flow_link_free(k); /* after this call: V is its own */
	if (failed && !flow.draining)
		connect_failed(s, v);
	flow_sched_soon();
	if (flow.draining)
		flow_check_drained();
}

static const struct mail_smtp_events link_events = { on_ready, on_at_dot, on_verdict, on_end };

static void open_link(struct flow_sender *s, const struct conf_mailbox *server)
{
	struct flow_link *k = xcalloc(1, sizeof *k);
	char helo[FLOW_HELO];
	const struct mail_smtp_conf conf = flow_server_conf(s, server, helo);

	k->sender = s;
	k->conf = conf_ref(flow.plan->conf);
	k->server = server;
	list_push(&s->links, &k->node);
	k->smtp = mail_smtp_open(&conf, &link_events, k);
}

/* ---- who gets which ---------------------------------------------------------------------------- */

/* A link may have closed itself since it said that it is ready. */
static struct flow_link *free_link(struct flow_sender *s)
{
	list_each (node, &s->links) {
		struct flow_link *k = list_entry(node, struct flow_link, node);

		if (k->ready && !k->is_leaving && mail_smtp_is_idle(k->smtp))
			return k;
	}
	return NULL;
}

static size_t opening(const struct flow_sender *s)
{
	size_t n = 0;

	list_each (node, &s->links) {
		const struct flow_link *k = list_entry(node, struct flow_link, node);

		n += !k->was_ready && !k->is_leaving;
	}
	return n;
}

static bool may_open(const struct flow_sender *s)
{
	if (s->links.n && clock_boot_ms() < s->more_links_ms)
		return false;
	return s->links.n < mailbox_connections(s->mailbox);
}

static void quit_leaving(struct flow_sender *s)
{
	list_each_safe (node, &s->links) {
		struct flow_link *k = list_entry(node, struct flow_link, node);

		if (k->is_leaving && !k->item)
			mail_smtp_quit(k->smtp);
	}
}

static bool is_reached(const struct flow_sender *s)
{
	list_each (node, &s->links) {
		const struct flow_link *k = list_entry(node, struct flow_link, node);

		if (k->was_ready && is_of_use(k))
			return true;
	}
	return false;
}

/* A mail is reserved as soon as the server is reached, and takes the first link that is free: no link
 * waits while a reservation goes to the disk. */
void flow_sender_feed(struct flow_sender *s)
{
	const struct conf_mailbox *cm = conf_find_mailbox(flow.plan->conf, s->address);
	const char *why = flow.draining ? "draining" : mailbox_closed(s->mailbox);
	struct flow_item *it;
	struct flow_link *k;

	quit_leaving(s);
	if (why) {
		turn_away(s, why);
		return;
	}
	while (is_reached(s) && (it = next_of(&s->waiting)))
		flow_advance(it, FLOW_GO);
	while ((k = free_link(s)) && (it = next_of(&s->reserved))) {
		k->ready = false;
		k->item = it->id;
		it->link = k;
		flow_send_wire(it);
	}
	for (size_t n = opening(s); n < s->waiting.n + s->reserved.n && may_open(s); n++)
		open_link(s, cm);
}

void flow_sender_connect(struct flow_item *it)
{
	list_push(&it->sender->waiting, &it->wait_node);
	flow_sched_soon();
}

void flow_sender_wire(struct flow_item *it)
{
	list_push(&it->sender->reserved, &it->wait_node);
	flow_sched_soon();
}

/* ---- reload and the end ------------------------------------------------------------------------ */

static void reconfigure(struct flow_sender *s)
{
	const struct conf_mailbox *cm = conf_find_mailbox(flow.plan->conf, s->address);
	size_t most = cm ? (size_t)cm->connections : 0, n = 0;

	s->more_links_ms = 0;
	list_each (node, &s->links) {
		struct flow_link *k = list_entry(node, struct flow_link, node);

		if (!cm || !conf_is_same_server(k->server, cm) || n == most)
			k->is_leaving = true;
		n += !k->is_leaving;
	}
}

void flow_senders_reconfigure(void)
{
	for (guint i = 0; i < flow.senders->len; i++)
		reconfigure(flow.senders->pdata[i]);
	flow_sched_soon();
}

void flow_senders_quit(void)
{
	for (guint i = 0; i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		list_each (node, &s->links)
			list_entry(node, struct flow_link, node)->is_leaving = true;
		flow_sender_feed(s);
	}
}

void flow_senders_drop(void)
{
	for (guint i = 0; i < flow.senders->len; i++) {
		struct flow_sender *s = flow.senders->pdata[i];

		list_each_safe (node, &s->links) {
			struct flow_link *k = list_entry(node, struct flow_link, node);

			if (!k->item)
				flow_link_free(k);
		}
	}
}

bool flow_senders_are_gone(void)
{
	for (guint i = 0; i < flow.senders->len; i++)
		if (((struct flow_sender *)flow.senders->pdata[i])->links.n)
			return false;
	return true;
}

static void sender_free(void *p)
{
	struct flow_sender *s = p;

	list_each_safe (node, &s->links)
		flow_link_free(list_entry(node, struct flow_link, node));
	flow_server_forget(s);
	flow_refusals_forget(s);
	free(s->address);
	free(s);
}

void flow_senders_init(void)
{
	flow.senders = g_ptr_array_new_with_free_func(sender_free);
}

void flow_senders_free(void)
{
	g_ptr_array_unref(flow.senders);
}
