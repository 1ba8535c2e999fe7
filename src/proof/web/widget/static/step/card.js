/** The fields of a card, checked in the browser and sent nowhere. */

import { h, note, own } from "../dom.js";

const DIGITS_MIN = 12;
const DIGITS_MAX = 19;

// Full-width digits, and those of an Arabic or Persian keyboard, whose last four bits are their value.
const digits = (text) =>
  text
    .normalize("NFKC")
    .replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (one) => one.charCodeAt(0) & 15)
    .replace(/\D/g, "");

/** Whether the last digit fits the others (ISO/IEC 7812-1, annex B). */
export function luhn(number) {
  let sum = 0;
  [...number].reverse().forEach((digit, position) => {
    const doubled = Number(digit) * (position % 2 ? 2 : 1);
    sum += doubled > 9 ? doubled - 9 : doubled;
  });
  return sum % 10 === 0;
}

/** Whether a month of "MM/YY" is over. */
export function expired(month, year, now) {
  return 2000 + year < now.getFullYear() || (2000 + year === now.getFullYear() && month < now.getMonth() + 1);
}

export class CardForm {
  constructor(words, state) {
    this.words = words;
    this.cards = state.test_cards.map((card) => ({ ...card, number: digits(card.number) }));
    const numeric = { inputmode: "numeric", dir: "ltr" };
    this.number = this.field("number", { ...numeric, autocomplete: "cc-number", maxlength: "26", placeholder: "0000 0000 0000 0000" });
    this.expiry = this.field("expiry", { ...numeric, autocomplete: "cc-exp", maxlength: "9", placeholder: "MM / YY" });
    this.code = this.field("code", { ...numeric, autocomplete: "cc-csc", maxlength: "4", placeholder: "000" });
    this.name = this.field("name", { autocomplete: "cc-name", autocapitalize: "words", maxlength: "100" });
    this.number.input.addEventListener("input", () => grouped(this.number.input, /(\d{4})(?=\d)/g, " "));
    this.expiry.input.addEventListener("input", (event) => {
      if (!event.inputType?.startsWith("delete")) this.groupExpiry();
    });
    for (const { input, error } of [this.number, this.expiry, this.code, this.name]) {
      // What is being mended is wrong no longer, until it is looked at again.
      input.addEventListener("input", () => {
        input.removeAttribute("aria-invalid");
        error.textContent = "";
      });
    }
    this.element = h(
      "div",
      { class: "stack" },
      this.number.element,
      h("div", { class: "pair" }, this.expiry.element, this.code.element),
      this.name.element,
      this.cards.length ? this.samples() : null,
    );
  }

  field(name, properties) {
    const id = `card-${name}`;
    const input = h("input", { id, type: "text", spellcheck: "false", required: true, "aria-describedby": `${id}-error`, ...properties });
    const error = h("p", { class: "field-error", id: `${id}-error` });
    const label = h("label", { for: id }, this.words.say(`card.${name}`));
    return { input, error, element: h("div", { class: "field" }, label, input, error) };
  }

  /** "4/29" and "04/2029", as people and browsers write it, are "04 / 29". */
  groupExpiry() {
    const { input } = this.expiry;
    const found = digits(input.value);
    if (/^[2-9]/.test(found) || /^\s*[1\u0661\u06f1]\s*[/.-]/.test(input.value)) {
      input.value = `0${input.value.trimStart()}`;
      input.setSelectionRange(input.value.length, input.value.length);
    }
    const whole = /^(\d\d)20(\d\d)$/.exec(digits(input.value));
    if (whole) input.value = whole[1] + whole[2];
    grouped(input, /^(\d{2})(?=\d)/, " / ", digits(input.value).startsWith("20", 2) ? 6 : 4);
  }

  /** Test cards, each a button that fills the form in. */
  samples() {
    const { words } = this;
    const rows = this.cards.map((card) => {
      const fill = h("button", { type: "button", class: "sample", onclick: () => this.use(card) },
        own(card.number.replace(/(.{4})(?=.)/g, "$1 "), "number"),
        h("span", {}, words.say(`test.${card.outcome}`)));
      return h("li", {}, fill);
    });
    const list = h("details", { class: "samples" }, h("summary", {}, words.say("card.samples")), h("ul", {}, ...rows));
    return h("div", { class: "stack" }, note("quiet", words.say("card.stays")), list);
  }

  use(card) {
    const year = new Date().getFullYear() + 3;
    this.number.input.value = card.number;
    grouped(this.number.input, /(\d{4})(?=\d)/g, " ");
    this.expiry.input.value = `12 / ${String(year % 100).padStart(2, "0")}`;
    this.code.input.value = "123";
    this.name.input.value = "Test Person";
    this.check();
    this.element.querySelector("details").open = false;
    this.number.input.focus();
  }

  /** Marks what is wrong and goes to the first of it; whether all is right. */
  check() {
    const wrong = {
      number: !this.numberRight(),
      expiry: !this.expiryRight(),
      code: !/^\d{3,4}$/.test(digits(this.code.input.value)),
      name: !this.name.input.value.trim(),
    };
    for (const [name, bad] of Object.entries(wrong)) {
      const how = this[name].input.value.trim() ? "wrong" : "empty";
      this[name].error.textContent = bad ? this.words.say(`card.${name}.${how}`) : "";
      if (bad) this[name].input.setAttribute("aria-invalid", "true");
      else this[name].input.removeAttribute("aria-invalid");
    }
    const first = Object.keys(wrong).find((name) => wrong[name]);
    if (first) this[first].input.focus();
    return first === undefined;
  }

  numberRight() {
    const number = digits(this.number.input.value);
    if (this.cards.some((card) => card.number === number)) return true;
    return number.length >= DIGITS_MIN && number.length <= DIGITS_MAX && luhn(number);
  }

  expiryRight() {
    const found = digits(this.expiry.input.value);
    if (!/^(0[1-9]|1[0-2])\d\d$/.test(found)) return false;
    return !expired(Number(found.slice(0, 2)), Number(found.slice(2)), new Date());
  }

  /** What the number stands for in the sandbox; null for a number that stands for nothing special. */
  outcome() {
    const number = digits(this.number.input.value);
    return this.cards.find((card) => card.number === number)?.outcome ?? null;
  }
}

/** Groups the digits of a field, leaving the caret behind the digit it was behind. */
function grouped(input, group, between, most = DIGITS_MAX) {
  const before = digits(input.value.slice(0, input.selectionStart)).length;
  const found = digits(input.value).slice(0, most);
  input.value = found.replace(group, `$1${between}`);
  if (document.activeElement !== input) return;
  let caret = 0;
  for (let seen = 0; seen < before && caret < input.value.length; caret += 1) {
    if (/\d/.test(input.value[caret])) seen += 1;
  }
  input.setSelectionRange(caret, caret);
}
