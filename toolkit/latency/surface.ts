/**
 * The cost of one kernel over its widths: measured rows, and between them a staircase whose step sizes are found from the
 * rows themselves. Nothing here is smooth: a width costs what its block costs.
 */
import type { LatencyRow } from "./table.js";

/** Cost of a kernel at some widths. */
export interface KernelCostEstimate {
  us: number;
  launches: number;
  /** True when no sub-net was measured at exactly these widths. */
  interpolated: boolean;
  /** Relative standard error of `us` from the scatter of the observations; what the staircase misses is not in it. */
  error: number;
}

export interface Surface {
  at(widths: readonly number[]): KernelCostEstimate;
}

/** Vector widths, in channels, that runtimes compute in: 1 is "no steps". */
const BLOCKS = [1, 2, 4, 8, 16, 32, 64] as const;

/** Where the cost changes its law: below `width` on one coordinate other code runs (narrow inputs, other layouts). */
interface Split {
  coordinate: number;
  width: number;
  /** Below the split this coordinate counts single channels instead of blocks. */
  fine: boolean;
}

interface Shape {
  blocks: readonly number[];
  split: Split | null;
  form: "constant" | "product" | "multilinear";
}

type Observed = Pick<LatencyRow, "widths" | "us" | "launches" | "n" | "spread">;

/**
 * Staircase through the rows of one kernel key: cost = c0 + sum c_i ceil(w_i / m_i) + products of these, with another set of
 * coefficients on the other side of at most one split. Block sizes m_i, the split and the form are those with the least
 * leave-one-out error (closed form, Allen's PRESS), so a runtime without blocks gets m = 1 and a plain bilinear law.
 * At measured widths the estimate is the row's own mean, drawn to the staircase as far as the row's noise warrants
 * (empirical Bayes). `noise` is the relative standard deviation of one observation, pooled over the whole table.
 */
export function fitSurface(rows: readonly Observed[], noise: number): Surface {
  if (rows.length === 0)
    throw new Error("a surface needs at least one row; this is a bug in edgefit, please report it");
  const model = bestStaircase(rows);
  const meanInverse = rows.reduce((s, r) => s + 1 / r.n, 0) / rows.length;
  const modelVariance = Math.max(0, model.looError ** 2 - noise ** 2 * meanInverse);
  const exact = new Map(rows.map((r) => [r.widths.join(","), r]));
  const modelError = noise * Math.sqrt(model.coefficients / rows.reduce((s, r) => s + r.n, 0));
  const floor = 0.5 * Math.min(...rows.map((r) => r.us));
  return {
    at(widths) {
      const row = exact.get(widths.join(","));
      const modelled = Math.max(floor, model.predict(widths));
      if (!row) {
        return { us: modelled, launches: nearest(rows, widths).launches, interpolated: true, error: modelError };
      }
      const trust = modelVariance / (modelVariance + noise ** 2 / row.n || 1);
      const own = rows.length === 1 ? 1 : trust;
      return {
        us: own * row.us + (1 - own) * modelled,
        launches: row.launches,
        interpolated: false,
        error: Math.hypot((own * noise) / Math.sqrt(row.n), (1 - own) * modelError),
      };
    },
  };
}

interface Staircase {
  predict(widths: readonly number[]): number;
  /** Relative, root mean square over rows. */
  looError: number;
  coefficients: number;
}

function bestStaircase(rows: readonly Observed[]): Staircase {
  const axes = rows[0].widths.length;
  const grids = Array.from({ length: axes }, (_, i) =>
    [...new Set(rows.map((r) => r.widths[i]))].sort((a, b) => a - b),
  );
  let best: Staircase & { shape: Shape } = fitStaircase(rows, {
    blocks: Array(axes).fill(1),
    split: null,
    form: "constant",
  })!;
  const consider = (shape: Shape): void => {
    const next = fitStaircase(rows, shape);
    // A richer shape must earn its place: differences below 2 % of the error are chance.
    if (next && next.looError < 0.98 * best.looError) best = next;
  };
  for (const form of ["product", "multilinear"] as const) {
    for (const block of BLOCKS) consider({ blocks: Array(axes).fill(block), split: null, form });
  }
  for (let before = Number.POSITIVE_INFINITY; best.looError < before; ) {
    before = best.looError;
    for (let i = 0; i < axes; i++) {
      for (const block of BLOCKS)
        consider({ ...best.shape, blocks: best.shape.blocks.map((b, j) => (j === i ? block : b)) });
      for (const width of grids[i].slice(1)) {
        for (const fine of [false, true]) consider({ ...best.shape, split: { coordinate: i, width, fine } });
      }
    }
    for (const form of ["product", "multilinear"] as const) consider({ ...best.shape, form });
  }
  return best;
}

function features(widths: readonly number[], shape: Shape): number[] {
  const { split } = shape;
  const below = split !== null && widths[split.coordinate] < split.width;
  const steps = widths.map((w, i) =>
    below && split.fine && split.coordinate === i ? w : Math.ceil(w / shape.blocks[i]),
  );
  const out = [1];
  if (shape.form === "product") out.push(steps.reduce((a, b) => a * b, 1));
  if (shape.form === "multilinear") {
    out.push(...steps);
    for (let i = 0; i < steps.length; i++) for (let j = i + 1; j < steps.length; j++) out.push(steps[i] * steps[j]);
  }
  if (!split) return out;
  return [...out, ...out.map((f) => (below ? f : 0))];
}

/** Least squares of relative errors, weighted by observations. Undefined when there are too few rows to judge the shape. */
function fitStaircase(rows: readonly Observed[], shape: Shape): (Staircase & { shape: Shape }) | undefined {
  const X = rows.map((r) => features(r.widths, shape));
  const p = X[0].length;
  if (shape.form !== "constant" && rows.length < p + 2) return undefined;
  const weight = rows.map((r) => r.n / Math.max(r.us, 1e-3) ** 2);
  const scale = Array.from({ length: p }, (_, j) => Math.max(1e-12, ...X.map((x) => Math.abs(x[j]))));
  const A = Array.from({ length: p }, () => new Float64Array(p));
  const b = new Float64Array(p);
  X.forEach((x, i) => {
    for (let j = 0; j < p; j++) {
      x[j] /= scale[j];
      b[j] += weight[i] * x[j] * rows[i].us;
    }
    for (let j = 0; j < p; j++) for (let k = 0; k < p; k++) A[j][k] += weight[i] * x[j] * x[k];
  });
  const inverse = invertPositive(A);
  if (!inverse) return undefined;
  const beta = inverse.map((row) => row.reduce((s, v, k) => s + v * b[k], 0));
  let squares = 0;
  X.forEach((x, i) => {
    const leverage = weight[i] * x.reduce((s, v, j) => s + v * x.reduce((t, u, k) => t + u * inverse[j][k], 0), 0);
    const residual = x.reduce((s, v, j) => s + v * beta[j], 0) - rows[i].us;
    squares += (residual / Math.max(1 - leverage, 0.05) / Math.max(rows[i].us, 1e-3)) ** 2;
  });
  return {
    shape,
    coefficients: p,
    looError: rows.length === 1 ? 0 : Math.sqrt(squares / rows.length),
    predict: (widths) => features(widths, shape).reduce((s, f, j) => s + (f / scale[j]) * beta[j], 0),
  };
}

/** Inverse of a symmetric positive matrix by Gauss-Jordan; undefined when it is singular (a split that no row crosses). */
function invertPositive(A: readonly Float64Array[]): Float64Array[] | undefined {
  const p = A.length;
  const M = A.map((row, i) => Float64Array.from({ length: 2 * p }, (_, j) => (j < p ? row[j] : j === i + p ? 1 : 0)));
  const trace = A.reduce((s, row, i) => s + row[i], 0);
  for (let i = 0; i < p; i++) {
    let pivot = i;
    for (let r = i + 1; r < p; r++) if (Math.abs(M[r][i]) > Math.abs(M[pivot][i])) pivot = r;
    if (!(Math.abs(M[pivot][i]) > 1e-10 * trace)) return undefined;
    [M[i], M[pivot]] = [M[pivot], M[i]];
    const inverse = 1 / M[i][i];
    for (let j = 0; j < 2 * p; j++) M[i][j] *= inverse;
    for (let r = 0; r < p; r++) {
      const f = M[r][i];
      if (r === i || f === 0) continue;
      for (let j = 0; j < 2 * p; j++) M[r][j] -= f * M[i][j];
    }
  }
  return M.map((row) => row.slice(p));
}

/** Measured row at the least sum of relative width differences. */
function nearest(rows: readonly Observed[], widths: readonly number[]): Observed {
  let best = rows[0];
  let least = Number.POSITIVE_INFINITY;
  for (const r of rows) {
    const distance = r.widths.reduce((s, w, i) => s + Math.abs(Math.log((w + 1) / (widths[i] + 1))), 0);
    if (distance < least) {
      least = distance;
      best = r;
    }
  }
  return best;
}
