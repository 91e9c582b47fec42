/** Gradients through Quantize and Dequantize against the formulas of LSQ (Esser et al. 2020, equation 3), worked out here. */
import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { type Attribute, attr, cloneGraph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { differentiate } from "../../toolkit/train/index.js";
import { gaussian } from "../support/random.js";

interface Case {
  dims: number[];
  scale: number[];
  /** Undefined: one scale for all. */
  axis?: number;
  zeroPoint: Tensor;
  ends: [number, number];
}

const zeros = (n: number): Tensor => ({ elemType: "int8", dims: n === 0 ? [] : [n], data: new Int8Array(n || 1) });

const cases: Record<string, Case> = {
  "activation, one unsigned scale with a zero point": {
    dims: [4, 3, 5],
    scale: [0.02],
    zeroPoint: { elemType: "uint8", dims: [], data: Uint8Array.of(100) },
    ends: [0, 255],
  },
  "weight, a signed scale per output channel": {
    dims: [3, 4, 2, 2],
    scale: [0.01, 0.02, 0.1],
    axis: 0,
    zeroPoint: zeros(3),
    ends: [-128, 127],
  },
  "weight, a signed scale per column": {
    dims: [6, 4],
    scale: [0.01, 0.005, 0.1, 0.03],
    axis: 1,
    zeroPoint: zeros(4),
    ends: [-128, 127],
  },
};

describe.each(Object.entries(cases))("%s", (_, c) => {
  test("inputs and scales get the gradients of learned step sizes", async () => {
    const g = new GraphBuilder(emptyGraph("fake"));
    const x = g.input("x", c.dims);
    const s = g.input("s", c.axis === undefined ? [] : [c.scale.length]);
    const zero = g.initializer("zero", c.zeroPoint);
    const o: Record<string, Attribute> = c.axis === undefined ? {} : { axis: attr.int(c.axis) };
    const y = g.emit("DequantizeLinear", [g.emit("QuantizeLinear", [x, s, zero], o), s, zero], o);
    g.output(y);
    const types = inferShapes(g.graph);
    const b = new GraphBuilder(cloneGraph(types));
    const normal = gaussian(3);
    const size = c.dims.reduce((p, q) => p * q, 1);
    const values = Float32Array.from({ length: size }, () => 2 * normal());
    const seed = Float32Array.from({ length: size }, () => normal());
    const gradients = differentiate(b, types, new Map([[y, b.initializer("seed", floats(seed, c.dims))]]), ["x", "s"]);
    b.graph.outputs = [];
    for (const name of ["x", "s"]) b.output(b.identity(gradients.get(name)!, { out: `d${name}` }));
    const session = await openSession(b.graph);
    const seen = await session.run({
      x: floats(values, c.dims),
      s: floats(c.scale, c.axis === undefined ? [] : [c.scale.length]),
    });
    await session.dispose();

    const inner = c.axis === undefined ? size : c.dims.slice(c.axis + 1).reduce((p, q) => p * q, 1);
    const channel = (i: number): number => (c.axis === undefined ? 0 : Math.floor(i / inner) % c.scale.length);
    const zeroAt = toNumbers(c.zeroPoint);
    const dx = new Float64Array(size);
    const ds = new Float64Array(c.scale.length);
    let [inside, outside] = [0, 0];
    values.forEach((v, i) => {
      const k = channel(i);
      const real = v / c.scale[k];
      const [low, high] = c.ends.map((e) => e - zeroAt[k % zeroAt.length]);
      if (real <= low - 0.5) ds[k] += seed[i] * low;
      else if (real >= high + 0.5) ds[k] += seed[i] * high;
      else {
        dx[i] = seed[i];
        ds[k] += seed[i] * (Math.round(real) - real);
      }
      if (dx[i] === 0) outside++;
      else inside++;
    });
    expect(Math.min(inside, outside)).toBeGreaterThan(3);
    // Adding 0 turns -0 into 0.
    expect([...toNumbers(seen.dx)].map((v) => v + 0)).toEqual([...dx]);
    const peak = Math.max(...ds.map(Math.abs));
    toNumbers(seen.ds).forEach((v, k) => {
      expect(Math.abs(v - ds[k])).toBeLessThan(1e-3 * peak);
    });
  });
});
