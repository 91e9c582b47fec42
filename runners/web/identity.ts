/// <reference lib="dom" />
/** Who this browser is to hubs: a random id that it keeps, so that it is known again after a reload. */
const KEY = "edgefit-device";

export function deviceId(): string {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept && /^[\w-]{8,64}$/.test(kept)) return kept;
    const made = randomId();
    localStorage.setItem(KEY, made);
    return made;
  } catch {
    return randomId(); // storage is off: known until the page is left
  }
}

// Not randomUUID, which insecure addresses do not have.
const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
