/** A value the user takes elsewhere: shown whole, and put on the clipboard by a button. */

import { button, h, icon, own } from "../dom.js";

const DONE_MS = 2000;

/** `value` is what is copied; `shown` and `unit` are how it is written here, when that differs. */
export function copied(words, label, value, { shown = value, unit = "" } = {}) {
  const text = words.say(label);
  const said = h("span", { class: "unseen", role: "status" });
  const written = own(shown, "value");
  const copy = button("copy", words.say("copy"), async () => {
    const done = await put(value, written);
    said.textContent = "";
    said.textContent = words.say(done ? "copied" : "copy.failed");
    if (!done) return;
    copy.classList.add("done");
    copy.firstChild.replaceWith(icon("check"));
    clearTimeout(restored);
    restored = setTimeout(() => {
      copy.classList.remove("done");
      copy.firstChild.replaceWith(icon("copy"));
    }, DONE_MS);
  }, { "aria-label": `${words.say("copy")}: ${text}` });
  let restored = 0;
  copy.prepend(icon("copy"));
  const whole = unit ? h("bdi", { dir: "ltr" }, written, ` ${unit}`) : written;
  return h("div", { class: "copied" }, h("span", { class: "label" }, text), h("span", { class: "text" }, whole), copy, said);
}

/** Puts text on the clipboard; a frame that may not selects it, for the user's own copy. */
async function put(text, written) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const exactly = (event) => {
      event.clipboardData.setData("text/plain", text);
      event.preventDefault();
    };
    getSelection().selectAllChildren(written);
    addEventListener("copy", exactly, { once: true });
    const done = document.execCommand("copy");
    removeEventListener("copy", exactly);
    return done;
  }
}
