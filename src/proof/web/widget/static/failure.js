/** What the page shows when there is no session to show. */

import { h, icon } from "./dom.js";

export class Failure {
  constructor(root, words) {
    this.root = root;
    this.words = words;
  }

  /** `message` is the server's own, for the partner's developer; `again` is null where it cannot help. */
  show(code, message, again) {
    const { words } = this;
    const known = words.has(`failure.${code}`) ? code : "internal_error";
    const heading = h("h1", { tabindex: "-1" }, words.say(`failure.${known}`));
    const passing = known === "network" || known === "internal_error";
    const retry = h("button", { type: "button", class: "primary", onclick: again }, words.say("again"));
    const detail = known === "options_differ" || known === "signature_invalid" ? message : "";
    const main = h(
      "main",
      { class: "panel notice" },
      h("span", { class: "seal danger" }, icon("warning")),
      heading,
      h("p", {}, words.say(`failure.${known}.todo`)),
      detail ? h("p", { class: "detail", lang: "en", dir: "ltr" }, detail) : null,
      passing && again ? retry : null,
    );
    document.title = words.say(`failure.${known}`);
    this.root.replaceChildren(main);
    if (document.hasFocus()) heading.focus();
    else document.getElementById("said").textContent = heading.textContent;
  }
}
