/**
 * The page of a receipt: asks for it with the token of its link, shows it, and gives the file.
 *
 * The token stays in the address, since the user is to keep that; it is in the fragment, which reaches no
 * server and no other page, and it is taken off the address while the page is printed.
 */

import { button, h, icon, note, own } from "./dom.js";
import { endOf, SIGNS } from "./ending.js";
import { choose, load } from "./words.js";

const PATIENCE_MS = 20000;
const CHAINS = { BTC: "Bitcoin", ETH: "Ethereum" };
const OWN_CHAINS = { LOG: "receipt.log", TSA: "receipt.tsa", UPSTREAM: "receipt.upstream" };
const REFUNDS = {
  requested: "receipt.refund.requested",
  refunded: "receipt.refund.refunded",
  charged_back: "receipt.refund.charged_back",
};
const METHODS = { card: "method.card", apple_pay: "method.apple_pay", google_pay: "method.google_pay" };

const root = document.getElementById("receipt");
const said = document.getElementById("said");
const here = location.origin + location.pathname;
const transaction = location.pathname.split("/").pop();

/** The answer of the API, or the key of the text that says why there is none. */
async function read() {
  const body = JSON.stringify({ merchant_transaction_id: transaction, token: location.hash.slice(1) });
  try {
    const reply = await fetch(new URL("api/receipt", here), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout?.(PATIENCE_MS),
    });
    if (reply.ok) return { answer: await reply.json() };
    return { problem: [400, 404, 422].includes(reply.status) ? "receipt.gone" : "failure.network" };
  } catch {
    return { problem: "failure.network" };
  }
}

class Receipt {
  constructor(words, answer) {
    this.words = words;
    this.answer = answer;
    this.facts = answer.summary;
    const { status } = this.facts;
    this.over = ["completed", "failed", "cancelled"].includes(status);
    this.name = this.over ? endOf({ ...this.facts, end: status }) : null;
  }

  say(key, values) {
    return this.words.say(key, values);
  }

  draw() {
    const heading = h("h1", { tabindex: "-1" }, this.title());
    const [sign, kind] = this.over ? SIGNS[this.facts.status] : ["clock", "quiet"];
    const sandbox = h("span", { class: "badge" }, this.say("sandbox"));
    root.replaceChildren(
      h(
        "div",
        { class: "receipt" },
        h(
          "header",
          { class: "top" },
          h("span", { class: "partner" }, own(this.answer.partner_name)),
          this.facts.environment === "sandbox" ? sandbox : null,
        ),
        h(
          "main",
          { class: "panel" },
          h("div", { class: "ending" }, h("span", { class: `seal ${kind}` }, icon(sign)), h("div", {}, h("p", { class: "kind" }, this.say("receipt.open")), heading, h("p", { class: "lead" }, this.lead()))),
          this.refund(),
          h("dl", { class: "rows facts" }, ...this.rows()),
          this.actions(),
          this.section("receipt.history", this.history()),
          this.section("receipt.proved", ...this.proved()),
          this.section("receipt.check", ...this.check()),
        ),
        h("footer", { class: "foot" }, h("span", { class: "secured" }, icon("lock"), this.say("secured")), h("span", {}, this.say("receipt.as_of", { time: this.words.instant(this.facts.as_of) }))),
      ),
    );
    document.title = `${this.say("receipt.open")} – ${this.title()} – ${this.answer.partner_name}`;
    heading.focus({ preventScroll: true });
  }

  title() {
    if (this.name) return this.say(this.name);
    // What was paid for may be delayed, which no record tells.
    return this.facts.paid ? this.received() : this.say("receipt.pending");
  }

  lead() {
    if (!this.name) return this.say("receipt.pending.text");
    const { crypto_amount, currency } = this.facts;
    const amount = this.words.crypto(crypto_amount, currency);
    return this.say(`${this.name}.text`, { amount, partner: this.answer.partner_name });
  }

  refund() {
    const { refund_status, refund_amount, refunded_at, fiat_currency } = this.facts;
    const key = REFUNDS[refund_status];
    if (!key) return null;
    const amount = refund_amount && this.words.money(refund_amount, fiat_currency);
    const parts = [this.say(key), amount, refunded_at && this.words.instant(refunded_at)];
    return note("caution", parts.filter(Boolean).join(" · "));
  }

  row(key, value, className) {
    return value ? h("div", { class: className }, h("dt", {}, this.say(key)), h("dd", {}, value)) : null;
  }

  rows() {
    const { words, facts, answer } = this;
    const amount = words.crypto(facts.crypto_amount, facts.currency);
    const bought = facts.type === "buy" ? "receipt.bought" : "receipt.sold";
    const method = METHODS[facts.payment_method];
    return [
      this.row(facts.status === "completed" ? bought : "receipt.ordered", own(amount), "what"),
      this.row("summary.network", own(facts.network)),
      this.row("summary.wallet", answer.address && own(answer.address), "address"),
      ...this.price(),
      this.row("pay.method", facts.payment_method && own(method ? this.say(method) : facts.payment_method)),
      this.row("outcome.time", facts.occurred_at && own(words.instant(facts.occurred_at))),
      this.row("receipt.transfer", this.transfer(), "address"),
      this.row("outcome.reference", own(facts.merchant_transaction_id), "address"),
    ];
  }

  /** What it came to; a buy that was not paid cost nothing, and of a sale that failed nothing is got. */
  price() {
    const { words, facts } = this;
    const { type, status, paid, fiat_amount, fiat_currency, fiat_fee, rate } = facts;
    const buy = type === "buy";
    if (!fiat_amount || !paid || (!buy && this.over && status !== "completed")) return [];
    const total = buy ? "summary.paid" : status === "completed" ? "receipt.got" : "summary.get";
    return [
      this.row("summary.rate", rate && own(words.rate(rate, fiat_currency, facts.currency))),
      this.row("summary.fee", fiat_fee && own(words.money(fiat_fee, fiat_currency))),
      this.row(total, own(words.money(fiat_amount, fiat_currency)), "total"),
    ];
  }

  transfer() {
    const { chain_transaction, chain_transaction_url } = this.facts;
    if (!chain_transaction) return null;
    const shown = own(chain_transaction);
    if (!chain_transaction_url.startsWith("https://")) return shown;
    return h("a", { href: chain_transaction_url, target: "_blank", rel: "noreferrer" }, shown);
  }

  history() {
    const { words } = this;
    const line = (step) => h("li", {}, h("time", { datetime: step.at }, own(words.instant(step.at))), h("span", {}, this.step(step)));
    return h("ol", { class: "history" }, ...this.facts.steps.map(line));
  }

  step({ kind, status }) {
    if (kind === "opened") return this.say("receipt.step.opened");
    if (kind === "callback") return this.say("receipt.step.callback");
    if (kind === "resolution") return this.say("receipt.step.resolution");
    if (kind === "refund") return this.say(REFUNDS[status]);
    return status === "processing" ? this.received() : this.say(endOf({ ...this.facts, end: status }));
  }

  received() {
    const { type, crypto_amount, currency } = this.facts;
    if (type === "buy") return this.say("processing.buy.paid");
    return this.say("processing.sell.paid", { amount: this.words.crypto(crypto_amount, currency) });
  }

  proved() {
    const { words, facts } = this;
    const all = words.number(facts.steps.length);
    const proved = facts.proved.map(({ chain, records, timestamp }) => {
      const said = this.say("receipt.proved.in", { count: words.number(records), all, time: words.instant(timestamp) });
      const name = OWN_CHAINS[chain] ? this.say(OWN_CHAINS[chain]) : CHAINS[chain] ?? chain;
      return h("div", {}, h("dt", {}, name), h("dd", {}, said));
    });
    const statement = this.row("receipt.statement", facts.statement && own(words.date(facts.statement)));
    return [
      h("p", {}, this.say(proved.length ? "receipt.proved.text" : "receipt.proved.none")),
      h("dl", { class: "rows" }, ...proved, statement),
      h("p", { class: "print" }, this.say("receipt.head"), " ", h("code", { dir: "ltr" }, facts.head)),
      facts.erased ? note("quiet", this.say("receipt.erased")) : null,
    ];
  }

  check() {
    const base = new URL("..", here).href;
    const link = (href) => h("a", { href, dir: "ltr" }, href);
    return [
      h("p", {}, this.say("receipt.check.text")),
      h("pre", { dir: "ltr", tabindex: "0" }, `proof-verify ${this.file()} --log-key log.key --receipt-key receipts.key`),
      h("ul", { class: "keys" }, ...[`${base}log/key`, `${base}receipts/key`, this.answer.guide].map((href) => h("li", {}, link(href)))),
      h("p", { class: "keep" }, this.say("receipt.keep")),
    ];
  }

  actions() {
    const save = button("primary", this.say("receipt.save"), () => this.save());
    const print = button("secondary", this.say("receipt.print"), () => window.print());
    save.prepend(icon("save"));
    print.prepend(icon("print"));
    return h("div", { class: "buttons" }, save, print);
  }

  section(key, ...children) {
    const title = h("h2", {}, this.say(key));
    return h("section", {}, title, ...children);
  }

  file() {
    return `receipt-${transaction}.json`;
  }

  save() {
    const text = JSON.stringify(this.answer.receipt);
    const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    h("a", { href, download: this.file() }).click();
    setTimeout(() => URL.revokeObjectURL(href), PATIENCE_MS);
    said.textContent = this.say("receipt.saved");
  }
}

function refuse(words, key) {
  const heading = h("h1", { tabindex: "-1" }, words.say(key));
  const again = key === "failure.network" ? button("primary", words.say("again"), begin) : null;
  root.replaceChildren(h("main", { class: "panel notice" }, heading, h("p", { class: "lead" }, words.say(`${key}.todo`)), again));
  heading.focus();
}

async function begin() {
  const [words, { answer, problem }] = await Promise.all([load(choose([])), read()]);
  const wanted = answer?.lang ? choose([answer.lang]) : words;
  const spoken = wanted.language === words.language || !words.whole ? words : await load(wanted);
  spoken.apply();
  if (answer && spoken.whole) new Receipt(spoken, answer).draw();
  else refuse(spoken, spoken.whole ? problem : "failure.network");
}

// A browser may print the address beside the page, and whoever gets the paper is not to get the link.
const { hash } = location;
addEventListener("beforeprint", () => history.replaceState(null, "", here));
addEventListener("afterprint", () => history.replaceState(null, "", here + hash));
// Another receipt's link, opened in this very tab, differs in its fragment alone.
addEventListener("hashchange", () => location.reload());
begin();
