/**
 * A fixed computation whose time tells how fast the processor is at this moment: when it takes longer than before, the
 * device is throttled, for heat or for its battery. It uses nothing but JavaScript, so that it is the same for every model.
 */
const SIZE = 96;
const RUNS = 7;

/** A device that is slower than at its best by this share is asked to cool down, */
export const HOT = 0.3;
/** and goes on below this, */
export const COOL = 0.12;
/** or after this long. */
const MAX_WAIT_MS = 120_000;
const LOOK_MS = 3_000;

const left = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i));
const right = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.cos(i));
const product = new Float32Array(SIZE * SIZE);

/** A matrix product: about a millisecond on a phone. */
function multiply(): void {
  for (let i = 0; i < SIZE; i++) {
    for (let j = 0; j < SIZE; j++) {
      let sum = 0;
      for (let k = 0; k < SIZE; k++) sum += left[i * SIZE + k] * right[k * SIZE + j];
      product[i * SIZE + j] = sum;
    }
  }
}

export interface Pace {
  /** Takes the time; returns by which share it is above the best one so far. */
  look(): number;
  /** Waits while the device is hot. `tell` is called at each look; `skip` ends the wait. */
  cool(o: { signal: AbortSignal; skip(): boolean; tell(slower: number, waiting: boolean): void }): Promise<void>;
}

/**
 * @param now milliseconds
 * @param clockMs its step: each look runs long enough that the step does not matter
 * @param compute the computation; tests pass their own
 */
export function pace(
  now: () => number,
  clockMs: number,
  compute: () => void = multiply,
  sleep: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
): Pace {
  const timed = (calls: number): number => {
    const start = now();
    for (let i = 0; i < calls; i++) compute();
    return now() - start;
  };
  let calls = 1;
  for (let ms = timed(1); ms < 20 * clockMs && calls < 4096; ms = timed(calls)) calls *= 2;
  for (let i = 0; i < 20; i++) timed(calls); // compilers take their time

  let best = Number.POSITIVE_INFINITY;
  const look = (): number => {
    // What interrupts a run only makes it longer: the shortest one tells the pace.
    const ms = Math.min(...Array.from({ length: RUNS }, () => timed(calls)));
    best = Math.min(best, ms);
    return best > 0 ? ms / best - 1 : 0;
  };
  return {
    look,
    async cool({ signal, skip, tell }) {
      let slower = look();
      if (slower > HOT) slower = look(); // once is chance
      if (slower <= HOT) return tell(slower, false);
      for (const start = now(); slower > COOL && now() - start < MAX_WAIT_MS && !skip(); slower = look()) {
        tell(slower, true);
        await sleep(LOOK_MS);
        signal.throwIfAborted();
      }
      tell(slower, false);
    },
  };
}
