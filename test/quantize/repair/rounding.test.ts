import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder, type Ref } from "../../../toolkit/graph/builder.js";
import { attr, cloneGraph, type Graph } from "../../../toolkit/graph/graph.js";
import { floats, sizeOf, type Tensor, toNumbers } from "../../../toolkit/graph/tensor.js";
import { prepareForQuantization, type WeightGrid } from "../../../toolkit/quantize/index.js";
import { type RoundingMethod, roundWeights } from "../../../toolkit/quantize/repair/index.js";
import { metricOf, nearest, type Row, roundRow, rowError } from "../../../toolkit/quantize/repair/lattice.js";
import { openSession } from "../../../toolkit/runtime/session.js";
import { noise } from "../support.js";

/** Moments of correlated inputs: X X' for X = mixing * noise. */
function moments(width: number, seed: number): Float64Array {
  const mix = noise([width, width], seed).data as Float32Array;
  const out = new Float64Array(width * width);
  for (let i = 0; i < width; i++)
    for (let j = 0; j < width; j++)
      for (let k = 0; k < width; k++) out[i * width + j] += mix[i * width + k] * mix[j * width + k];
  return out;
}

function rowOf(width: number, seed: number, limit: number): Row {
  return {
    weights: Float64Array.from(noise([width], seed).data as Float32Array, (v) => v * limit),
    scales: new Float64Array(width).fill(1),
    limit,
  };
}

describe("second-order rounding of a row", () => {
  test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
    "finds the best of all integers in a small box (seed %i)",
    (seed) => {
      const width = 4;
      const limit = 3;
      const m = metricOf(moments(width, seed), width, 0);
      const r = rowOf(width, seed + 500, limit);
      let least = Number.POSITIVE_INFINITY;
      const sides = 2 * limit + 1;
      for (let k = 0; k < sides ** width; k++) {
        const codes = Int8Array.from({ length: width }, (_, i) => (Math.floor(k / sides ** i) % sides) - limit);
        least = Math.min(least, rowError(m, r, codes));
      }
      expect(rowError(m, r, roundRow(m, r))).toBeCloseTo(least, 9);
    },
  );

  test("is never worse than the nearest integers, and clearly better where inputs are correlated", () => {
    let [before, after] = [0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const m = metricOf(moments(40, seed), 40, 0.01);
      const r = rowOf(40, seed + 50, 100);
      const [plain, better] = [rowError(m, r, nearest(r)), rowError(m, r, roundRow(m, r))];
      expect(better).toBeLessThanOrEqual(plain);
      before += plain;
      after += better;
    }
    expect(after).toBeLessThan(0.6 * before);
  });

  test("uncorrelated inputs leave nothing to gain", () => {
    const identity = Float64Array.from({ length: 64 }, (_, k) => (k % 9 === 0 ? 1 : 0));
    const m = metricOf(identity, 8, 0);
    const r = rowOf(8, 3, 100);
    expect(roundRow(m, r)).toEqual(nearest(r));
  });

  test("dead columns and weights beyond the limit are survived", () => {
    const products = moments(6, 2).map((v, k) => (k % 6 === 2 || Math.floor(k / 6) === 2 ? 0 : v));
    const m = metricOf(products, 6, 0.01);
    const r = { ...rowOf(6, 4, 5), weights: Float64Array.of(9, -9, 1.4, 0, 2.5, -3.2) };
    const codes = roundRow(m, r);
    expect(Math.max(...codes.map(Math.abs))).toBeLessThanOrEqual(5);
    expect(rowError(m, r, codes)).toBeLessThanOrEqual(rowError(m, r, nearest(r)));
  });
});

function layerNet(body: (g: GraphBuilder, x: Ref) => Ref, dims: readonly (number | string)[]): Graph {
  const g = new GraphBuilder(emptyGraph("layer"));
  const x = g.input("x", dims);
  g.output(body(g, x));
  return prepareForQuantization(g.graph);
}

const convNet = (inputs: number, outputs: number, group: number, kernel: number): Graph =>
  layerNet(
    (g, x) => {
      const w = g.initializer("w", noise([outputs, inputs / group, kernel, kernel], 7));
      return g.conv(x, w, g.initializer("b", noise([outputs], 8)), { pads: [1, 1, 1, 1], group, strides: [2, 2] });
    },
    ["N", inputs, 10, 10],
  );

const dense = (transB: number): Graph =>
  layerNet(
    (g, x) =>
      g.emit("Gemm", [x, g.initializer("w", noise(transB ? [9, 24] : [24, 9], 7))], { transB: attr.int(transB) }),
    ["N", 24],
  );

/** Images whose neighbouring pixels and channels resemble each other. */
function smooth(dims: readonly number[], seed: number): Tensor {
  const data = (noise(dims, seed).data as Float32Array).slice();
  for (let i = 1; i < data.length; i++) data[i] = 0.8 * data[i - 1] + 0.3 * data[i];
  return floats(
    data.map((v) => v + 0.3),
    dims,
  );
}

const cases: Record<string, { g: Graph; dims: readonly number[]; axis: number }> = {
  convolution: { g: convNet(6, 5, 1, 3), dims: [8, 6, 10, 10], axis: 0 },
  "grouped convolution": { g: convNet(6, 9, 3, 3), dims: [8, 6, 10, 10], axis: 0 },
  "depthwise convolution": { g: convNet(6, 6, 6, 3), dims: [8, 6, 10, 10], axis: 0 },
  "depthwise convolution with a multiplier": { g: convNet(6, 12, 6, 3), dims: [8, 6, 10, 10], axis: 0 },
  "Gemm, outputs first": { g: dense(1), dims: [64, 24], axis: 0 },
  "Gemm, inputs first": { g: dense(0), dims: [64, 24], axis: 1 },
};

/** Coarse steps, so that rounding matters. */
function gridOf(w: Tensor, axis: number | null): WeightGrid {
  const values = toNumbers(w);
  const inner = axis === null ? 1 : sizeOf(w.dims.slice(axis + 1));
  const scale = new Float32Array(axis === null ? 1 : w.dims[axis]);
  values.forEach((v, i) => {
    const c = axis === null ? 0 : Math.floor(i / inner) % w.dims[axis];
    scale[c] = Math.max(scale[c], Math.abs(v) / 6);
  });
  return { scale, axis, bits: 8 };
}

/** Sum of squared output errors, per output channel, measured by running the net with rounded weights. */
async function outputErrors(g: Graph, grid: WeightGrid, codes: Int8Array, x: Tensor): Promise<Float64Array> {
  const w = g.initializers.get("w")!;
  const inner = grid.axis === null ? 1 : sizeOf(w.dims.slice(grid.axis + 1));
  const rounded = cloneGraph(g);
  const stepOf = (i: number): number => grid.scale[grid.axis === null ? 0 : Math.floor(i / inner) % w.dims[grid.axis]];
  rounded.initializers.set(
    "w",
    floats(
      Float32Array.from(codes, (q, i) => q * stepOf(i)),
      w.dims,
    ),
  );
  const run = async (graph: Graph): Promise<Tensor> => {
    const session = await openSession(graph, { threads: 1 });
    try {
      return (await session.run({ x }))[graph.outputs[0].name];
    } finally {
      await session.dispose();
    }
  };
  const [a, b] = [await run(g), await run(rounded)];
  const [p, q] = [toNumbers(a), toNumbers(b)];
  const channels = a.dims[1];
  const area = sizeOf(a.dims.slice(2));
  const sums = new Float64Array(channels);
  p.forEach((v, i) => {
    sums[Math.floor(i / area) % channels] += (v - q[i]) ** 2;
  });
  return sums;
}

const total = (v: Float64Array): number => v.reduce((a, b) => a + b, 0);

describe.each(Object.entries(cases))("rounding of a %s", (_, { g, dims, axis }) => {
  const x = smooth(dims, 3);
  const w = g.initializers.get("w")!;
  // All positions are taken, so that the moments are those of the outputs that are compared.
  const settings = { batches: [x], positions: 10000, damping: 1e-6 };

  test.each<[RoundingMethod, number | null]>([
    ["gptq", axis],
    ["gptq", null],
    ["adaround", axis],
    ["adaround", null],
  ])("%s with scales along %s beats the nearest integers in every output channel", async (method, along) => {
    const grid = gridOf(w, along);
    const plan = new Map([["w", grid]]);
    const plain = (await roundWeights(g, plan, { ...settings, method: "nearest" })).get("w")!;
    const better = (await roundWeights(g, plan, { ...settings, method })).get("w")!;
    const [before, after] = [await outputErrors(g, grid, plain, x), await outputErrors(g, grid, better, x)];
    after.forEach((e, c) => {
      expect(e).toBeLessThanOrEqual(before[c] * (1 + 1e-4) + 1e-9);
    });
    expect(total(after)).toBeLessThan(0.6 * total(before));
  });
});

test("moments of inputs on their grid, centred moments, 7 bits", async () => {
  const { g, dims } = cases.convolution;
  const x = smooth(dims, 3);
  const grid = { ...gridOf(g.initializers.get("w")!, 0), bits: 7 as const };
  grid.scale = grid.scale.map((s) => s / 20);
  const codes = (
    await roundWeights(g, new Map([["w", grid]]), {
      batches: [x],
      method: "gptq",
      biasCorrected: true,
      grids: new Map([["x", { scale: 0.05, zeroPoint: 100, type: "uint8" }]]),
    })
  ).get("w")!;
  // Weights of 6 * 20 steps do not fit into 7 bits and are cut off.
  expect(Math.max(...codes.map(Math.abs))).toBe(64);
});

test("a weight without a matrix view is rounded to the nearest", async () => {
  const g = layerNet(
    (b, x) => b.emit("ConvTranspose", [x, b.initializer("w", noise([4, 3, 2, 2], 5))], { strides: attr.ints([2, 2]) }),
    ["N", 4, 5, 5],
  );
  const w = g.initializers.get("w")!;
  const grid = gridOf(w, 1);
  const codes = (
    await roundWeights(g, new Map([["w", grid]]), { batches: [smooth([2, 4, 5, 5], 1)], method: "gptq" })
  ).get("w")!;
  expect([...codes]).toEqual([...toNumbers(w)].map((v, i) => Math.round(v / grid.scale[Math.floor(i / 4) % 3]) || 0));
});
