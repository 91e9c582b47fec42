/** How close two outputs are: pure functions over equally long arrays. */

function sameLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length)
    throw new RangeError(`two outputs of ${a.length} and ${b.length} elements cannot be compared`);
  return a.length;
}

/** Sums from which the ratios below are taken; add up over batches, then ask. */
export class Similarity {
  private signal = 0;
  private noise = 0;
  private dot = 0;
  private other = 0;

  /** Adds one pair of outputs: `reference` from the float model, `actual` from the one under test. */
  add(reference: ArrayLike<number>, actual: ArrayLike<number>): void {
    const n = sameLength(reference, actual);
    for (let i = 0; i < n; i++) {
      const [r, a] = [reference[i], actual[i]];
      this.signal += r * r;
      this.other += a * a;
      this.dot += r * a;
      this.noise += (r - a) * (r - a);
    }
  }

  /** Signal to quantisation noise, 10 log10(sum r^2 / sum (r-a)^2), in decibels. Infinity for equal outputs. */
  get sqnrDb(): number {
    if (this.noise === 0) return Number.POSITIVE_INFINITY;
    return 10 * Math.log10(this.signal / this.noise);
  }

  /** Cosine of the angle between the two; 1 for two zero vectors, 0 when only one is zero. */
  get cosine(): number {
    if (this.signal === 0 || this.other === 0) return this.signal === this.other ? 1 : 0;
    return this.dot / Math.sqrt(this.signal * this.other);
  }
}

function similarity(reference: ArrayLike<number>, actual: ArrayLike<number>): Similarity {
  const s = new Similarity();
  s.add(reference, actual);
  return s;
}

/** Signal to quantisation noise of `actual` against `reference`, in decibels; see `Similarity`. */
export const sqnrDb = (reference: ArrayLike<number>, actual: ArrayLike<number>): number =>
  similarity(reference, actual).sqnrDb;

/** Cosine similarity. */
export const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => similarity(a, b).cosine;

/** Index of the largest element of each row of `width`; the first one wins a tie. */
export function argmaxRows(values: ArrayLike<number>, width: number): Int32Array {
  if (width < 1 || values.length % width !== 0) throw new RangeError(`${values.length} values are no rows of ${width}`);
  const out = new Int32Array(values.length / width);
  for (let row = 0; row < out.length; row++) {
    let best = 0;
    for (let c = 1; c < width; c++) if (values[row * width + c] > values[row * width + best]) best = c;
    out[row] = best;
  }
  return out;
}

/** Share of rows of `width` classes whose largest element is the same one in both. */
export function agreement(a: ArrayLike<number>, b: ArrayLike<number>, width: number): number {
  sameLength(a, b);
  const [x, y] = [argmaxRows(a, width), argmaxRows(b, width)];
  if (x.length === 0) throw new RangeError("agreement of no rows is not defined");
  let same = 0;
  for (let i = 0; i < x.length; i++) if (x[i] === y[i]) same++;
  return same / x.length;
}
