import { expect, test } from "vitest";
import { cloneGraph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";
import { type ImageBatch, observe, prepareForQuantization } from "../../toolkit/quantize/index.js";
import { valuesToObserve, weightOfCall } from "../../toolkit/quantize/ranges.js";
import { Shares } from "../../toolkit/quantize/shares.js";
import { stepsFor, strideFor, summaryGraph } from "../../toolkit/quantize/summaries.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { batches, conv3, images, net, noise } from "./support.js";

/** Maps of 64 x 64 with 8 channels: 32,768 elements per image, thinned from two images on. */
const wide = prepareForQuantization(
  net(["N", 3, 64, 64], (g, x) => g.relu(conv3(g, g.relu(conv3(g, x, 3, 8, 1)), 8, 8, 2))),
);

/** A residual block: values of either sign, rectified ones, and a dense layer on the pooled map. */
const residual = prepareForQuantization(
  net(["N", 3, 64, 64], (g, x) => {
    const y = g.relu(conv3(g, x, 3, 8, 1));
    const z = g.relu(g.add(y, conv3(g, g.relu(conv3(g, y, 8, 8, 2)), 8, 8, 3)));
    return g.emit("Gemm", [
      g.emit("Flatten", [g.emit("GlobalAveragePool", [z])]),
      g.initializer("fc", noise([8, 5], 9)),
    ]);
  }),
);

test.each([
  ["a chain", wide, 4],
  ["a residual block", residual, 4],
  ["a residual block, one image", residual, 1],
])("the runtime's summary is that of the whole map: %s", async (_, g, count) => {
  const values = valuesToObserve(g).filter((v) => v !== "x");
  const batch = images([count, 3, 64, 64]);
  const feeds = { x: floats(batch.data, batch.dims) };
  const exposed = cloneGraph(g);
  exposed.outputs = values.map((name) => ({ name, type: { elemType: "float32" } }));
  const whole = await withSession(exposed, { threads: 1 }, (s) => s.run(feeds));
  for (const sampled of [true, false]) {
    const summaries = summaryGraph(g, values, count, sampled);
    const results = await withSession(summaries.graph, { threads: 1 }, (s) => s.run(feeds));
    for (const [i, { min, max, finite, sample }] of summaries.read(results, count).entries()) {
      const all = whole[values[i]].data as Float32Array;
      expect(finite).toBe(true);
      const least = all.reduce((a, b) => Math.min(a, b));
      // Below a rectifier nothing is looked for: its bound stands for the smallest element.
      expect(min).toBeLessThanOrEqual(least + 1e-6);
      expect(min).toBeGreaterThan(Math.min(0, least) - 1e-5);
      const most = all.reduce((a, b) => Math.max(a, b));
      expect(max).toBeCloseTo(most, 5);
      const map = whole[values[i]].dims.length === 4 && whole[values[i]].dims[2] > 1;
      if (!sampled && map) expect(sample).toHaveLength(0);
      else expect(sample).toEqual(expectedSample(whole[values[i]]));
    }
  }
});

/** The elements that are sampled, picked one by one. */
function expectedSample({ data, dims }: Tensor): Float32Array {
  const all = data as Float32Array;
  const [, , height, width] = dims;
  if (dims.length !== 4 || height * width < 2) return all;
  const [down, across] = stepsFor(all.length, height, width);
  return all.filter((_, i) => (Math.floor(i / width) % height) % down === 0 && (i % width) % across === 0);
}

test("steps through a map are odd and thin it to what a histogram needs", () => {
  for (const [length, height, width] of [
    [4 * 16 * 32 * 32, 32, 32],
    [8 * 64 * 8 * 8, 8, 8],
    [24 * 240 * 320, 240, 320],
    [512 * 1 * 900, 1, 900],
    [100, 10, 10],
  ]) {
    const [down, across] = stepsFor(length, height, width);
    expect(down % 2).toBe(1);
    expect(across % 2).toBe(1);
    expect(down).toBeLessThanOrEqual(height);
    expect(across).toBeLessThanOrEqual(width);
    expect(length / (down * across)).toBeLessThanOrEqual(1.5 * 16384);
    if (length > 16384) expect(length / (down * across)).toBeGreaterThan(5000);
  }
});

test("of later calls fewer are sampled, and those count for the others", () => {
  const weights = Array.from({ length: 1000 }, (_, call) => weightOfCall(call, 16));
  expect(weights.slice(0, 31)).toEqual(new Array(31).fill(1));
  for (const calls of [31, 63, 127, 255, 511])
    expect(weights.slice(0, calls).reduce((a, b) => a + b, 0)).toBeCloseTo(calls, -0.5);
  expect(weights.filter((w) => w > 0).length).toBeLessThan(130);
});

test.each([
  ["in front of a convolution of step 1", "first"],
  ["behind a sum", "sum"],
])("a NaN that appears %s, deep in the net, is noticed and counted", async (_, where) => {
  const spoiled = net(["N", 3, 64, 64], (g, x) => {
    const bad = (v: string): string => g.add(v, g.initializer(`bad_${v}`, oneNaN(8)));
    const y = g.relu(conv3(g, x, 3, 8, 1));
    const z = conv3(g, where === "first" ? g.relu(bad(conv3(g, y, 8, 8, 2))) : g.relu(conv3(g, y, 8, 8, 2)), 8, 8, 3);
    const sum = g.relu(where === "sum" ? bad(g.add(y, z)) : g.add(y, z));
    return conv3(g, sum, 8, 4, 4);
  });
  const seen = await observe(prepareForQuantization(spoiled), batches(images([4, 3, 64, 64])));
  const bad = [...seen.observers.values()].filter((o) => o.nonFinite > 0);
  expect(bad.length).toBeGreaterThan(0);
  for (const o of seen.observers.values()) expect(Number.isFinite(o.max)).toBe(true);
});

function oneNaN(channels: number): Tensor {
  const data = new Float32Array(channels * 64 * 64);
  data[5000] = Number.NaN;
  return floats(data, [1, channels, 64, 64]);
}

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
    expect(length / stride).toBeGreaterThan(10000);
    expect(length / stride).toBeLessThanOrEqual(35000);
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
