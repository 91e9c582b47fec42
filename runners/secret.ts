/** Tokens are compared in a time that does not tell how much of a guess was right. */
import { timingSafeEqual } from "node:crypto";

export function sameSecret(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
