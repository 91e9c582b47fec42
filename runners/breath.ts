/**
 * Lets messages in while a loop of calls runs. A runtime in WebAssembly computes inside the call, so that awaiting it never
 * returns to the event loop: without a pause a request to stop would be read only when the work is over.
 */
const EVERY_MS = 50;

/** Returns a function to await between calls; it pauses when the last pause is some time ago. */
export function breather(now: () => number): () => Promise<void> {
  let last = now();
  return async () => {
    if (now() - last < EVERY_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    last = now();
  };
}
