/**
 * The partner's page around a framed widget.
 *
 * Both sides name the other's exact origin and check source and origin of what they hear. The server
 * lists the origins that may frame the page; the one the loader names must be among them.
 */

const CHANNEL = "proof.widget";

export class Partner {
  /** `origin` as the loader gave it, `allowed` as the server did. */
  constructor(origin, allowed) {
    this.framed = parent !== window;
    this.origin = this.framed && allowed.includes(origin) ? origin : null;
    this.onFocus = () => {};
    this.started = new Promise((resolve) => {
      if (!this.framed) resolve();
      addEventListener("message", (event) => {
        if (event.source !== parent || event.origin !== this.origin) return;
        const message = event.data;
        if (!message || message.channel !== CHANNEL || message.version !== 1) return;
        if (message.type === "start") resolve();
        if (message.type === "focus") this.onFocus();
      });
    });
  }

  /** Whether this page is framed by a site that it may talk to, or by nobody. */
  get known() {
    return !this.framed || this.origin !== null;
  }

  tell(type, values = {}) {
    if (this.framed && this.origin) {
      parent.postMessage({ channel: CHANNEL, version: 1, type, ...values }, this.origin);
    }
  }

  /** Tells the height of `element` from now on, so that the frame needs no scrollbar. */
  follow(element) {
    if (!this.framed) return;
    document.documentElement.classList.add("framed");
    let told = 0;
    new ResizeObserver(() => {
      const height = Math.ceil(element.getBoundingClientRect().height);
      if (height !== told) this.tell("resize", { height: (told = height) });
    }).observe(element);
  }
}

/** The one transaction's data as callbacks carry it: what the partner's backend is told. */
export function statusOf(state) {
  return {
    amount: state.crypto_amount,
    currency: state.currency,
    network: state.network,
    fiat_amount: state.fiat_amount,
    fiat_currency: state.fiat_currency,
    fiat_fee: state.fiat_fee,
    rate: state.rate,
    merchant_transaction_id: state.merchant_transaction_id,
    status: state.status,
    payment_method: state.payment_method || state.attempt?.method || "",
    failure_reason: state.failure_reason,
    chain_transaction: state.chain_transaction,
    chain_transaction_url: state.chain_transaction_url,
    occurred_at: state.occurred_at,
  };
}
