/** The provider's own widget takes the place of our steps; we go on asking how it stands. */

import { h, note } from "../dom.js";

export function view(page, state, shown) {
  if (shown) return shown;
  const { words } = page;
  const heading = h("h1", { class: "unseen" }, words.say("handover.title"));
  const problem = h("div", { role: "alert" });
  const host = h("div", { class: "handover" });
  open(state.provider, state.handover, host).catch((error) => {
    console.error(error);
    problem.replaceChildren(note("caution", words.say("handover.failed")));
  });
  return { heading, nodes: [heading, problem, host] };
}

async function open(provider, { script, parameters }, host) {
  const opener = await import(`../provider/${provider}.js`);
  await opener.open({ parameters, host, load: () => loaded(script) });
}

function loaded(address) {
  return new Promise((resolve, reject) => {
    const element = h("script", { onload: resolve, onerror: () => reject(new Error(`${address} did not load`)) });
    element.nonce = document.querySelector("script[nonce]").nonce;
    element.src = address;
    document.head.append(element);
  });
}
