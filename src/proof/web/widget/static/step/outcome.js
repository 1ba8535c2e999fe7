/** How it ended, and the way out. */

import { h, icon, own } from "../dom.js";
import { wayOut } from "../leave.js";
import { copied } from "./copied.js";

const SIGNS = { completed: ["check", "success"], failed: ["cross", "danger"], cancelled: ["info", "quiet"] };

export function view(page, state, shown) {
  const name = nameOf(state);
  if (shown?.name === name) {
    shown.tell(state);
    return shown;
  }
  const { words } = page;
  const heading = h("h1", {}, words.say(name));
  const [sign, kind] = SIGNS[state.end];
  const amount = words.crypto(state.crypto_amount, state.currency);
  const details = h("dl", { class: "rows details" });
  const tell = (later) => details.replaceChildren(...described(words, later));
  tell(state);
  const way = wayOut(page, state, state.end, state.end === "completed");
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
      way.element,
    ],
    stop: () => way.stop?.(),
  };
}

/** Which words are true of an end: whether anything was paid, and whether it was for the identity. */
function nameOf({ type, end, paid, kyc, failure_reason }) {
  const name = `outcome.${type}.${end}`;
  if (end !== "failed") return name;
  if (paid) return `${name}.paid`;
  // The record's reason comes with the record's status.
  const refused = failure_reason ? failure_reason === "identity_refused" : kyc === "failed";
  return refused ? `${name}.identity` : name;
}

/** When it ended; until the record says so too, nobody knows. */
function described(words, state) {
  if (state.status !== state.end) return [];
  const ended = own(words.moment(state.occurred_at));
  return [h("div", {}, h("dt", {}, words.say("outcome.time")), h("dd", {}, ended))];
}
