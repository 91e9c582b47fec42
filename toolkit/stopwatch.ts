/** Wall time of the stages of a story; a stage that comes again adds up. */
export class Stopwatch {
  /** Seconds per stage, in the order of their first start. */
  readonly seconds: Record<string, number> = {};

  async time<T>(stage: string, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    this.seconds[stage] ??= 0;
    try {
      return await work();
    } finally {
      this.seconds[stage] += (performance.now() - begin) / 1000;
    }
  }
}
