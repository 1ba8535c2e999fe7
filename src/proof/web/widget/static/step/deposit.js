/** Selling: where the coins go, how many, and how long that stays so. */

import { button, h, icon, note, svg } from "../dom.js";
import { copied } from "./copied.js";

const TOLD_MIN = [60, 10, 1];

export function view(page, state, shown) {
  if (!state.deposit) return shown ?? offer(page, state);
  if (shown?.address === state.deposit.address) return shown;
  return new Deposit(page, state).made;
}

/** Before the six hours begin. */
function offer(page, state) {
  const { words } = page;
  const amount = words.crypto(state.crypto_amount, state.currency);
  const heading = h("h1", {}, words.say("deposit.offer"));
  const problem = h("div", { role: "alert" });
  const show = button("primary", words.say("deposit.show"), async () => {
    problem.replaceChildren();
    try {
      await page.act("deposit");
    } catch (error) {
      problem.replaceChildren(note("caution", words.say(error.code === "network" ? "lost" : "refused")));
    }
  });
  const points = ["deposit.exactly", "deposit.network", "deposit.window"].map((key) =>
    h("li", {}, h("span", { class: "dot" }, icon("check")), h("span", {}, words.say(key, { amount, network: state.network }))),
  );
  return { heading, nodes: [heading, h("ul", { class: "course plain" }, ...points), problem, show] };
}

class Deposit {
  constructor(page, state) {
    this.page = page;
    this.words = page.words;
    this.deposit = state.deposit;
    const { words } = page;
    const amount = words.crypto(this.deposit.amount, state.currency);
    const heading = h("h1", {}, words.say("deposit.title", { amount }));
    this.code = h("div", { class: "code" });
    this.said = h("p", { class: "unseen", role: "status" });
    this.clock = h("span", { class: "clock", role: "timer" });
    const left = h("p", { class: "left" }, icon("clock"), h("span", {}, words.say("deposit.left")), this.clock);
    const waiting = h("p", { class: "waiting" }, h("span", { class: "turning small", "aria-hidden": "true" }), words.say("deposit.waiting"));
    // What invites to send goes with the time there is for it, whenever the server comes to say so.
    this.inviting = [
      note("caution", words.say("deposit.network", { network: this.deposit.network })),
      this.code,
      copied(words, "deposit.address", this.deposit.address),
      copied(words, "deposit.amount", this.deposit.amount, { shown: words.number(this.deposit.amount), unit: state.currency }),
    ];
    this.over = h("div", { role: "alert" });
    this.made = {
      address: this.deposit.address,
      heading,
      nodes: [
        heading,
        ...this.inviting,
        this.over,
        left,
        waiting,
        this.said,
      ],
      stop: () => clearTimeout(this.timer),
    };
    this.draw();
    this.tick(null);
  }

  /** The code comes after the step; without it there is still the address. */
  async draw() {
    const { encode } = await import("../qr.js");
    const rows = encode(this.deposit.address);
    const quiet = 4;
    const size = rows.length + 2 * quiet;
    const path = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + quiet} ${y + quiet}h1v1h-1z` : ""))).join("");
    const properties = { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": this.words.say("deposit.code"), "shape-rendering": "crispEdges" };
    this.code.append(svg("svg", properties, svg("rect", { class: "light", width: size, height: size }), svg("path", { class: "dark", d: path })));
  }

  tick(before) {
    const left = Math.max(0, Math.round((Date.parse(this.deposit.expires_at) - this.page.session.now()) / 1000));
    this.clock.textContent = this.words.duration(left);
    const told = TOLD_MIN.find((minutes) => left === minutes * 60);
    if (told) this.said.textContent = this.words.say("deposit.remains", { time: this.words.minutes(told) });
    if ((left === 0) !== (before === 0)) this.invite(left > 0);
    if (left === 0 && before !== 0 && before !== null) this.page.look();
    this.timer = setTimeout(() => this.tick(left), 1000);
  }

  invite(open) {
    for (const element of this.inviting) element.hidden = !open;
    this.over.replaceChildren(...(open ? [] : [note("danger", this.words.say("deposit.over"))]));
  }
}
