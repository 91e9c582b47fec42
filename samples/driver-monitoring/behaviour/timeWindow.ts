/** Sums over the last seconds, by time and not by pictures, so that the rate of the camera does not matter. */

interface Stretch {
  from: number;
  to: number;
  marked: boolean;
}

/** How much of a moving window was seen, and how much of that was marked. Times in milliseconds. */
export class TimeWindow {
  private readonly stretches: Stretch[] = [];

  constructor(private readonly lengthMs: number) {}

  /** Adds the time from `from` to `to`, which begins where the last one ended or later. */
  add(from: number, to: number, marked: boolean): void {
    if (!(to > from)) return;
    const last = this.stretches.at(-1);
    if (last && last.marked === marked && last.to === from) last.to = to;
    else this.stretches.push({ from, to, marked });
  }

  /** Time within the window that ends at `now`. */
  sums(now: number): { seenMs: number; markedMs: number } {
    const start = now - this.lengthMs;
    while (this.stretches.length > 0 && this.stretches[0].to <= start) this.stretches.shift();
    let seenMs = 0;
    let markedMs = 0;
    for (const { from, to, marked } of this.stretches) {
      const length = to - Math.max(from, start);
      seenMs += length;
      if (marked) markedMs += length;
    }
    return { seenMs, markedMs };
  }

  clear(): void {
    this.stretches.length = 0;
  }
}

/** How many events lie within the last `lengthMs`. */
export class EventWindow {
  private readonly times: number[] = [];

  constructor(private readonly lengthMs: number) {}

  add(timeMs: number): void {
    this.times.push(timeMs);
  }

  count(now: number): number {
    while (this.times.length > 0 && this.times[0] <= now - this.lengthMs) this.times.shift();
    return this.times.length;
  }

  clear(): void {
    this.times.length = 0;
  }
}
