/**
 * The widget session: one transaction, seen through /w/api/.
 *
 * The session's token is made here and lives in sessionStorage: a reload finds it, another tab or site does
 * not. Every call may be sent again: the token is stored before the session is opened, and an attempt to pay
 * carries an id that is stored before the first try and kept until the server has said how it ended.
 */

const PAUSES_MS = [400, 1200, 3000];
const PATIENCE_MS = 20000;
const JITTER_MS = 2000;
const TOKEN_BYTES = 32;

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

  /** Goes on with what this tab has open, or opens it. Gives the state; raises ApiError. */
  async begin(handed) {
    if (this.kept.opened && !this.kept.opening) {
      try {
        return await this.state();
      } catch (error) {
        if (error.status !== 401 || !handed.init_token) throw error;
      }
    }
    const opening = this.opening(handed);
    if (!opening) throw new ApiError("init_token_used", "this tab has not opened the session");
    // Kept until it is answered: a reload after a failure finds it, the address has it no longer. Whoever
    // else has the opening has not the token that the server knows this tab by.
    this.keep({ opening, token: this.kept.token ?? newToken() });
    const { state } = await this.call("open", opening);
    // A provider's own widget is opened by parameters that only an opening gives, after a reload again.
    this.keep({ opened: true, opening: state.handover ? opening : null });
    return state;
  }

  /** What opens the session: as handed over, or as kept by this tab. */
  opening({ init_token, merchant_transaction_id, signature, options }) {
    if (!init_token) return this.kept.opening ?? null;
    return { widget_id: this.widgetId, init_token, merchant_transaction_id, signature, options };
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

  async call(name, body) {
    for (let tried = 0; ; tried += 1) {
      try {
        return await this.once(name, body);
      } catch (error) {
        const passing = error.code === "network" || error.status === 429 || error.status >= 500;
        if (!passing || error.code === "provider_error" || tried >= PAUSES_MS.length) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[tried]));
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

/** 256 random bits, which the server stores as their SHA-256. */
function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES));
  const base64 = btoa(String.fromCharCode(...bytes));
  return `wst_${base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
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
