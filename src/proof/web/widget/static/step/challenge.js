/** 3-D Secure, played: the user's bank asks whether it is really them. */

import { button, h, icon, note, own } from "../dom.js";

export function view(page, state, shown) {
  if (shown && shown.attempt === state.attempt.id) return shown;
  const { words, partner } = page;
  const heading = h("h1", {}, words.say("challenge.title"));
  const problem = h("div", { role: "alert" });
  const answer = async (passed) => {
    problem.replaceChildren();
    try {
      await page.act("challenge", { attempt_id: state.attempt.id, passed });
    } catch (error) {
      const text = words.say(error.code === "network" ? "lost" : "refused");
      problem.replaceChildren(note("caution", text));
      if (error.code !== "network") await page.look();
    }
  };
  const { quote } = state;
  const row = (name, value) => h("div", {}, h("dt", {}, words.say(name)), h("dd", {}, own(value)));
  const bank = h(
    "div",
    { class: "bank" },
    h("p", { class: "bank-name" }, icon("lock"), words.say("challenge.bank")),
    h("dl", { class: "rows" },
      row("challenge.merchant", state.partner_name),
      quote ? row("challenge.amount", words.money(quote.fiat_amount, quote.fiat_currency)) : null,
      row("challenge.method", words.say(`method.${state.attempt.method}`))),
  );
  const nodes = [
    heading,
    h("p", { class: "lead" }, words.say("challenge.text")),
    bank,
    state.environment === "sandbox" ? note("quiet", words.say("challenge.simulated")) : null,
    problem,
    h("div", { class: "buttons" },
      button("primary", words.say("challenge.yes"), () => answer(true)),
      button("secondary", words.say("challenge.no"), () => answer(false))),
  ];
  return { attempt: state.attempt.id, partner, heading, nodes: nodes.filter(Boolean) };
}
