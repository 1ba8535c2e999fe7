/** What is bought or sold, and for how much: always in view, the amount never to be changed. */

import { h, own } from "./dom.js";

export class Summary {
  constructor(page) {
    this.page = page;
    this.title = h("h2", { id: "summary-title" });
    this.amount = h("p", { class: "amount" });
    this.rows = h("dl", { class: "rows" });
    this.choice = h("div", { class: "choice" });
    this.element = h("section", { class: "summary", "aria-labelledby": "summary-title" }, this.title, this.amount, this.rows, this.choice);
  }

  show(state) {
    const { words } = this.page;
    const buy = state.type === "buy";
    this.title.textContent = words.say(buy ? "summary.buy" : "summary.sell");
    const unit = own(state.currency, "unit");
    this.amount.replaceChildren(h("bdi", { dir: "ltr" }, own(words.number(state.crypto_amount)), " ", unit));
    this.rows.replaceChildren(...this.described(state, buy));
    this.offer(state);
    this.renew(state);
  }

  described(state, buy) {
    const { words } = this.page;
    const row = (name, value, className) =>
      h("div", { class: className }, h("dt", {}, words.say(name)), h("dd", {}, own(value)));
    const found = [row("summary.network", state.network)];
    if (buy && state.address) found.push(row("summary.wallet", state.address, "address"));
    const price = priceOf(state);
    // A buy that was not paid cost nothing; of a sale that failed nothing is got.
    if (!price || (state.end && state.end !== "completed" && !(buy && state.paid))) return found;
    const money = (amount) => words.money(amount, price.currency);
    if (price.rate) found.push(row("summary.rate", words.rate(price.rate, price.currency, state.currency)));
    if (price.price) found.push(row("summary.price", money(price.price)));
    if (price.fee) found.push(row("summary.fee", money(price.fee)));
    const total = !buy ? "summary.get" : state.paid ? "summary.paid" : "summary.pay";
    found.push(row(total, money(price.total), "total"));
    return found;
  }

  /** The user's currency, while there is more than one and nothing is paid. */
  offer(state) {
    const { words } = this.page;
    const open = state.quote && state.fiat_currencies.length > 1 && ["kyc", "pay"].includes(state.step);
    if (!open) {
      this.choice.replaceChildren();
      return;
    }
    const chosen = state.quote.fiat_currency;
    const select = this.choice.querySelector("select");
    if (select) {
      select.value = chosen;
      return;
    }
    const options = state.fiat_currencies.map((code) =>
      h("option", { value: code, selected: code === chosen }, `${code} – ${words.currency(code)}`),
    );
    const made = h("select", { id: "fiat", onchange: () => this.change(made.value) }, ...options);
    this.problem = h("p", { class: "field-error", role: "alert" });
    this.choice.replaceChildren(h("label", { for: "fiat" }, words.say("summary.currency")), h("span", { class: "pick" }, made), this.problem);
  }

  async change(code) {
    const { page } = this;
    this.problem.textContent = "";
    try {
      await page.act("quote", { fiat_currency: code });
      document.getElementById("said").textContent = page.words.say("summary.changed", {
        total: page.words.money(page.state.quote.fiat_amount, code),
      });
    } catch {
      this.problem.textContent = page.words.say("refused");
      this.choice.querySelector("select").value = page.state.quote.fiat_currency;
    }
  }

  /** A price is held for a while; then there is a new one, before anybody pays the old. */
  renew(state) {
    clearTimeout(this.timer);
    if (!state.quote || !["kyc", "pay"].includes(state.step)) return;
    const left = Date.parse(state.quote.expires_at) - this.page.session.now();
    const again = async () => {
      try {
        await this.page.act("quote", { fiat_currency: this.page.state.quote.fiat_currency });
      } catch {
        this.timer = setTimeout(again, 5000);
      }
    };
    this.timer = setTimeout(again, Math.min(Math.max(left, 5000), 2 ** 31 - 1));
  }
}

/** What was paid, once the record has it, or else what is offered. What is not known is "". */
function priceOf({ quote, fiat_amount, fiat_currency, fiat_fee, rate }) {
  if (fiat_amount) return { currency: fiat_currency, total: fiat_amount, fee: fiat_fee, rate, price: "" };
  if (!quote) return null;
  return { currency: quote.fiat_currency, total: quote.fiat_amount, fee: quote.fiat_fee, rate: quote.rate, price: quote.price };
}
