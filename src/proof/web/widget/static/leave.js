/** The ways out: the partner's page, by a link or by itself, or a button where there is no such page. */

import { button, h } from "./dom.js";

const RETURN_S = 10;

/** A button that closes the widget; `page` has root, words and partner. */
export function done({ root, words, partner }, reason, kind = "secondary") {
  return button(kind, words.say("done"), () => {
    if (partner.framed) {
      partner.tell("close", { reason });
      return;
    }
    close();
    // Only a window that a script opened can be closed by one.
    const heading = h("h1", { tabindex: "-1" }, words.say("closed"));
    root.replaceChildren(h("main", { class: "panel notice" }, heading));
    heading.focus();
  });
}

/** The way out of a state, or of an end; after success `itself`, unless the user wants to stay. */
export function wayOut(page, state, reason, itself = false) {
  const url = webAddress(state.redirect_url);
  const kind = state.step === "done" ? "primary" : "secondary";
  if (!url) return { element: done(page, reason, kind), stop() {} };
  return new Return(page, state, { url, reason, kind, itself });
}

class Return {
  constructor(page, state, { url, reason, kind, itself }) {
    this.page = page;
    this.url = url;
    this.reason = reason;
    this.words = page.words;
    const text = this.words.say("outcome.return", { partner: state.partner_name });
    const left = () => page.partner.tell("leave", { reason });
    const link = h("a", { class: kind, href: url, target: "_top", rel: "noreferrer", onclick: left }, text);
    this.element = h("div", { class: "stack" }, link);
    // Once a session: whoever comes back by the back button means to be here.
    if (!itself || page.session.kept.returned) return;
    this.left = RETURN_S;
    this.soon = h("p", { class: "soon" });
    const stay = button("quiet", this.words.say("outcome.stay"), () => {
      link.focus();
      this.stay();
    });
    this.bar = h("div", { class: "leaving" }, this.soon, stay);
    this.element.append(this.bar);
    this.tick();
  }

  tick() {
    this.soon.textContent = this.words.say("outcome.soon", { seconds: this.words.number(this.left) });
    if (this.left === 0) {
      this.page.session.keep({ returned: true });
      if (this.page.partner.framed) this.page.partner.tell("redirect", { url: this.url, reason: this.reason });
      else location.assign(this.url);
      return;
    }
    this.left -= 1;
    this.timer = setTimeout(() => this.tick(), 1000);
  }

  /** Does not leave by itself any more. */
  stay() {
    this.stop();
    this.bar?.remove();
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
