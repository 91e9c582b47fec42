/** Runs an imported model at both ends of ONNX Runtime's optimisation, and compares. */
import { expect } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { fromNumbers, type Tensor, toNumberArray } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { uniform } from "../support/graphs.js";
import type { TensorSpec } from "./build.js";
import { type Numbers, numbers } from "./reference.js";

/** Uneven numbers in [low, high]. */
export function random(dims: readonly number[], seed: number, low = -1, high = 1): Numbers {
  const next = uniform(seed);
  const data = Array.from({ length: dims.reduce((a, d) => a * d, 1) }, () => Math.fround(low + next() * (high - low)));
  return numbers(dims, data);
}

/** A float32 tensor of the file; `data` makes it a constant. */
export const float = (name: string, dims: readonly number[], data?: readonly number[]): TensorSpec => ({
  name,
  type: "FLOAT32",
  dims,
  ...(data ? { data } : {}),
});

/** A constant float32 tensor. */
export const constant = (name: string, x: Numbers): TensorSpec => float(name, x.dims, x.data);

/** A constant int32 vector, or a scalar for a number. */
export const int32s = (name: string, v: number | readonly number[]): TensorSpec =>
  typeof v === "number"
    ? { name, type: "INT32", dims: [], data: [v] }
    : { name, type: "INT32", dims: [v.length], data: v };

/** Runs the graph with inputs in their order; all of them as the graph declares them. */
export async function runOn(g: Graph, inputs: readonly Numbers[], level: "disabled" | "all"): Promise<Tensor[]> {
  const feeds = Object.fromEntries(
    g.inputs.map((v, i) => [v.name, fromNumbers(v.type.elemType, inputs[i].data, inputs[i].dims)]),
  );
  return withSession(g, { level, threads: 1 }, async (s) => {
    const out = await s.run(feeds);
    return g.outputs.map((v) => out[v.name]);
  });
}

/** The graph keeps every invariant, has inferable shapes, and gives the wanted outputs within `step` at both levels. */
export async function expectOutputs(
  g: Graph,
  inputs: readonly Numbers[],
  wanted: readonly Numbers[],
  step = 1e-5,
): Promise<void> {
  checkGraph(g);
  inferShapes(g);
  for (const level of ["disabled", "all"] as const) {
    const found = await runOn(g, inputs, level);
    for (const [i, t] of found.entries()) {
      expect(t.dims, `dims of output ${i}, ${level}`).toEqual(wanted[i].dims);
      const values = toNumberArray(t);
      const scale = Math.max(1, ...wanted[i].data.map(Math.abs));
      let worst = 0;
      for (const [k, v] of values.entries()) worst = Math.max(worst, Math.abs(v - wanted[i].data[k]));
      expect(worst, `output ${i}, ${level}`).toBeLessThanOrEqual(step * (step < 1 ? scale : 1));
    }
  }
}

/** Operators of the graph in their order. */
export const opsOf = (g: Graph): string[] => g.nodes.map((n) => n.opType);
