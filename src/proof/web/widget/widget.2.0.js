/*! Proof widget loader 2.0 */
(() => {
  "use strict";

  const VERSION = "2.0";
  const CHANNEL = "proof.widget";
  const CALLBACKS = [
    "onLoad", "onReady", "onStatusChange", "onPaymentFinished", "onSellTransferEnabled", "onError", "onClose",
  ];
  const TEXT = "a text";
  const REQUIRED = { widgetId: TEXT, initToken: TEXT, merchantTransactionId: TEXT, signature: TEXT };
  // The rest of the session answer. Its values stay what the partner's backend was told; the page
  // refuses any that differs from the stored session.
  const SESSION = [
    "address", "currency", "currencies", "fixCurrency", "network", "networks", "fixNetwork", "amount",
    "fixAmount", "fiatCurrency", "fiatCurrencies", "fixFiatCurrency", "fixFiatAmount", "type", "lang",
    "theme", "redirectUrl",
  ];
  const OTHERS = ["initTokenType", "host", "mode", ...CALLBACKS];
  const KNOWN = [...Object.keys(REQUIRED), ...SESSION, ...OTHERS];
  const TITLES = {
    en: "Secure payment", de: "Sichere Zahlung", fr: "Paiement sécurisé", es: "Pago seguro",
    pt: "Pagamento seguro", tr: "Güvenli ödeme", ar: "دفع آمن",
  };
  // A frame that has loaded speaks at once; one that a policy or a blocker stopped never does.
  const SILENCE_AFTER_LOAD_MS = 4000;
  const SILENCE_MS = 20000;
  const FIRST_HEIGHT_PX = 560;
  const HEIGHT_MAX_PX = 4000;

  const script = document.currentScript || document.querySelector('script[src*="/widget.2.0"]');
  const base = new URL(".", script.src);

  const snake = (name) => name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
  const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

  function hostOf(options) {
    const host = options.host;
    if (typeof host !== "string") return host instanceof Element ? host : null;
    try {
      return document.querySelector(host);
    } catch {
      return null;
    }
  }

  /** What is wrong with the options, one sentence each. */
  function faults(options, host) {
    const found = [];
    for (const [name, what] of Object.entries(REQUIRED)) {
      if (options[name] === undefined || options[name] === null) found.push(`${name} is missing`);
      else if (typeof options[name] !== "string" || !options[name]) found.push(`${name} must be ${what}`);
    }
    const mode = options.mode;
    if (mode !== undefined && mode !== "frame" && mode !== "redirect") {
      found.push('mode must be "frame" or "redirect"');
    }
    if (mode !== "redirect" && options.host === undefined) found.push("host is missing");
    else if (mode !== "redirect" && !host) found.push("host must be an element of this page, or its selector");
    const type = options.initTokenType;
    if (type !== undefined && type !== "sdk_partner_authorization") {
      found.push('initTokenType must be "sdk_partner_authorization"');
    }
    for (const name of CALLBACKS) {
      if (options[name] !== undefined && typeof options[name] !== "function") {
        found.push(`${name} must be a function`);
      }
    }
    for (const name of Object.keys(options)) {
      if (!KNOWN.includes(name) && KNOWN.includes(camel(name))) {
        found.push(`${name} is not an option; write ${camel(name)}`);
      }
    }
    return found;
  }

  /** The address of the hosted page. All that is secret is in the fragment, which no browser sends. */
  function address(options, mode) {
    const session = {};
    for (const name of SESSION) {
      if (options[name] !== undefined && options[name] !== null) session[snake(name)] = options[name];
    }
    const handed = {
      version: 1,
      init_token: options.initToken,
      merchant_transaction_id: options.merchantTransactionId,
      signature: options.signature,
      options: session,
      origin: location.origin,
      mode,
    };
    const url = new URL("w/" + encodeURIComponent(options.widgetId), base);
    url.hash = encodeURIComponent(JSON.stringify(handed));
    return url.href;
  }

  /** A callback that fails is the partner's to see, and no reason to stop a payment. */
  function call(options, name, ...values) {
    if (typeof options[name] !== "function") return;
    try {
      options[name](...values);
    } catch (error) {
      setTimeout(() => { throw error; });
    }
  }

  function refuse(options, host, found) {
    const said = "proofWidget.run: " + found.join("; ");
    console.error(said);
    call(options, "onError", { code: "invalid_options", message: said });
    if (!host) return { close() {} };
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    box.textContent = said;
    Object.assign(box.style, {
      padding: "1rem", border: "2px solid #a3201d", borderRadius: "8px", color: "#7d1512",
      background: "#fff", font: "1rem/1.5 system-ui, sans-serif", overflowWrap: "anywhere",
    });
    host.replaceChildren(box);
    return { close: () => box.remove() };
  }

  function frameFor(options) {
    const lang = String(options.lang || document.documentElement.lang || "en").slice(0, 2).toLowerCase();
    const frame = document.createElement("iframe");
    frame.title = TITLES[lang] || TITLES.en;
    frame.referrerPolicy = "no-referrer";
    frame.allow = "payment; camera; microphone; clipboard-write";
    Object.assign(frame.style, {
      display: "block", width: "100%", height: FIRST_HEIGHT_PX + "px", border: "0",
      colorScheme: "light dark",
    });
    return frame;
  }

  function mount(options, host) {
    const frame = frameFor(options);
    const before = document.activeElement;
    const called = new Set();
    let silence = setTimeout(leave, SILENCE_MS);
    let spoke = false;
    let closed = false;

    const once = (name, ...values) => {
      if (!called.has(name)) {
        called.add(name);
        call(options, name, ...values);
      }
    };
    const tell = (type) => {
      frame.contentWindow?.postMessage({ channel: CHANNEL, version: 1, type }, base.origin);
    };

    /** Where a frame cannot work, the same page takes the whole window. */
    function leave() {
      if (spoke || closed) return;
      remove();
      location.assign(address(options, "redirect"));
    }

    const heard = {
      load() {
        spoke = true;
        clearTimeout(silence);
        // The page exchanges its token only when told to, so one that we gave up on has used none.
        tell("start");
        once("onLoad");
      },
      unsupported() {
        spoke = false;
        leave();
      },
      ready() {
        const active = document.activeElement;
        if (!called.has("onReady") && (active === before || active === document.body)) {
          frame.focus({ preventScroll: true });
          tell("focus");
        }
        once("onReady");
      },
      resize({ height }) {
        if (Number.isFinite(height) && height > 0) {
          frame.style.height = Math.min(Math.ceil(height), HEIGHT_MAX_PX) + "px";
        }
      },
      status: ({ data }) => call(options, "onStatusChange", data),
      payment_finished: ({ data }) => call(options, "onPaymentFinished", data),
      sell_transfer_enabled: ({ data }) => call(options, "onSellTransferEnabled", data),
      error({ code, message }) {
        console.error(`proofWidget: ${code}: ${message}`);
        call(options, "onError", { code, message });
      },
      close: ({ reason }) => close(reason),
      // The page's own link leads away; the frame stays until it has.
      leave: ({ reason }) => once("onClose", { reason }),
      redirect({ url, reason }) {
        once("onClose", { reason });
        if (/^https?:/i.test(url)) location.assign(url);
      },
    };

    function listen(event) {
      if (event.source !== frame.contentWindow || event.origin !== base.origin) return;
      const message = event.data;
      if (!message || message.channel !== CHANNEL || message.version !== 1) return;
      if (Object.hasOwn(heard, message.type)) heard[message.type](message);
    }

    function close(reason) {
      if (closed) return;
      remove();
      once("onClose", { reason });
    }

    function remove() {
      closed = true;
      clearTimeout(silence);
      removeEventListener("message", listen);
      const inside = document.activeElement === frame;
      frame.remove();
      if (inside && before?.isConnected) before.focus();
    }

    addEventListener("message", listen);
    frame.addEventListener("load", () => {
      if (!spoke) {
        clearTimeout(silence);
        silence = setTimeout(leave, SILENCE_AFTER_LOAD_MS);
      }
    });
    frame.src = address(options, "frame");
    host.replaceChildren(frame);
    return { close: () => close("closed") };
  }

  /**
   * Opens the widget for one session.
   *
   * Takes the answer of POST /widget/session in camelCase, `host` (an element or a selector), optionally
   * `mode: "redirect"`, and callbacks. Callbacks tell a page what to show; only the partner's backend
   * knows what happened. Gives a handle; `close()` takes the widget off the page and the payment, if one
   * is under way, goes on.
   */
  function run(options) {
    const given = options && typeof options === "object" ? options : {};
    const host = hostOf(given);
    const found = options === given ? faults(given, host) : ["options must be an object"];
    if (found.length) return refuse(given, host, found);
    for (const name of Object.keys(given)) {
      if (!KNOWN.includes(name)) console.warn(`proofWidget.run: ${name} is not an option; it is ignored`);
    }
    if (given.mode !== "redirect") return mount(given, host);
    location.assign(address(given, "redirect"));
    return { close() {} };
  }

  globalThis.proofWidget = Object.freeze({ run, version: VERSION });
})();
