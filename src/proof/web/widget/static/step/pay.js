/** Card, Apple Pay or Google Pay. What is typed here stays here: the server gets a method and an outcome. */

import { form, h, note } from "../dom.js";
import { CardForm } from "./card.js";

export function view(page, state, shown) {
  const key = state.attempt ? `${state.attempt.id} ${state.attempt.result}` : "";
  if (shown && shown.key === key) {
    shown.price(state);
    return shown;
  }
  return new Payment(page, state, key).made;
}

class Payment {
  constructor(page, state, key) {
    this.page = page;
    this.words = page.words;
    this.heading = h("h1", {}, this.words.say("pay.title"));
    this.method = state.payment_methods[0];
    this.sure = h("span");
    this.submit = h("button", { type: "submit", class: "primary" }, this.sure);
    this.problem = h("div", { role: "alert" });
    this.area = h("div", { class: "stack" });
    this.card = new CardForm(page.words, state);
    this.price(state);
    const declined = state.attempt?.result === "declined";
    const again = declined ? note("danger", this.words.say("pay.declined"), "alert") : null;
    const fields = form(this.submit, () => this.pay(), this.methods(state), this.area, this.problem);
    this.choose(this.method);
    const nodes = [this.heading, again, fields].filter(Boolean);
    this.made = { key, heading: this.heading, nodes, price: (later) => this.price(later) };
  }

  price(state) {
    const { quote } = state;
    const total = quote ? this.words.money(quote.fiat_amount, quote.fiat_currency) : "";
    this.sure.textContent = total ? this.words.say("pay.button", { total }) : this.words.say("pay.title");
  }

  methods(state) {
    const choices = state.payment_methods.map((name) => {
      const input = h("input", {
        type: "radio", name: "method", value: name, checked: name === this.method,
        onchange: () => this.choose(name),
      });
      return h("label", {}, input, h("span", {}, this.words.say(`method.${name}`)));
    });
    const legend = h("legend", { class: "unseen" }, this.words.say("pay.method"));
    return h("fieldset", { class: "segments" }, legend, ...choices);
  }

  choose(name) {
    this.method = name;
    this.problem.replaceChildren();
    this.area.replaceChildren(name === "card" ? this.card.element : this.wallet(name));
  }

  /** A wallet without a wallet: in the sandbox the tester says how it ends. */
  wallet(name) {
    const { state } = this.page;
    const options = state.test_cards.map((one) => h("option", { value: one.outcome }, this.words.say(`test.${one.outcome}`)));
    this.ending = h("select", { id: "ending" }, ...options);
    const text = h("p", {}, this.words.say("pay.wallet", { method: this.words.say(`method.${name}`) }));
    if (!options.length) return h("div", { class: "stack" }, text);
    const field = h("div", { class: "field" }, h("label", { for: "ending" }, this.words.say("pay.ending")), h("span", { class: "pick" }, this.ending));
    return h("div", { class: "stack" }, text, field);
  }

  async pay() {
    this.problem.replaceChildren();
    const { page } = this;
    const card = this.method === "card";
    if (card && !this.card.check()) return;
    const outcome = card ? this.card.outcome() : (this.ending?.value ?? null);
    const attempt = page.session.attempt(page.state);
    try {
      await page.act("pay", { attempt_id: attempt, method: this.method, outcome });
    } catch (error) {
      // The attempt keeps its id: pressing again asks for the same one, never for a second.
      const unknown = error.code === "network" || error.status >= 500;
      this.problem.replaceChildren(note("caution", this.words.say(unknown ? "pay.unknown" : "refused")));
      if (!unknown) await page.look();
    }
  }
}
