import { expect, test } from "vitest";
import { cloneGraph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { type ImageBatch, observe, prepareForQuantization } from "../../toolkit/quantize/index.js";
import { valuesToObserve } from "../../toolkit/quantize/ranges.js";
import { Shares } from "../../toolkit/quantize/shares.js";
import { strideFor, summaryGraph } from "../../toolkit/quantize/summaries.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { batches, conv3, images, net } from "./support.js";

/** Maps of 64 x 64 with 8 channels: 32,768 elements per image, thinned from two images on. */
const wide = prepareForQuantization(
  net(["N", 3, 64, 64], (g, x) => g.relu(conv3(g, g.relu(conv3(g, x, 3, 8, 1)), 8, 8, 2))),
);

test("the runtime's summary is that of the whole map", async () => {
  const values = valuesToObserve(wide).filter((v) => v !== "x");
  const count = 4;
  const batch = images([count, 3, 64, 64]);
  const feeds = { x: floats(batch.data, batch.dims) };
  const summaries = summaryGraph(wide, values, count);
  const results = await withSession(summaries.graph, { threads: 1 }, (s) => s.run(feeds));
  const exposed = cloneGraph(wide);
  exposed.outputs = values.map((name) => ({ name, type: { elemType: "float32" } }));
  const whole = await withSession(exposed, { threads: 1 }, (s) => s.run(feeds));
  for (const v of values) {
    const all = whole[v].data as Float32Array;
    const { min, max, finite, sample } = summaries.of(v, results);
    expect(finite).toBe(true);
    expect(min).toBeCloseTo(
      all.reduce((a, b) => Math.min(a, b)),
      6,
    );
    expect(max).toBeCloseTo(
      all.reduce((a, b) => Math.max(a, b)),
      6,
    );
    const stride = strideFor(all.length);
    expect(stride).toBeGreaterThan(1);
    expect(sample.length).toBe(Math.ceil(all.length / stride));
    sample.forEach((e, i) => {
      if (Math.abs(e - all[i * stride]) > 1e-5) throw new Error(`element ${i} of ${v}: ${e}, not ${all[i * stride]}`);
    });
  }
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "one %f among a hundred thousand elements is found and counted",
  async (bad) => {
    const batch = images([4, 3, 64, 64]);
    batch.data[20000] = bad;
    const seen = await observe(wide, batches(batch, images([4, 3, 64, 64], 2)));
    expect(seen.observers.get("x")!.nonFinite).toBe(1);
    expect(seen.images).toBe(8);
    for (const o of seen.observers.values()) expect(Number.isFinite(o.max)).toBe(true);
  },
);

test("strides share no factor with the length, so that they walk through every channel", () => {
  for (const length of [32 * 16 * 32 * 32, 32 * 64 * 64, 1_000_000, 524_288]) {
    const stride = strideFor(length);
    const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
    expect(gcd(length, stride)).toBe(1);
    expect(length / stride).toBeGreaterThan(20000);
    expect(length / stride).toBeLessThanOrEqual(70000);
  }
});

const numbered = (from: number, count: number): ImageBatch => ({
  data: Float32Array.from({ length: count }, (_, i) => from + i),
  dims: [count, 1],
});

async function dealt(shares: Shares, ahead: boolean): Promise<{ calibration: number[]; held: number[] }> {
  if (ahead) await shares.readAhead();
  const calibration: number[] = [];
  for await (const b of shares.calibration()) calibration.push(...b.data);
  return { calibration, held: shares.held.flatMap((b) => [...b.data]) };
}

test("reading ahead changes nothing: each image is dealt once, every fifth to the judges", async () => {
  const list = (): AsyncIterable<ImageBatch> => batches(...Array.from({ length: 30 }, (_, i) => numbered(i * 10, 10)));
  const plain = await dealt(new Shares(list(), 1), false);
  const ahead = await dealt(new Shares(list(), 1), true);
  expect(ahead).toEqual(plain);
  expect(plain.calibration).toHaveLength(240);
  expect(plain.held.every((v) => v % 5 === 4)).toBe(true);
  expect(new Set([...plain.calibration, ...plain.held]).size).toBe(240 + plain.held.length);
});

test("what is kept has a ceiling", async () => {
  const shares = new Shares(batches(...Array.from({ length: 200 }, (_, i) => numbered(i * 10, 10))), 1);
  const { held } = await dealt(shares, true);
  const kept = shares.kept.reduce((sum, b) => sum + b.dims[0], 0);
  expect(kept).toBeGreaterThanOrEqual(128);
  expect(kept).toBeLessThan(128 + 10);
  expect(held.length).toBeLessThan(128 + 10);
});
