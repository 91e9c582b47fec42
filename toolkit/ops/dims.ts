/** Arithmetic on shapes whose dimensions may be symbolic: broadcasting, products, element counts, axis numbering. */
import { ModelError } from "../graph/errors.js";
import { at, attrInts, type Dim, type OpNode, type ValueType } from "../graph/graph.js";
import { type Tensor, toNumberArray } from "../graph/tensor.js";
import type { ShapeContext } from "./rule.js";

/** Type of an input that the operator cannot do without. Throws ModelError when it is absent. */
export function inputType(n: OpNode, c: ShapeContext, i: number): ValueType {
  const t = c.input(i);
  if (!t) throw new ModelError("missing-input", `${at(n)} lacks its input ${i}`, { where: at(n) });
  return t;
}

/** Dims of an input whose rank must be known. Throws ModelError. */
export function inputDims(n: OpNode, c: ShapeContext, i: number): readonly Dim[] {
  const { dims } = inputType(n, c, i);
  if (!dims) throw unknownDimension(n, `the rank of input "${n.inputs[i]}"`);
  return dims;
}

/** Throws ModelError where input `i` is known to be no vector of as many elements as there are channels. */
export function checkPerChannel(n: OpNode, c: ShapeContext, i: number, channels: Dim): void {
  const dims = c.input(i)?.dims;
  if (
    !dims ||
    (dims.length === 1 && (typeof dims[0] !== "number" || typeof channels !== "number" || dims[0] === channels))
  )
    return;
  throw new ModelError(
    "channels-mismatch",
    `${at(n)} has ${channels ?? "some"} channels, but its input ${i} has dims [${dims.join(", ")}]`,
    {
      where: at(n),
    },
  );
}

/** The error of a rule that cannot go on without a number; inference adds the flag that supplies it. */
export function unknownDimension(n: OpNode, what: string): ModelError {
  return new ModelError("dynamic-dimension", `${at(n)} needs ${what}, which is dynamic`, { where: at(n) });
}

/** `dims` as numbers. Throws ModelError naming `what` when one is dynamic. */
export function staticDims(n: OpNode, dims: readonly Dim[], what: string): number[] {
  return dims.map((d) => {
    if (typeof d !== "number") throw unknownDimension(n, `${what}${d === null ? "" : ` (dimension "${d}")`}`);
    return d;
  });
}

/** An axis counted from the front. Throws ModelError when it lies outside the rank. */
export function axisOf(n: OpNode, axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(a) || a < 0 || a >= Math.max(rank, 1)) {
    throw new ModelError("axis-range", `${at(n)}: axis ${axis} does not exist in a value of rank ${rank}`, {
      where: at(n),
    });
  }
  return a;
}

/** A position on an axis, counted from its front. Throws ModelError when it lies outside. */
export function positionOf(n: OpNode, index: number, length: number): number {
  const p = index < 0 ? index + length : index;
  if (p < 0 || p >= length)
    throw new ModelError("index-range", `${at(n)}: index ${index} is outside an axis of ${length}`, { where: at(n) });
  return p;
}

/**
 * Checks indices that name one element each on `axis` of a value and elsewhere stand at their own place: equal ranks, and no
 * longer than the value on the other axes. Throws ModelError naming both numbers.
 */
export function checkElementIndices(n: OpNode, x: readonly Dim[], indices: readonly Dim[], axis: number): void {
  const wrong = (what: string) => new ModelError("shape-mismatch", `${at(n)}: ${what}`, { where: at(n) });
  if (x.length !== indices.length) throw wrong(`indices of rank ${indices.length} for a value of rank ${x.length}`);
  indices.forEach((d, k) => {
    const length = x[k];
    if (k !== axis && typeof d === "number" && typeof length === "number" && d > length)
      throw wrong(`${d} indices on axis ${k}, which is ${length} long`);
  });
}

/** An integer list that is an attribute in older operator sets and input `i` in newer ones; undefined when absent. */
export function intsOf(n: OpNode, name: string, constant: Tensor | undefined): readonly number[] | undefined {
  return attrInts(n, name) ?? (constant ? toNumberArray(constant) : undefined);
}

/** Like `intsOf` with the constant of an optional input: throws ModelError when that input is there but not constant. */
export function constantInts(n: OpNode, c: ShapeContext, name: string, i: number): readonly number[] | undefined {
  const list = intsOf(n, name, c.constant(i));
  if (!list && n.inputs[i]) throw unknownDimension(n, `the value of "${n.inputs[i]}" (${name})`);
  return list;
}

function broadcastDim(n: OpNode, a: Dim, b: Dim): Dim {
  if (a === b) return a;
  if (a === 1) return b;
  if (b === 1) return a;
  if (typeof a === "number" && typeof b === "number") {
    throw new ModelError("shape-mismatch", `${at(n)}: dimensions ${a} and ${b} cannot be broadcast together`, {
      where: at(n),
    });
  }
  // A dynamic dimension beside a number greater than one must be that number (or 1) for the model to run at all.
  if (typeof a === "number") return a;
  if (typeof b === "number") return b;
  return null;
}

/** NumPy-style broadcast of several shapes; undefined when a rank is unknown. Throws ModelError naming both numbers. */
export function broadcastDims(n: OpNode, shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined {
  let out: Dim[] = [];
  for (const s of shapes) {
    if (!s) return undefined;
    const rank = Math.max(out.length, s.length);
    const next: Dim[] = [];
    for (let k = 0; k < rank; k++) {
      const a = k - (rank - out.length);
      const b = k - (rank - s.length);
      next.push(a < 0 ? s[b] : b < 0 ? out[a] : broadcastDim(n, out[a], s[b]));
    }
    out = next;
  }
  return out;
}

/** A product of dimensions: a number times a bag of symbols; null when a factor is unknown. */
export interface Product {
  factor: number;
  symbols: readonly string[];
}

/** Product of dims. */
export function productOf(dims: readonly Dim[]): Product | null {
  let factor = 1;
  const symbols: string[] = [];
  for (const d of dims) {
    if (d === null) return null;
    if (typeof d === "number") factor *= d;
    else symbols.push(d);
  }
  return { factor, symbols: symbols.sort() };
}

/** A product as one dimension: null when it mixes a number and a symbol. */
export function asDim(p: Product | null): Dim {
  if (!p) return null;
  if (p.symbols.length === 0) return p.factor;
  return p.symbols.length === 1 && p.factor === 1 ? p.symbols[0] : null;
}

/** a / b where symbols cancel; null when that leaves something unknown, undefined when the numbers do not divide. */
export function divide(a: Product | null, b: Product | null): Product | null | undefined {
  if (!a || !b) return null;
  const rest = [...a.symbols];
  for (const s of b.symbols) {
    const i = rest.indexOf(s);
    if (i < 0) return null;
    rest.splice(i, 1);
  }
  if (b.factor === 0 || a.factor % b.factor !== 0) return undefined;
  return { factor: a.factor / b.factor, symbols: rest };
}

/** Applies `f` where the dimension is a number; a dynamic one stays unknown. */
export const mapDim = (d: Dim, f: (v: number) => number): Dim => (typeof d === "number" ? f(d) : null);

/** Sum of dimensions; unknown when one is. */
export function sumDims(dims: readonly Dim[]): Dim {
  if (dims.length === 1) return dims[0];
  let total = 0;
  for (const d of dims) {
    if (typeof d !== "number") return null;
    total += d;
  }
  return total;
}
