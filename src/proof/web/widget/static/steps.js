/** The frame around the steps: header, progress, summary, the step itself, footer. */

import { button, h, icon, own } from "./dom.js";
import { Summary } from "./summary.js";

const ORDER = { buy: ["identity", "payment", "delivery"], sell: ["identity", "deposit", "payout"] };
const PLACE = { kyc: 0, pay: 1, challenge: 1, deposit: 1, handover: 1, processing: 2, review: 2, done: 3 };
const CANCELLED_AT = ["kyc", "pay", "deposit"];
const MODULES = {
  kyc: () => import("./step/kyc.js"),
  pay: () => import("./step/pay.js"),
  challenge: () => import("./step/challenge.js"),
  processing: () => import("./step/processing.js"),
  review: () => import("./step/processing.js"),
  deposit: () => import("./step/deposit.js"),
  done: () => import("./step/outcome.js"),
  handover: () => import("./step/handover.js"),
};

export class Stage {
  /** `page` has state, words, session, partner and act. */
  constructor(root, page) {
    this.page = page;
    this.words = page.words;
    this.summary = new Summary(page);
    this.steps = h("ol");
    this.progress = h("section", { class: "progress" }, this.steps);
    this.main = h("main", { class: "panel" });
    this.offline = h("p", { class: "offline", role: "status" });
    this.said = document.getElementById("said");
    this.root = root;
    this.shown = null;
  }

  /** Draws the whole of a state at once, so that no frame has one part of it beside another's. */
  async show(state) {
    const { step } = state;
    const { view } = await MODULES[step]();
    // A later state may have come while the step's module was on its way.
    if (state !== this.page.state) return;
    if (!this.built) this.build(state);
    this.connected(true);
    this.mark(state);
    this.summary.show(state);
    this.cancel.hidden = !CANCELLED_AT.includes(step);
    // What cannot be cancelled any more is not asked about.
    if (this.cancel.hidden) this.dialog?.close();
    const made = view(this.page, state, this.shown?.step === step ? this.shown : null);
    if (made === this.shown) return;
    made.step = step;
    this.replace(made, state);
  }

  /** Fetches what later steps need, while there is a connection. */
  prepare() {
    return Promise.allSettled(Object.values(MODULES).map((load) => load()));
  }

  focus() {
    this.shown?.heading.focus({ preventScroll: true });
  }

  connected(there) {
    this.offline.textContent = there ? "" : this.words.say("offline");
  }

  build(state) {
    const { words } = this;
    this.cancel = h("button", { type: "button", class: "quiet", onclick: () => this.ask() }, words.say(state.type === "buy" ? "cancel" : "cancel.sell"));
    const sandbox = h("span", { class: "badge" }, words.say("sandbox"));
    const brand = h(
      "header",
      { class: "top" },
      h("span", { class: "partner" }, own(state.partner_name)),
      state.environment === "sandbox" ? sandbox : null,
    );
    const foot = h(
      "footer",
      { class: "foot" },
      h("span", { class: "secured" }, icon("lock"), words.say("secured")),
      this.cancel,
    );
    this.work = h("div", { class: "work" }, this.progress, this.offline, this.main, foot);
    this.progress.setAttribute("aria-label", words.say("progress"));
    this.root.replaceChildren(h("div", { class: "sheet" }, h("div", { class: "side" }, brand, this.summary.element), this.work));
    this.built = true;
  }

  mark(state) {
    this.progress.hidden = state.step === "done" || state.step === "handover";
    const place = PLACE[state.step];
    this.steps.replaceChildren(
      ...ORDER[state.type].map((name, position) => {
        const done = position < place;
        const here = position === place ? "step" : null;
        const sign = h("span", { class: "dot" }, done ? icon("check") : null);
        const unseen = done ? h("span", { class: "unseen" }, this.words.say("progress.done")) : null;
        return h("li", { "aria-current": here, class: done && "done" }, sign, this.words.say(`progress.${name}`), unseen);
      }),
    );
  }

  replace(made, state) {
    const first = this.shown === null;
    const active = document.activeElement;
    // A browser takes the focus off what is out of sight only with the next frame.
    const gone = (active === this.cancel && active.hidden) || active?.closest("dialog")?.open === false;
    const inside = this.main.contains(active) || active === document.body || gone;
    this.shown?.stop?.();
    this.shown = made;
    made.heading.setAttribute("tabindex", "-1");
    this.main.replaceChildren(...made.nodes);
    document.title = `${made.heading.textContent} – ${state.partner_name}`;
    // Focus follows the step, so that a keyboard goes on there and a screen reader says where it is.
    if (!first && inside && document.hasFocus()) made.heading.focus({ preventScroll: true });
    else if (first && !this.page.partner.framed) made.heading.focus({ preventScroll: true });
    else this.said.textContent = made.heading.textContent;
    // Below the summary where that is above; and a partner's page, with its reader elsewhere, stays where it is.
    if (!first && (!this.page.partner.framed || document.hasFocus())) this.work.scrollIntoView({ block: "start" });
  }

  /** Asks before it cancels. */
  ask() {
    const { words, page } = this;
    const title = h("h2", { id: "cancel-title" }, words.say("cancel.title"));
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "cancel-title" });
    const problem = h("p", { class: "field-error", role: "alert" });
    const stay = h("button", { type: "button", class: "secondary", autofocus: true, onclick: () => dialog.close() }, words.say("cancel.no"));
    const go = button("danger", words.say("cancel.yes"), async () => {
      problem.textContent = "";
      try {
        await page.act("cancel");
        dialog.close();
      } catch (error) {
        problem.textContent = words.say(error.code === "network" ? "lost" : "refused");
      }
    });
    const text = words.say(page.state.type === "buy" ? "cancel.text" : "cancel.sell.text");
    dialog.append(title, h("p", {}, text), problem, h("div", { class: "buttons" }, go, stay));
    // It is at the frame's foot, and a partner's page may give the frame its height only after this.
    const show = () => dialog.scrollIntoView({ block: "nearest" });
    addEventListener("resize", show);
    dialog.addEventListener("close", () => {
      removeEventListener("resize", show);
      dialog.remove();
      this.dialog = null;
    });
    this.dialog = dialog;
    this.root.append(dialog);
    dialog.showModal();
    show();
  }
}
