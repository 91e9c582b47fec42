/** The check before any timing: does the device compute what the host computes? */
import { DeviceError } from "./errors.js";
import type { DeviceRunner, Feeds, WireTensor } from "./runner.js";

export interface Tolerance {
  /** Default 1e-4. */
  absolute?: number;
  /** Relative to the host's value. Default 1e-3. */
  relative?: number;
  /**
   * For quantised models, where one rounding tie may move an element by a whole step: outputs also pass when the cosine
   * similarity of each is at least this. Default: elements decide alone.
   */
  minCosine?: number;
}

export interface GoldenResult {
  ok: boolean;
  /** Largest absolute difference of any element. */
  maxAbs: number;
  /** Largest difference relative to the reference's element, over elements that are not 0 there. */
  maxRel: number;
  /** Smallest cosine similarity of any output. */
  cosine: number;
  /** The first output that fails, and how. */
  failure?: string;
}

/**
 * Compares outputs by name: every element within `absolute + relative * |reference|`, as numpy.allclose does. A NaN equals
 * only a NaN. A missing, extra or differently shaped output fails.
 */
export function goldenCheck(
  outputs: Readonly<Record<string, WireTensor>>,
  reference: Readonly<Record<string, WireTensor>>,
  { absolute = 1e-4, relative = 1e-3, minCosine }: Tolerance = {},
): GoldenResult {
  const total: GoldenResult = { ok: true, maxAbs: 0, maxRel: 0, cosine: 1 };
  const fail = (why: string) => {
    total.ok = false;
    total.failure ??= why;
  };
  for (const name of Object.keys(outputs))
    if (!(name in reference)) fail(`output "${name}" is not one of the reference's`);
  for (const [name, expected] of Object.entries(reference)) {
    const got = outputs[name];
    if (!got) {
      fail(`output "${name}" is missing`);
      continue;
    }
    if (got.dims.join() !== expected.dims.join()) {
      fail(`output "${name}" has dims [${got.dims}], expected [${expected.dims}]`);
      continue;
    }
    const { outside, maxAbs, maxRel, cosine } = compare(got, expected, absolute, relative);
    total.maxAbs = Math.max(total.maxAbs, maxAbs);
    total.maxRel = Math.max(total.maxRel, maxRel);
    total.cosine = Math.min(total.cosine, cosine);
    if (outside > 0 && !(minCosine !== undefined && cosine >= minCosine)) {
      fail(
        `output "${name}": ${outside} of ${expected.data.length} elements differ, by up to ${maxAbs.toPrecision(3)} (cosine similarity ${cosine.toFixed(6)})`,
      );
    }
  }
  return total;
}

/**
 * Runs a loaded model on the device and compares with the host's outputs for the same feeds. Throws DeviceError
 * `golden-mismatch` when they differ: such a device's times would belong to another computation.
 */
export async function assertGolden(
  runner: DeviceRunner,
  model: number,
  feeds: Feeds,
  reference: Readonly<Record<string, WireTensor>>,
  tolerance: Tolerance = {},
): Promise<GoldenResult> {
  const result = goldenCheck(await runner.run(model, feeds), reference, tolerance);
  if (!result.ok) {
    throw new DeviceError("golden-mismatch", `the device does not compute what the host computes: ${result.failure}`, {
      hint: "the device's runtime or provider has a defect for this model, or its version differs; times measured there would mean nothing",
    });
  }
  return result;
}

function compare(a: WireTensor, b: WireTensor, absolute: number, relative: number) {
  let outside = 0;
  let maxAbs = 0;
  let maxRel = 0;
  let dot = 0;
  let normA = 0;
  let normB = 0;
  for (let i = 0; i < b.data.length; i++) {
    const x = Number(a.data[i]);
    const y = Number(b.data[i]);
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
      if (Number.isFinite(x)) {
        dot += x * y;
        normA += x * x;
        normB += y * y;
      }
      continue;
    }
    const difference = Math.abs(x - y);
    // A NaN or infinity on one side only: no finite number says how wrong that is.
    const size = Number.isFinite(difference) ? difference : Number.POSITIVE_INFINITY;
    if (!(size <= absolute + relative * Math.abs(y))) outside++;
    maxAbs = Math.max(maxAbs, size);
    if (y !== 0) maxRel = Math.max(maxRel, size / Math.abs(y));
    dot += x * y;
    normA += x * x;
    normB += y * y;
  }
  const norms = Math.sqrt(normA) * Math.sqrt(normB);
  const cosine = norms > 0 ? dot / norms : normA === normB ? 1 : 0;
  return { outside, maxAbs, maxRel, cosine: Number.isNaN(cosine) ? 0 : cosine };
}
