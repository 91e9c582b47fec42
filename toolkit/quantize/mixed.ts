/** Per-node precision: integers where the device gains by them and the output can bear them. Knows no device. */
import type { NodeSensitivity } from "./sensitivity.js";

export interface MixedOptions {
  /** Milliseconds that the node saves on integers; zero or less keeps it float. */
  gainMs: (node: string) => number;
  /** The output's signal-to-noise ratio must stay at or above this. */
  floorDb: number;
  /** Output quality with a set of nodes kept float, really measured. */
  measure: (keepFloat: ReadonlySet<string>) => Promise<number>;
}

export interface MixedPrecision {
  keepFloat: Set<string>;
  /** Why: the device does not gain, or the output would suffer. */
  reasons: Map<string, "not-faster" | "not-safe">;
  /** Measured signal-to-noise ratio of the choice. */
  sqnrDb: number;
  /** False when even the safest choice stays under the floor. */
  meetsFloor: boolean;
}

const noiseOf = (sqnrDb: number): number => 10 ** (-sqnrDb / 10);

/**
 * Order in which nodes go back to float: most noise per millisecond lost first. Noise powers of single nodes add up when
 * their errors are independent, which they nearly are. Nodes that gain nothing come first of all.
 */
export function floatOrder(sensitivities: readonly NodeSensitivity[], gainMs: (node: string) => number): string[] {
  const worth = ({ node, sqnrDb }: NodeSensitivity): number => {
    const gain = gainMs(node);
    return gain <= 0 ? Number.POSITIVE_INFINITY : noiseOf(sqnrDb) / gain;
  };
  const ranked = sensitivities.map((s) => ({ node: s.node, worth: worth(s) }));
  // Infinity - Infinity is not a number, so compare instead of subtracting.
  return ranked.sort((a, b) => (a.worth === b.worth ? 0 : a.worth > b.worth ? -1 : 1)).map((r) => r.node);
}

/**
 * Chooses the nodes that stay float. Starts from those that gain nothing, predicts from the single-node noises how many
 * more must go to reach the floor, measures, and adds as many as are still needed, doubling its steps.
 */
export async function chooseMixedPrecision(
  sensitivities: readonly NodeSensitivity[],
  o: MixedOptions,
): Promise<MixedPrecision> {
  const order = floatOrder(sensitivities, o.gainMs);
  const noise = new Map(sensitivities.map((s) => [s.node, noiseOf(s.sqnrDb)]));
  const reasons = new Map<string, "not-faster" | "not-safe">();
  const useless = order.filter((n) => o.gainMs(n) <= 0);
  for (const n of useless) reasons.set(n, "not-faster");
  let count = useless.length;
  let left = order.slice(count).reduce((sum, n) => sum + noise.get(n)!, 0);
  while (count < order.length && left > noiseOf(o.floorDb)) left -= noise.get(order[count++])!;
  let step = 1;
  for (;;) {
    const keepFloat = new Set(order.slice(0, count));
    const sqnrDb = await o.measure(keepFloat);
    const meetsFloor = sqnrDb >= o.floorDb;
    if (meetsFloor || count === order.length) {
      for (const n of order.slice(useless.length, count)) reasons.set(n, "not-safe");
      return { keepFloat, reasons, sqnrDb, meetsFloor };
    }
    count = Math.min(order.length, count + step);
    step *= 2;
  }
}
