/** What the page says: texts of one language, and numbers, money and time as its readers write them. */

export const LANGUAGES = ["en", "de", "fr", "es", "pt", "tr", "ar"];
const RIGHT_TO_LEFT = ["ar"];
const PAUSES_MS = [400, 1200, 3000];
const WITHOUT_NETWORK = {
  again: "Try again",
  "failure.network": "The payment server cannot be reached",
  "failure.network.todo": "Check your connection and try again. A payment already made is not lost.",
};
// Isolates keep "0.5 BTC" whole inside a sentence of the other direction (Unicode TR9).
const isolated = (text) => `\u2068${text}\u2069`;

/** The language of `wanted` tags we have first; the browser's, then English, when there is none. */
export function choose(wanted) {
  for (const tag of [...wanted, ...navigator.languages]) {
    const found = tag && LANGUAGES.find((language) => tag.toLowerCase().split(/[-_]/)[0] === language);
    if (found) return { language: found, locale: regional(tag, found) };
  }
  return { language: "en", locale: "en" };
}

/** The words of one language, fetched; after some tries the few that the page has without the network. */
export async function load({ language, locale }) {
  const address = new URL(`i18n/${language}.json`, import.meta.url);
  for (const pause of PAUSES_MS) {
    try {
      const reply = await fetch(address);
      if (reply.ok) return new Words(language, locale, await reply.json());
    } catch {
      // As an answer that is none.
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return new Words("en", "en", WITHOUT_NETWORK);
}

class Words {
  constructor(language, locale, texts) {
    this.language = language;
    this.locale = locale;
    this.texts = texts;
  }

  /** Says on the document which language and direction it has. */
  apply() {
    document.documentElement.lang = this.language;
    document.documentElement.dir = RIGHT_TO_LEFT.includes(this.language) ? "rtl" : "ltr";
  }

  /** The text of a key, its {names} replaced. */
  say(key, values = {}) {
    const text = this.texts[key];
    if (text === undefined) throw new Error(`there is no text for ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name) => isolated(values[name]));
  }

  /** Whether these are the words of a language, and not the few without the network. */
  get whole() {
    return this.texts !== WITHOUT_NETWORK;
  }

  /** "0.5 BTC": all the digits of a decimal string, none invented. */
  crypto(amount, currency) {
    return `${this.number(amount)}\u00a0${currency}`;
  }

  number(amount) {
    // A string is formatted exactly; a Number would round the eighteenth decimal.
    return new Intl.NumberFormat(this.locale, { maximumFractionDigits: 18 }).format(amount);
  }

  money(amount, currency) {
    // The wide symbol: "$" alone may be five currencies.
    const style = { style: "currency", currency, currencyDisplay: "symbol" };
    try {
      return new Intl.NumberFormat(this.locale, style).format(amount);
    } catch {
      return this.crypto(amount, currency);
    }
  }

  /** "1 BTC = €54,000.00": what one coin costs, with every digit that the price needs. */
  rate(amount, fiat, currency) {
    const style = { style: "currency", currency: fiat, maximumFractionDigits: 18 };
    try {
      return `1\u00a0${currency} = ${new Intl.NumberFormat(this.locale, style).format(amount)}`;
    } catch {
      return `1\u00a0${currency} = ${this.crypto(amount, fiat)}`;
    }
  }

  /** The name of a fiat currency: "Euro". */
  currency(code) {
    try {
      return new Intl.DisplayNames(this.locale, { type: "currency" }).of(code);
    } catch {
      return code;
    }
  }

  moment(time) {
    const style = { dateStyle: "medium", timeStyle: "short" };
    return new Intl.DateTimeFormat(this.locale, style).format(new Date(time));
  }

  /** The same with its time zone, for what is kept or printed. */
  instant(time) {
    const day = { year: "numeric", month: "short", day: "numeric" };
    const style = { ...day, hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
    return new Intl.DateTimeFormat(this.locale, style).format(new Date(time));
  }

  /** A date without a time: "22 Nov 2026". */
  date(day) {
    return new Intl.DateTimeFormat(this.locale, { dateStyle: "medium", timeZone: "UTC" }).format(new Date(day));
  }

  /** "5:59:03"; digits of the language, order of clocks everywhere. */
  duration(seconds) {
    const two = new Intl.NumberFormat(this.locale, { minimumIntegerDigits: 2 });
    const one = new Intl.NumberFormat(this.locale);
    const rest = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => two.format(part));
    return [one.format(Math.floor(seconds / 3600)), ...rest].join(":");
  }

  minutes(count) {
    const style = { style: "unit", unit: "minute", unitDisplay: "long" };
    return new Intl.NumberFormat(this.locale, style).format(count);
  }
}

/** The region of a tag decides over dates and separators; where it has none, that of the browser's own. */
function regional(tag, language) {
  const own = navigator.languages.find((one) => one.toLowerCase().startsWith(`${language}-`));
  return supported(/[-_]/.test(tag) ? tag : own ?? tag) ?? language;
}

function supported(tag) {
  try {
    return Intl.NumberFormat.supportedLocalesOf(tag.replace("_", "-"))[0];
  } catch {
    return undefined;
  }
}
