"use strict";

const at = (id) => document.getElementById(id);
const POLL_MS = 1000;
const TERMINAL = ["completed", "failed", "cancelled"];
let widget = null;

/** The session answer as the widget takes it: the same values, names in camelCase. */
function camelCase(answer) {
  const name = (key) => key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(answer).map(([key, value]) => [name(key), value]));
}

/** A user is who signed in; this shop takes an e-mail's word for it, without its +tag. */
function userOf(email) {
  return `user-${email.toLowerCase().replace(/\+[^@]*/, "").replace(/[^a-z0-9]+/g, "-")}`;
}

async function order(offer) {
  const email = at("email").value;
  const reply = await fetch("/orders", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ offer, email, user: userOf(email), amount: at("amount").value, key: crypto.randomUUID() }),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.message);
  return answer;
}

function run(answer) {
  widget?.close();
  at("status").hidden = false;
  at("id").textContent = answer.merchant_transaction_id;
  widget = proofWidget.run({
    ...camelCase(answer),
    host: at("host"),
    mode: at("redirect").checked ? "redirect" : "frame",
    onStatusChange: ({ status }) => { at("widget").textContent = status; },
    onPaymentFinished: ({ payment_method }) => console.info("paid by", payment_method),
    onSellTransferEnabled: ({ address, amount }) => console.info("send", amount, "to", address),
  });
  // On a phone it opens below the form.
  at("host").scrollIntoView({ block: "nearest" });
  follow(answer.merchant_transaction_id);
}

/** The widget's word is for show; goods are handed out on what the backend knows. */
async function follow(transaction) {
  const reply = await fetch(`/orders/${transaction}`);
  if (at("id").textContent !== transaction) return;
  if (reply.ok) {
    const known = await reply.json();
    at("polled").textContent = known.polled;
    at("webhooks").textContent = known.webhooks.join(", ");
    const over = TERMINAL.includes(known.polled) && known.webhooks.includes(known.polled);
    if (over) return;
  }
  setTimeout(() => follow(transaction), POLL_MS);
}

at("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("problem").textContent = "";
  event.submitter.disabled = true;
  try {
    run(await order(event.submitter.value));
  } catch (error) {
    at("problem").textContent = error.message;
  } finally {
    event.submitter.disabled = false;
  }
});
