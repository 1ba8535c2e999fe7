/** How it ended, and the way back. */

import { button, h, icon, own } from "../dom.js";
import { copied } from "./copied.js";

const RETURN_S = 10;

export function view(page, state, shown) {
  if (shown) return shown;
  const { words } = page;
  const good = state.status === "completed";
  const name = `outcome.${state.type}.${state.status}`;
  const heading = h("h1", {}, words.say(name));
  const sign = { completed: "check", failed: "cross" }[state.status] ?? "info";
  const kind = { completed: "success", failed: "danger" }[state.status] ?? "quiet";
  const amount = words.crypto(state.crypto_amount, state.currency);
  const made = {
    heading,
    nodes: [
      h("span", { class: `seal ${kind}` }, icon(sign)),
      heading,
      h("p", { class: "lead" }, words.say(`${name}.text`, { amount, partner: state.partner_name })),
      copied(words, "outcome.reference", state.merchant_transaction_id),
      details(page, state),
    ],
  };
  const url = webAddress(state.redirect_url);
  if (url) {
    const back = new Return(page, state, url, good);
    made.nodes.push(back.element);
    made.stop = () => back.stop();
  }
  return made;
}

function details({ words }, state) {
  const time = h("div", {}, h("dt", {}, words.say("outcome.time")), h("dd", {}, own(words.moment(state.updated_at))));
  return h("dl", { class: "rows details" }, time);
}

/** The partner's page, by a link, or by itself after a while unless the user wants to stay. */
class Return {
  constructor(page, state, url, itself) {
    this.page = page;
    this.url = url;
    this.words = page.words;
    const text = this.words.say("outcome.return", { partner: state.partner_name });
    const link = h("a", { class: "primary", href: url, target: "_top", rel: "noreferrer" }, text);
    this.element = h("div", { class: "stack" }, link);
    // Once a session: whoever comes back by the back button means to be here.
    if (!itself || page.session.kept.returned) return;
    this.left = RETURN_S;
    this.soon = h("p", { class: "soon" });
    this.stay = button("quiet", this.words.say("outcome.stay"), () => {
      this.stop();
      link.focus();
      this.bar.remove();
    });
    this.bar = h("div", { class: "leaving" }, this.soon, this.stay);
    this.element.append(this.bar);
    this.tick();
  }

  tick() {
    this.soon.textContent = this.words.say("outcome.soon", { seconds: this.words.number(this.left) });
    if (this.left === 0) {
      this.page.session.keep({ returned: true });
      if (this.page.partner.framed) this.page.partner.tell("redirect", { url: this.url });
      else location.assign(this.url);
      return;
    }
    this.left -= 1;
    this.timer = setTimeout(() => this.tick(), 1000);
  }

  stop() {
    clearTimeout(this.timer);
    this.page.session.keep({ returned: true });
  }
}

function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
