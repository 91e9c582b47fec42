/**
 * Rounding a row of weights to integers so that the output, not the weight, is near: (w - q)' H (w - q) small, H being second
 * moments of the inputs. Column by column, each taking up the errors of those before it (Frantar et al. 2023, "GPTQ"; the
 * same as Babai's nearest plane), then single steps while any helps; short rows are searched to the end.
 */
/** A metric made ready for rounding rows: its columns in the order of work, and its Cholesky factor. */
export interface Metric {
  width: number;
  /** [width, width], as given. */
  products: Float64Array;
  /** Columns, ascending by their moments; worked from the end, so that the weightiest come first. */
  order: Int32Array;
  /** Lower triangular factor of the damped moments in that order. */
  factor: Float64Array;
}

export interface Row {
  /** Weights. */
  weights: Float64Array;
  /** Step of each weight's integer. */
  scales: Float64Array;
  /** Integers lie in [-limit, limit]. */
  limit: number;
}

/** Columns up to which the best integers of all are looked for. */
const SEARCHED_COLUMNS = 16;
/** Nodes of the search tree that are visited per row at most. */
const SEARCHED_NODES = 20000;
/** Columns up to which single steps start from the nearest integers as well. */
const DESCENDED_TWICE = 160;
/** Sweeps of single steps. */
const SWEEPS = 20;

/**
 * @param damping share of the mean moment that is added to each column's own, so that the factor exists
 */
export function metricOf(products: Float64Array, width: number, damping: number): Metric {
  let trace = 0;
  for (let i = 0; i < width; i++) trace += products[i * width + i];
  const own = (i: number): number => products[i * width + i];
  const order = Int32Array.from({ length: width }, (_, i) => i).sort((a, b) => own(a) - own(b) || b - a);
  const unit = Math.max(trace / width, 1e-30);
  let added = damping * unit;
  for (;;) {
    const factor = new Float64Array(width * width);
    for (let i = 0; i < width; i++) {
      for (let j = 0; j <= i; j++) factor[i * width + j] = products[order[i] * width + order[j]];
      factor[i * width + i] += added;
    }
    if (choleskyInPlace(factor, width)) return { width, products, order, factor };
    // Sums in single precision can be slightly indefinite, and a dead column has nothing of its own.
    added = Math.max(10 * added, 1e-9 * unit);
  }
}

/** Lower triangular factor in place of a symmetric matrix's lower half; false where the matrix is not positive definite. */
function choleskyInPlace(a: Float64Array, width: number): boolean {
  for (let i = 0; i < width; i++) {
    for (let j = 0; j <= i; j++) {
      const rest = a[i * width + j] - dot(a, i * width, a, j * width, j);
      if (i > j) a[i * width + j] = rest / a[j * width + j];
      else if (rest > 0) a[i * width + i] = Math.sqrt(rest);
      else return false;
    }
  }
  return true;
}

/** Sum of products of two runs of `count` elements. Four sums at once keep the processor's adders busy. */
function dot(a: Float64Array, fromA: number, b: Float64Array, fromB: number, count: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < count; k += 4) {
    s0 += a[fromA + k] * b[fromB + k];
    s1 += a[fromA + k + 1] * b[fromB + k + 1];
    s2 += a[fromA + k + 2] * b[fromB + k + 2];
    s3 += a[fromA + k + 3] * b[fromB + k + 3];
  }
  for (; k < count; k++) s0 += a[fromA + k] * b[fromB + k];
  return s0 + s1 + s2 + s3;
}

const clamp = (q: number, limit: number): number => Math.max(-limit, Math.min(limit, q));

/** Each weight to the nearest integer on its own. */
export const nearest = (r: Row): Int8Array =>
  Int8Array.from(r.weights, (w, i) => clamp(Math.round(w / r.scales[i]), r.limit));

const errorsOf = (r: Row, codes: Int8Array): Float64Array => r.weights.map((w, i) => w - codes[i] * r.scales[i]);

/** H (w - q): half the slope of the error in each weight. */
const slopeOf = ({ width, products }: Metric, errors: Float64Array): Float64Array =>
  Float64Array.from({ length: width }, (_, i) => dot(products, i * width, errors, 0, width));

/** (w - q)' H (w - q) with the moments as they were given. */
export function rowError(m: Metric, r: Row, codes: Int8Array): number {
  const errors = errorsOf(r, codes);
  return dot(errors, 0, slopeOf(m, errors), 0, m.width);
}

interface Rounded {
  codes: Int8Array;
  error: number;
}

/** Integers of a row by second-order rounding. Never worse than `nearest` in `rowError`. */
export function roundRow(m: Metric, r: Row): Int8Array {
  const plain = nearest(r);
  const errors = errorsOf(r, plain);
  const slope = slopeOf(m, errors);
  const candidates: Rounded[] = [{ codes: plain, error: dot(errors, 0, slope, 0, m.width) }];
  const planes = descend(m, r, nearestPlanes(m, r));
  candidates.push(planes);
  // Wide rows gain next to nothing by a second start, and take most of the time.
  if (m.width <= DESCENDED_TWICE) candidates.push(descend(m, r, plain));
  if (m.width <= SEARCHED_COLUMNS) {
    const codes = search(m, r, planes.codes);
    candidates.push({ codes, error: rowError(m, r, codes) });
  }
  return candidates.reduce((best, c) => (c.error < best.error ? c : best)).codes;
}

/** Where the error of column `k` (in the order of work) is least, given those behind it: as a weight. */
function centre(m: Metric, weights: Float64Array, errors: Float64Array, k: number): number {
  let sum = 0;
  for (let i = k + 1; i < m.width; i++) sum += m.factor[i * m.width + k] * errors[i];
  return weights[m.order[k]] + sum / m.factor[k * m.width + k];
}

function nearestPlanes(m: Metric, r: Row): Int8Array {
  const codes = new Int8Array(m.width);
  // What rounded columns owe to each one that is still open: kept up to date, so that memory is read along rows.
  const owed = new Float64Array(m.width);
  for (let k = m.width - 1; k >= 0; k--) {
    const c = m.order[k];
    const at = r.weights[c] + owed[k] / m.factor[k * m.width + k];
    const q = clamp(Math.round(at / r.scales[c]), r.limit);
    codes[c] = q;
    const error = r.weights[c] - q * r.scales[c];
    if (error === 0) continue;
    const row = k * m.width;
    for (let j = 0; j < k; j++) owed[j] += m.factor[row + j] * error;
  }
  return codes;
}

/** Single steps of single columns while any lowers the error. */
function descend(m: Metric, r: Row, start: Int8Array): Rounded {
  const { width, products } = m;
  const codes = Int8Array.from(start);
  const errors = errorsOf(r, codes);
  const slope = slopeOf(m, errors);
  let error = dot(errors, 0, slope, 0, width);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = false;
    for (let i = 0; i < width; i++) {
      const own = products[i * width + i] * r.scales[i];
      if (own <= 0) continue;
      const next = clamp(codes[i] + Math.round(slope[i] / own), r.limit);
      const change = (next - codes[i]) * r.scales[i];
      // A step of exactly half a unit gains nothing and could go on for ever.
      const gain = change * (change * products[i * width + i] - 2 * slope[i]);
      if (change === 0 || gain >= 0) continue;
      codes[i] = next;
      error += gain;
      for (let j = 0; j < width; j++) slope[j] -= products[i * width + j] * change;
      moved = true;
    }
    if (!moved) break;
  }
  return { codes, error };
}

/** Depth-first search of all integers that could still beat the best known (Schnorr and Euchner 1994). */
function search(m: Metric, r: Row, start: Int8Array): Int8Array {
  const { width } = m;
  const damped = (codes: ArrayLike<number>): number => {
    let sum = 0;
    for (let k = 0; k < width; k++) {
      let part = 0;
      for (let i = k; i < width; i++) {
        const c = m.order[i];
        part += m.factor[i * width + k] * (r.weights[c] - codes[c] * r.scales[c]);
      }
      sum += part * part;
    }
    return sum;
  };
  let best = Int8Array.from(start);
  let least = damped(start);
  let visited = 0;
  const codes = new Int8Array(width);
  const errors = new Float64Array(width);
  const visit = (k: number, soFar: number): void => {
    if (visited++ > SEARCHED_NODES) return;
    if (k < 0) {
      if (soFar < least) {
        least = soFar;
        best = Int8Array.from(codes);
      }
      return;
    }
    const c = m.order[k];
    const at = centre(m, r.weights, errors, k);
    const own = m.factor[k * width + k];
    const middle = clamp(Math.round(at / r.scales[c]), r.limit);
    // From the nearest integer outwards on both sides, until neither can beat the best any more.
    for (let step = 0, open = 2; open > 0; step++) {
      open = 0;
      for (const q of step === 0 ? [middle] : [middle - step, middle + step]) {
        if (Math.abs(q) > r.limit) continue;
        const off = own * (at - q * r.scales[c]);
        const sum = soFar + off * off;
        if (sum >= least) continue;
        open++;
        codes[c] = q;
        errors[k] = r.weights[c] - q * r.scales[c];
        visit(k - 1, sum);
      }
      if (step === 0) open = 2;
    }
  };
  visit(width - 1, 0);
  return best;
}
