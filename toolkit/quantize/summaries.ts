/**
 * A float graph that gives, for every value that is watched, what a histogram needs of one call and no more: smallest and largest
 * element, a sum that betrays NaN and infinity, and every so-manieth element. Whole maps would have to be kept until the end
 * of the call, copied out, and searched outside the runtime.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { attr, cloneGraph, type Graph, typeOf } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";

/** Elements of a value that one call adds to its histogram: half a million over sixteen calls, enough for the 99.99th percentile. */
const SAMPLED = 32768;

/** One call's view of one value. */
export interface Summary {
  min: number;
  max: number;
  /** False where some element is NaN or infinite; then the rest says nothing. */
  finite: boolean;
  sample: Float32Array;
}

export interface SummaryGraph {
  graph: Graph;
  /** What the results of a call say of a value. */
  of(value: string, results: Record<string, Tensor>): Summary;
}

/** Stride that thins `length` elements to about `SAMPLED` and, sharing no factor with it, keeps no step with rows or channels. */
export function strideFor(length: number): number {
  const sharesFactor = (a: number, b: number): boolean => (b === 0 ? a !== 1 : sharesFactor(b, a % b));
  let stride = Math.max(1, Math.floor(length / SAMPLED));
  while (stride > 1 && sharesFactor(length, stride)) stride++;
  return stride;
}

/** @param images per call, at which values have the length that decides how they are thinned */
export function summaryGraph(g: Graph, values: readonly string[], images: number): SummaryGraph {
  const b = new GraphBuilder(cloneGraph(g));
  b.graph.outputs = [];
  const parts = new Map<string, { min: Ref; max: Ref; sum: Ref; sample: Ref }>();
  for (const value of values) {
    const dims = typeOf(g, value)?.dims ?? [];
    const item = dims.slice(1).reduce<number>((a, d) => a * (typeof d === "number" ? d : 1), 1);
    const stride = strideFor(item * (typeof dims[0] === "number" ? dims[0] : images));
    if (stride === 1) {
      b.output(value);
      continue;
    }
    const keepdims = { keepdims: attr.int(0) };
    const all = b.reshape(value, [-1]);
    const found = {
      min: b.emit("ReduceMin", [value], keepdims),
      max: b.emit("ReduceMax", [value], keepdims),
      sum: b.emit("ReduceSum", [value], keepdims),
      sample: b.emit("Slice", [all, b.ints([0]), b.ints([Number.MAX_SAFE_INTEGER]), b.ints([0]), b.ints([stride])]),
    };
    for (const part of Object.values(found)) b.output(part);
    parts.set(value, found);
  }
  return {
    graph: b.graph,
    of(value, results) {
      const part = parts.get(value);
      if (!part) return summaryOf(results[value].data as Float32Array);
      const [min, max, sum] = [part.min, part.max, part.sum].map((ref) => Number(results[ref].data[0]));
      // A sum may overflow without any element being infinite: the caller then looks at all of them.
      const finite = Number.isFinite(min) && Number.isFinite(max) && Number.isFinite(sum);
      return { min, max, finite, sample: results[part.sample].data as Float32Array };
    },
  };
}

/** The view of elements that are at hand. */
export function summaryOf(data: Float32Array): Summary {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let numbers = true;
  for (let i = 0; i < data.length; i++) {
    const v = data[i];
    if (v < min) min = v;
    if (v > max) max = v;
    if (Number.isNaN(v)) numbers = false;
  }
  return { min, max, finite: numbers && Number.isFinite(min) && Number.isFinite(max), sample: data };
}
