/** How long to wait before the next try: twice as long each time, with a random part so that many agents do not come at once. */

const FIRST_MS = 1000;
const MOST_MS = 30_000;

/**
 * Milliseconds before try `attempt`, counted from 0: half of 1 s, 2 s, 4 s ... 30 s, and up to as much again by `random`
 * (0 to below 1).
 */
export function waitBefore(attempt: number, random: number): number {
  const most = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 30));
  return (most / 2) * (1 + random);
}

/** Waits; ends early, without a word, when aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
