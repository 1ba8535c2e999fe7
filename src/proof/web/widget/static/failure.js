/** What the page shows when there is no session to show, or none to go on with. */

import { button, h, icon } from "./dom.js";
import { done } from "./leave.js";

// What may pass by itself, and is worth another try.
const PASSING = ["network", "internal_error", "upstream_unavailable", "upstream_invalid_response"];
// What a partner's developer has to mend; the server's words say what.
const DETAILED = ["options_differ", "signature_invalid"];
const FINAL = [
  "init_token_expired", "init_token_used", "invalid_token", "not_found", "not_started", "partner_suspended",
  "provider_error", "refused", "wrong_origin",
];
// After so many tries it is no longer a matter of a moment.
const PATIENCE = 2;

/** The code of what went wrong, of the list that the loader's `onError` documents. */
export function codeOf({ code, status }) {
  if ([...PASSING, ...DETAILED, ...FINAL].includes(code)) return code;
  return status >= 400 && status < 500 && status !== 429 ? "refused" : "internal_error";
}

/** Whether no later try of the page's can help. */
export function isFinal(code) {
  return !PASSING.includes(code);
}

export class Failure {
  /** `partner` is whom the page is left to. */
  constructor(root, words, partner) {
    this.root = root;
    this.words = words;
    this.partner = partner;
  }

  /** `message` is the server's own, for the partner's developer; `again` is null where it cannot help, and
   * `tries` how often it did not. */
  show(code, message, again = null, tries = 0) {
    const { words } = this;
    const heading = h("h1", { tabindex: "-1" }, words.say(`failure.${code}`));
    const lasting = !isFinal(code) && tries >= PATIENCE;
    const retry = button("primary", words.say("again"), again);
    const main = h(
      "main",
      { class: "panel notice" },
      h("span", { class: "seal danger" }, icon("warning")),
      heading,
      h("p", {}, words.say(lasting ? "failure.lasting.todo" : `failure.${code}.todo`)),
      DETAILED.includes(code) ? h("p", { class: "detail", lang: "en", dir: "ltr" }, message) : null,
      again && !isFinal(code) ? retry : null,
      words.whole ? done(this, "error") : null,
    );
    document.title = words.say(`failure.${code}`);
    this.root.replaceChildren(main);
    if (document.hasFocus()) heading.focus();
    else document.getElementById("said").textContent = heading.textContent;
  }
}
