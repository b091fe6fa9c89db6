/** Names that nobody else has. */

/** Return 32 random hexadecimal digits; works without a secure context too. */
export function token(): string {
  const parts = crypto.getRandomValues(new Uint8Array(16));
  return [...parts].map((part) => part.toString(16).padStart(2, "0")).join("");
}
