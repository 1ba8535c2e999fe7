/** Money has come in; what goes out is on its way. Nothing is asked of the user. */

import { h, icon } from "../dom.js";

export function view(page, state, shown) {
  if (shown) return shown;
  const { words } = page;
  const buy = state.type === "buy";
  const heading = h("h1", {}, words.say(buy ? "processing.buy" : "processing.sell"));
  const amount = words.crypto(state.crypto_amount, state.currency);
  const items = [
    h("li", { class: "done" }, h("span", { class: "dot" }, icon("check")), words.say(buy ? "processing.paid" : "processing.received", { amount })),
    h("li", { class: "now" }, h("span", { class: "turning small", "aria-hidden": "true" }), words.say(buy ? "processing.sending" : "processing.paying", { amount })),
  ];
  return {
    heading,
    nodes: [
      heading,
      h("ul", { class: "course" }, ...items),
      h("p", { class: "lead" }, words.say("processing.text", { partner: state.partner_name })),
    ],
  };
}
