/** What is usual for this driver, from the first seconds: a quantile over time of a reading. */

/** Quantile `q` (0..1) of the readings of the first `lengthMs` of seen time. */
export class Baseline {
  private readonly readings: { value: number; weight: number }[] = [];
  private seenMs = 0;
  private found: number | undefined;

  /** @param atLeast a smaller result is not believed, and the oldest half of the readings is forgotten */
  constructor(
    private readonly q: number,
    private readonly lengthMs: number,
    private readonly atLeast = Number.NEGATIVE_INFINITY,
  ) {}

  /** The result once it is known. */
  get value(): number | undefined {
    return this.found;
  }

  /** Part of the time that has been seen, 0..1. */
  get progress(): number {
    return this.found === undefined ? Math.min(1, this.seenMs / this.lengthMs) : 1;
  }

  /** A reading that stands for `weightMs` of time; ignored once the result is known. */
  add(value: number, weightMs: number): void {
    if (this.found !== undefined || !(weightMs > 0)) return;
    this.readings.push({ value, weight: weightMs });
    this.seenMs += weightMs;
    if (this.seenMs < this.lengthMs) return;
    const result = quantileOf(this.readings, this.q);
    if (result >= this.atLeast) {
      this.found = result;
      this.readings.length = 0;
      return;
    }
    while (this.seenMs > this.lengthMs / 2) this.seenMs -= this.readings.shift()!.weight;
  }

  reset(): void {
    this.readings.length = 0;
    this.seenMs = 0;
    this.found = undefined;
  }
}

function quantileOf(readings: readonly { value: number; weight: number }[], q: number): number {
  const sorted = [...readings].sort((a, b) => a.value - b.value);
  const total = sorted.reduce((sum, r) => sum + r.weight, 0);
  let below = 0;
  for (const { value, weight } of sorted) {
    below += weight;
    if (below >= q * total) return value;
  }
  return sorted[sorted.length - 1].value;
}
