/** Which images calibrate and which judge, and what of either is kept in memory. */
import type { ImageBatch } from "./feed.js";

/** Every fifth image judges and is not calibrated on. */
const HELD_BACK = 5;

/** What is kept in memory of each part for judging, repair and bias correction; ranges see every image. */
const KEPT_IMAGES = 128;
const KEPT_BYTES = 64 * 2 ** 20;

/** Deals images out in units of the model's batch: four to calibration, one held back, and so on; keeps a bounded number of each. */
export class Shares {
  readonly held: ImageBatch[] = [];
  readonly kept: ImageBatch[] = [];
  private units = 0;
  private full = false;
  private readonly source: AsyncIterator<ImageBatch>;
  /** Calibration batches that were read ahead. */
  private readonly ahead: ImageBatch[] = [];

  constructor(
    batches: AsyncIterable<ImageBatch>,
    private readonly unit: number,
  ) {
    this.source = batches[Symbol.asyncIterator]();
  }

  /** Images that judge: those held back, or with fewer than five images the ones that calibrate. */
  get judges(): readonly ImageBatch[] {
    return this.held.length > 0 ? this.held : this.kept;
  }

  /** Reads until as many calibration images are kept as ever will be; `calibration` gives them again. */
  async readAhead(): Promise<void> {
    while (!this.full) {
      const next = await this.next();
      if (!next) return;
      this.ahead.push(next);
    }
  }

  /** The calibration images, each once. */
  async *calibration(): AsyncIterable<ImageBatch> {
    yield* this.ahead.splice(0);
    for (let next = await this.next(); next; next = await this.next()) yield next;
  }

  private async next(): Promise<ImageBatch | undefined> {
    for (;;) {
      const { value, done } = await this.source.next();
      if (done) return undefined;
      const [forRanges, forJudging] = this.deal(value);
      if (forJudging) this.keep(this.held, forJudging);
      if (!forRanges) continue;
      this.full = !this.keep(this.kept, forRanges) || this.full;
      return forRanges;
    }
  }

  private deal(batch: ImageBatch): [ImageBatch | undefined, ImageBatch | undefined] {
    const [count, ...item] = batch.dims;
    // A remainder that does not fill the model's batch goes with the calibration part, where it is reported.
    const units = Array.from({ length: Math.ceil(count / this.unit) }, (_, k) => k);
    const first = this.units;
    this.units += units.length;
    const judges = units.filter((k) => (first + k) % HELD_BACK === HELD_BACK - 1);
    const part = (chosen: readonly number[]): ImageBatch | undefined => {
      const size = item.reduce((a, b) => a * b, 1) * this.unit;
      const pieces = chosen.map((k) => batch.data.subarray(k * size, (k + 1) * size));
      const length = pieces.reduce((a, p) => a + p.length, 0);
      if (length === 0) return undefined;
      const data = new Float32Array(length);
      let at = 0;
      for (const p of pieces) {
        data.set(p, at);
        at += p.length;
      }
      return { data, dims: [(length / size) * this.unit, ...item] };
    };
    return [part(units.filter((k) => !judges.includes(k))), part(judges)];
  }

  private keep(list: ImageBatch[], batch: ImageBatch): boolean {
    const images = list.reduce((a, b) => a + b.dims[0], 0);
    const bytes = list.reduce((a, b) => a + b.data.byteLength, 0);
    if (list.length > 0 && (images >= KEPT_IMAGES || bytes + batch.data.byteLength > KEPT_BYTES)) return false;
    list.push(batch);
    return true;
  }
}
