/** Who the user is: a document, then a look at the face. Simulated; the camera stays off. */

import { button, form, h, icon, note } from "../dom.js";

const DOCUMENTS = ["passport", "id_card", "driving_licence"];

export function view(page, state, shown) {
  if (shown && shown.kyc === state.kyc) return shown;
  if (state.kyc === "pending") return waiting(page);
  return chooser(page, state);
}

function waiting({ words }) {
  const heading = h("h1", {}, words.say("kyc.waiting"));
  const turning = h("span", { class: "turning", "aria-hidden": "true" });
  return { kyc: "pending", heading, nodes: [turning, heading, h("p", { class: "lead" }, words.say("kyc.waiting.text"))] };
}

function chooser(page, state) {
  const { words } = page;
  const heading = h("h1", {}, words.say("kyc.title"));
  const body = h("div", { class: "stack" });
  const chosen = { document: "passport" };
  const first = () => body.replaceChildren(documentForm(page, chosen, second));
  const second = () => {
    body.replaceChildren(liveness(page, chosen, () => { first(); heading.focus(); }));
    body.querySelector("h2").focus();
  };
  first();
  return { kyc: state.kyc, heading, nodes: [heading, h("p", { class: "lead" }, words.say("kyc.text")), body] };
}

function documentForm({ words, state }, chosen, next) {
  const choices = DOCUMENTS.map((name) => {
    const input = h("input", {
      type: "radio", name: "document", value: name, checked: name === chosen.document,
      onchange: () => { chosen.document = name; },
    });
    return h("label", { class: "choice-card" }, input, h("span", {}, words.say(`kyc.${name}`)));
  });
  const legend = h("legend", {}, words.say("kyc.document"));
  const submit = h("button", { type: "submit", class: "primary" }, h("span", {}, words.say("continue")));
  const simulated = state.environment === "sandbox" ? note("quiet", words.say("kyc.simulated")) : null;
  return form(submit, next, h("fieldset", { class: "choices" }, legend, ...choices), simulated);
}

function liveness(page, chosen, back) {
  const { words } = page;
  const problem = h("p", { class: "field-error", role: "alert" });
  const oval = h("div", { class: "oval", "aria-hidden": "true" }, icon("face"));
  const check = button("primary", words.say("kyc.liveness.start"), async () => {
    problem.textContent = "";
    oval.classList.add("looking");
    try {
      await page.act("kyc", { document: chosen.document, liveness: true });
    } catch (error) {
      problem.textContent = words.say(error.code === "network" ? "lost" : "refused");
    } finally {
      oval.classList.remove("looking");
    }
  });
  return h(
    "div",
    { class: "stack" },
    h("h2", { tabindex: "-1" }, words.say("kyc.liveness")),
    h("p", {}, words.say("kyc.liveness.text")),
    oval,
    problem,
    check,
    h("button", { type: "button", class: "secondary", onclick: back }, words.say("back")),
  );
}
