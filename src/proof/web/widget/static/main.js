/** The hosted page: takes what the loader handed over, opens or resumes the session, shows each step. */

import { Failure, codeOf, isFinal } from "./failure.js";
import { Partner, statusOf } from "./partner.js";
import { Session, ApiError, canStore } from "./session.js";
import { Stage } from "./steps.js";
import { choose, load } from "./words.js";

// Whatever moves a transaction may move it at any step: a callback, another window, the end of the session.
const POLL_MS = 1200;
const POLL_SLOWER = 1.2;
const POLL_SLOWEST_MS = 10000;

const root = document.getElementById("widget");
const widgetId = decodeURIComponent(location.pathname.split("/").pop());

/** What the fragment holds: a loader's handover, or the transaction this tab has open. */
function handedOver() {
  const fragment = location.hash.slice(1);
  if (fragment.startsWith("tx=")) return { merchant_transaction_id: fragment.slice(3), options: {} };
  try {
    const found = JSON.parse(decodeURIComponent(fragment));
    if (found.version !== 1 || typeof found.merchant_transaction_id !== "string") return null;
    return { ...found, options: found.options ?? {} };
  } catch {
    return null;
  } finally {
    // The token does not stay in the address bar, nor in the history.
    const transaction = transactionIn(fragment);
    history.replaceState(null, "", location.pathname + (transaction ? `#tx=${transaction}` : ""));
  }
}

function transactionIn(fragment) {
  try {
    return encodeURIComponent(JSON.parse(decodeURIComponent(fragment)).merchant_transaction_id ?? "");
  } catch {
    return "";
  }
}

function useTheme(theme) {
  const known = theme === "light" || theme === "dark" ? theme : "system";
  document.documentElement.dataset.theme = known;
}

/** What a reader would notice of a state: a price is held anew with every look. */
function meaning(state) {
  return JSON.stringify(state, (name, value) => (name === "quote" && value ? { ...value, expires_at: "" } : value));
}

class Page {
  constructor(handed, session, partner) {
    this.handed = handed;
    this.session = session;
    this.partner = partner;
    this.root = root;
    this.state = null;
    this.drawn = null;
    this.told = {};
    this.quiet = 0;
    this.tries = 0;
  }

  async start() {
    const options = this.handed.options;
    useTheme(options.theme);
    const texts = this.speak([options.lang]);
    await this.partner.started;
    try {
      const state = await this.session.begin(this.handed);
      await texts;
      if (state.lang && choose([state.lang]).language !== this.words.language) await this.speak([state.lang]);
      if (!this.words.whole) throw new ApiError("network", "the page's texts did not load");
      useTheme(state.theme);
      this.stage = new Stage(root, this);
      await this.show(state);
    } catch (error) {
      await texts;
      this.fail(error);
      return;
    }
    this.partner.tell("ready");
    this.partner.onFocus = () => this.stage.focus();
    document.addEventListener("visibilitychange", () => this.wake());
    addEventListener("pageshow", (event) => event.persisted && this.wake());
    addEventListener("online", () => this.wake());
    this.stage.prepare();
  }

  async speak(wanted) {
    this.words = await load(choose(wanted));
    this.words.apply();
  }

  /** Shows a state, tells the partner's page what is new in it, and looks again when that is due. */
  async show(state) {
    const changed = meaning(state) !== meaning(this.state);
    this.state = state;
    this.quiet = changed ? 0 : this.quiet + 1;
    if (changed) this.tell(state);
    await this.draw();
    this.poll();
  }

  /** Draws the state unless that is done. A part of the page that does not load is fetched at the next look. */
  async draw() {
    const { state } = this;
    if (meaning(this.drawn) === meaning(state)) {
      this.stage.connected(true);
      return;
    }
    try {
      await this.stage.show(state);
      if (state === this.state) this.drawn = state;
    } catch (error) {
      if (!this.stage.built) throw new ApiError("network", error.message);
      console.error(error);
      this.stage.connected(false);
    }
  }

  tell(state) {
    if (this.told.status !== state.status) {
      this.told.status = state.status;
      this.partner.tell("status", { data: statusOf(state) });
    }
    const { attempt, deposit } = state;
    const ended = attempt && (attempt.result === "captured" || attempt.result === "declined");
    if (state.type === "buy" && ended && this.session.kept.finished !== attempt.id) {
      this.session.keep({ finished: attempt.id });
      this.partner.tell("payment_finished", { data: { payment_method: attempt.method } });
    }
    if (deposit && !this.told.deposit) {
      this.told.deposit = true;
      const { amount, network, address, id } = deposit;
      const data = { amount, currency: state.currency, network, address, id, flow_id: "payout" };
      this.partner.tell("sell_transfer_enabled", { data });
    }
  }

  /** An action of the user's. Raises ApiError where the step itself can say what to do. */
  async act(name, values) {
    clearTimeout(this.timer);
    this.quiet = 0;
    let state;
    try {
      state = await this.session.act(name, values);
    } catch (error) {
      if (isOver(error)) {
        this.fail(error);
        return;
      }
      this.poll();
      throw error;
    }
    await this.show(state);
  }

  /** Whether the transaction's record is at its end too, after which nothing changes, and that is drawn. */
  get settled() {
    return this.state.status === this.state.end && meaning(this.drawn) === meaning(this.state);
  }

  poll() {
    clearTimeout(this.timer);
    if (this.failed || this.settled || document.hidden) return;
    const pause = Math.min(POLL_MS * POLL_SLOWER ** this.quiet, POLL_SLOWEST_MS);
    this.timer = setTimeout(() => this.look(), pause);
  }

  /** Asks how it stands, now. */
  async look() {
    clearTimeout(this.timer);
    let state;
    try {
      state = await this.session.state();
    } catch (error) {
      if (isOver(error)) {
        this.fail(error);
        return;
      }
      this.stage.connected(false);
      this.quiet += 1;
      this.poll();
      return;
    }
    await this.show(state);
  }

  wake() {
    if (!document.hidden && !this.failed && !this.settled) this.look();
  }

  fail(error) {
    clearTimeout(this.timer);
    if (!(error instanceof ApiError)) console.error(error);
    const code = this.words.whole ? codeOf(error) : "network";
    this.failed = isFinal(code);
    this.partner.tell("error", { code, message: error.message });
    // Tried again in place: the init token is still here, and in the address no longer.
    const again = async () => {
      this.tries += 1;
      root.setAttribute("aria-busy", "true");
      await this.start();
      root.removeAttribute("aria-busy");
    };
    new Failure(root, this.words, this.partner).show(code, error.message, again, this.tries);
  }
}

/** Whether the session cannot go on after this error: it is over, gone, stopped, or without a provider. */
function isOver(error) {
  return [401, 403, 404].includes(error.status) || error.code === "provider_error";
}

async function begin() {
  const handed = handedOver();
  const meta = document.querySelector('meta[name="proof-origins"]').content;
  const kept = handed ? new Session(widgetId, handed.merchant_transaction_id) : null;
  const origin = handed?.origin ?? kept?.kept.origin;
  const partner = new Partner(origin, meta.split(" ").filter(Boolean));
  partner.follow(root);
  if (handed && partner.framed && partner.known && !canStore()) {
    partner.tell("unsupported");
    return;
  }
  partner.tell("load");
  if (handed && partner.known) {
    kept.keep({ origin });
    await new Page(handed, kept, partner).start();
    return;
  }
  const words = await load(choose([]));
  words.apply();
  const code = !words.whole ? "network" : handed ? "wrong_origin" : "not_started";
  partner.tell("error", { code, message: "the page was opened without a session" });
  new Failure(root, words, partner).show(code, "", () => location.reload());
}

// Another payment's link, opened in this very tab, differs in its fragment alone.
addEventListener("hashchange", () => location.reload());
begin();
