/** Which words are true of an end: whether anything was paid, and whether it was for the identity. */
export function endOf({ type, end, paid, kyc, failure_reason }) {
  const name = `outcome.${type}.${end}`;
  if (end !== "failed") return name;
  if (paid) return `${name}.paid`;
  // The record's reason comes with the record's status.
  const refused = failure_reason ? failure_reason === "identity_refused" : kyc === "failed";
  return refused ? `${name}.identity` : name;
}

/** The drawing of an end and its kind. */
export const SIGNS = { completed: ["check", "success"], failed: ["cross", "danger"], cancelled: ["info", "quiet"] };
