/**
 * The widget session: one transaction, seen through /w/api/.
 *
 * The token lives in sessionStorage: a reload finds it, another tab or site does not. Every call may be
 * sent again: an attempt to pay carries an id that is stored before the first try and kept until the
 * server has said how that attempt ended.
 */

const PAUSES_MS = [400, 1200, 3000];
const PATIENCE_MS = 20000;
const JITTER_MS = 2000;

/** What the server refused, or `network` when nothing came back. */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
  }
}

/** Whether this page may keep anything; a frame whose storage the browser blocks may not. */
export function canStore() {
  try {
    sessionStorage.setItem("proof-widget:probe", "1");
    sessionStorage.removeItem("proof-widget:probe");
    return true;
  } catch {
    return false;
  }
}

export class Session {
  constructor(widgetId, transactionId) {
    this.widgetId = widgetId;
    this.key = `proof-widget:${widgetId}:${transactionId}`;
    this.kept = read(this.key);
    this.skewMs = 0;
  }

  /** Resumes what this tab has open, or exchanges the init token. Gives the state; raises ApiError. */
  async begin(handed) {
    if (this.kept.token) {
      try {
        return await this.resumed();
      } catch (error) {
        if (error.status !== 401 || !handed.init_token) throw error;
        this.keep({ token: null, attempt: null });
      }
    }
    const opening = this.opening(handed);
    if (!opening) throw new ApiError("init_token_used", "this tab has not opened the session");
    // Kept until it is answered: a reload after a failure finds it, the address has it no longer.
    this.keep({ opening });
    // Sent once: an answer that is lost has used the token up, and a second try would say so anyway.
    const opened = await this.call("open", opening, []);
    // A provider's own widget is opened by parameters that only an opening gives, after a reload again.
    this.keep({ token: opened.session_token, opening: opened.state.handover ? opening : null });
    return opened.state;
  }

  /** What opens the session: as handed over, or as kept by this tab. */
  opening({ init_token, merchant_transaction_id, signature, options }) {
    if (!init_token) return this.kept.opening ?? null;
    return { widget_id: this.widgetId, init_token, merchant_transaction_id, signature, options };
  }

  async resumed() {
    const { opening } = this.kept;
    return opening ? (await this.call("open", opening)).state : this.state();
  }

  state() {
    return this.call("state");
  }

  /** One action; gives the new state. Sent again until answered, which the server takes as once. */
  act(name, values = {}) {
    return this.call(name, values);
  }

  /** The id of the attempt to pay: the one whose end is not known yet, or a new one. */
  attempt(state) {
    const open = this.kept.attempt;
    const ended = state.attempt && state.attempt.id === open && state.attempt.result === "declined";
    if (!open || ended) this.keep({ attempt: crypto.randomUUID() });
    return this.kept.attempt;
  }

  keep(values) {
    this.kept = { ...this.kept, ...values };
    try {
      sessionStorage.setItem(this.key, JSON.stringify(this.kept));
    } catch {
      // A full or closed storage costs the reload, not the payment.
    }
  }

  /** The environment's time, in milliseconds: neither a wrong clock here nor a sandbox whose clock was
   * moved shows a wrong countdown. */
  now() {
    return Date.now() + this.skewMs;
  }

  /** Takes `now` off an answer, for nothing else in it changes with every look. */
  setClock(answer) {
    const now = Date.parse(answer.now ?? "");
    delete answer.now;
    const skewMs = now - Date.now();
    // Within this, the difference is the network's, and would make a countdown stumble.
    if (Math.abs(skewMs - this.skewMs) > JITTER_MS) this.skewMs = skewMs;
  }

  async call(name, body, pauses = PAUSES_MS) {
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.once(name, body);
      } catch (error) {
        const passing = error.code === "network" || error.status === 429 || error.status >= 500;
        if (!passing || tried >= pauses.length) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauses[tried]));
      }
    }
  }

  async once(name, body) {
    const headers = {};
    if (this.kept.token) headers.authorization = `Bearer ${this.kept.token}`;
    if (body) headers["content-type"] = "application/json";
    let reply, answer;
    try {
      reply = await fetch(new URL(`api/${name}`, pageUrl()), {
        method: body ? "POST" : "GET",
        headers,
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal: AbortSignal.timeout?.(PATIENCE_MS),
      });
      answer = await reply.json();
    } catch {
      throw new ApiError("network", "the server cannot be reached", reply?.status ?? 0);
    }
    this.setClock(answer.state ?? answer);
    if (!reply.ok) throw new ApiError(answer.code ?? "internal_error", answer.message ?? "", reply.status);
    return answer;
  }
}

function pageUrl() {
  return location.origin + location.pathname;
}

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}
