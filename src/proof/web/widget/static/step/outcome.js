/** How it ended, and the way out. */

import { h, icon, own } from "../dom.js";
import { endOf, SIGNS } from "../ending.js";
import { wayOut } from "../leave.js";
import { copied } from "./copied.js";

export function view(page, state, shown) {
  const name = endOf(state);
  if (shown?.name === name) {
    shown.tell(state);
    return shown;
  }
  const { words } = page;
  const heading = h("h1", {}, words.say(name));
  const [sign, kind] = SIGNS[state.end];
  const amount = words.crypto(state.crypto_amount, state.currency);
  const details = h("dl", { class: "rows details" });
  const way = wayOut(page, state, state.end, state.end === "completed");
  const receipt = new ReceiptLink(page, () => way.stay?.());
  const tell = (later) => {
    details.replaceChildren(...described(words, later));
    receipt.find();
  };
  tell(state);
  return {
    name,
    tell,
    heading,
    nodes: [
      h("span", { class: `seal ${kind}` }, icon(sign)),
      heading,
      h("p", { class: "lead" }, words.say(`${name}.text`, { amount, partner: state.partner_name })),
      copied(words, "outcome.reference", state.merchant_transaction_id),
      details,
      receipt.element,
      way.element,
    ],
    stop: () => way.stop?.(),
  };
}

/** The way to the receipt, in a tab of its own; hidden until its address is known, for good once it never is. */
class ReceiptLink {
  constructor(page, opened) {
    this.page = page;
    const link = h("a", { class: "secondary", target: "_blank", rel: "noreferrer", onclick: opened }, icon("page"), page.words.say("receipt.open"));
    this.element = h("div", { class: "receipt-link", hidden: true }, link);
    this.link = link;
  }

  async find() {
    if (this.asked) return;
    this.asked = true;
    try {
      const { url } = await this.page.session.act("receipt");
      this.link.href = url;
      this.element.hidden = false;
    } catch (error) {
      // Asked again with the next look at the state, unless there is nothing to be found.
      this.asked = error.status === 404;
    }
  }
}

/** When it ended; until the record says so too, nobody knows. */
function described(words, state) {
  if (state.status !== state.end) return [];
  const ended = own(words.moment(state.occurred_at));
  return [h("div", {}, h("dt", {}, words.say("outcome.time")), h("dd", {}, ended))];
}
