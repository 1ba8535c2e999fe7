/** Money or coins have come in. What goes out is on its way, or held up until a person decides. */

import { h, icon } from "../dom.js";
import { wayOut } from "../leave.js";

export function view(page, state, shown) {
  if (shown) return shown;
  const { words } = page;
  const name = state.step === "review" ? "review" : state.type;
  const heading = h("h1", {}, words.say(`processing.${name}`));
  const amount = words.crypto(state.crypto_amount, state.currency);
  const sign =
    name === "review"
      ? h("span", { class: "dot caution" }, icon("clock"))
      : h("span", { class: "turning small", "aria-hidden": "true" });
  const items = [
    h("li", { class: "done" }, h("span", { class: "dot" }, icon("check")), words.say(`processing.${state.type}.paid`, { amount })),
    h("li", { class: "now" }, sign, words.say(`processing.${name}.now`, { amount })),
  ];
  const text = name === "review" ? "processing.review.text" : "processing.text";
  const way = wayOut(page, state, "processing");
  return {
    heading,
    nodes: [
      heading,
      h("ul", { class: "course" }, ...items),
      h("p", { class: "lead" }, words.say(text, { partner: state.partner_name })),
      way.element,
    ],
    stop: () => way.stop?.(),
  };
}
