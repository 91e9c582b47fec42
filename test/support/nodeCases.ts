/** The node test cases of the `onnx` Python package: one small model each, with the tensors that go in and come out. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../toolkit/graph/errors.js";
import { cloneGraph, type Dim, type Graph, opsetOf, typeOf } from "../../toolkit/graph/graph.js";
import { isOpaque, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, readTensor } from "../../toolkit/onnx/index.js";
import { foldConstants } from "../../toolkit/ops/fold.js";
import { ruleFor } from "../../toolkit/ops/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { RAISED_OPSET, raiseOpset } from "../../toolkit/ops/raiseOpset.js";
import { evaluateGraph } from "../../toolkit/runtime/evaluate.js";

export interface NodeCase {
  name: string;
  model: Graph;
  /** Operators of the model, `domain:` in front where that is not the default one. */
  ops: string[];
  /** The first data set; undefined where an input or output is no tensor (a sequence, an optional). */
  data?: { inputs: Map<string, Tensor>; outputs: Map<string, Tensor> };
}

/** What shape inference made of a case. */
export type ShapeVerdict =
  /** Type and every dimension are right: from the input shapes alone, or once the input values are known. */
  | { state: "right"; from: "shapes" | "constants" }
  /** Type, rank and the dimensions that inference gives are right; the others depend on values of an operator that picks by them. */
  | { state: "at run time" }
  | { state: "wrong"; detail: string }
  | { state: "no rule"; ops: string[] }
  | { state: "no tensors" };

/** What folding made of a case whose inputs are all constant. */
export type ValueVerdict =
  | { state: "right"; by: "rules" | "runtime" }
  | { state: "wrong"; detail: string }
  | { state: "not folded"; why: "no rule, or no tensors" | "never folded" | "no numbers" | "refused by the runtime" };

/** Names of the cases in a folder; a folder without any is refused. */
export function caseNames(folder: string): string[] {
  const names = readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, "model.onnx")))
    .sort();
  if (names.length === 0) throw new Error(`${folder} holds no case (a folder with model.onnx in it)`);
  return names;
}

/** Reads one case. Throws ModelError for files that are no ONNX. */
export function readCase(folder: string, name: string): NodeCase {
  const bytes = (file: string) => new Uint8Array(readFileSync(join(folder, name, file)));
  const model = readModel(bytes("model.onnx"), { where: name });
  const ops = [...new Set(model.nodes.map((n) => (n.domain ? `${n.domain}:${n.opType}` : n.opType)))].sort();
  const tensors = (kind: "input" | "output") =>
    new Map(
      model[`${kind}s`].map((v, i) => [v.name, readTensor(bytes(`test_data_set_0/${kind}_${i}.pb`)).tensor] as const),
    );
  const isTensor = [...model.inputs, ...model.outputs].every((v) => v.type.elemType !== "other");
  return { name, model, ops, ...(isTensor ? { data: { inputs: tensors("input"), outputs: tensors("output") } } : {}) };
}

/** Operators of a case that have no rule. */
export const withoutRule = (c: NodeCase): string[] => [
  ...new Set(c.model.nodes.filter((n) => !ruleFor(n, opsetOf(c.model, n.domain))).map((n) => n.opType)),
];

/** The model without what it says about shapes, so that nothing can be copied from there. */
function undeclared(g: Graph): Graph {
  return {
    ...cloneGraph(g),
    valueTypes: new Map(),
    outputs: g.outputs.map((v) => ({ name: v.name, type: { elemType: "other" } })),
  };
}

/** The model with its inputs as constants. */
function withConstants(g: Graph, inputs: ReadonlyMap<string, Tensor>): Graph {
  return { ...undeclared(g), inputs: [], initializers: new Map([...g.initializers, ...inputs]) };
}

/** Infers the shapes of a case and compares with its output tensors. `picks`: operators whose lengths depend on values. */
export function judgeShapes(c: NodeCase, picks: ReadonlySet<string>): ShapeVerdict {
  if (!c.data) return { state: "no tensors" };
  const ops = withoutRule(c);
  if (ops.length > 0) return { state: "no rule", ops };
  const { inputs, outputs } = c.data;
  const dims = Object.fromEntries([...inputs].map(([name, t]) => [name, t.dims]));
  const live = compareTypes(() => inferShapes(tidy(undeclared(c.model)), { inputs: dims }), outputs);
  if (live.state === "right") return { state: "right", from: "shapes" };
  if (live.state === "wrong") return { state: "wrong", detail: live.detail };
  const known = compareTypes(() => inferShapes(tidy(withConstants(c.model, inputs))), outputs);
  if (known.state === "right") return { state: "right", from: "constants" };
  if (known.state === "open" && c.ops.some((op) => picks.has(op))) return { state: "at run time" };
  return { state: "wrong", detail: known.detail };
}

/** What is inferred where every length above 1 is dynamic: equal lengths share a name. */
export type DynamicVerdict =
  /** All right: numbers, and names of the right lengths. */
  | { state: "right" }
  /** Nothing is wrong, but something is unknown or needs a value. */
  | { state: "open" }
  | { state: "wrong"; detail: string }
  | { state: "not judged" };

/** `judgeShapes` with dynamic dimensions. */
export function judgeDynamic(c: NodeCase): DynamicVerdict {
  if (!c.data || withoutRule(c).length > 0) return { state: "not judged" };
  const { inputs, outputs } = c.data;
  const name = (length: number): string => `length ${length}`;
  const g = undeclared(c.model);
  g.inputs = g.inputs.map((v) => {
    const { elemType, dims } = inputs.get(v.name)!;
    return { name: v.name, type: { elemType, dims: dims.map((d) => (d > 1 ? name(d) : d)) } };
  });
  const found = compareTypes(
    () => inferShapes(tidy(g)),
    outputs,
    (d, length) => d === length || d === name(length),
  );
  return found.state === "open" ? { state: "open" } : found;
}

type Comparison = { state: "right" } | { state: "open" | "wrong"; detail: string };

/** Open: nothing is wrong, but something is not known. */
function compareTypes(
  infer: () => Graph,
  expected: ReadonlyMap<string, Tensor>,
  fits: (d: Dim, length: number) => boolean = (d, length) => d === length,
): Comparison {
  let g: Graph;
  try {
    g = infer();
  } catch (e) {
    if (!(e instanceof ModelError)) throw e;
    return { state: e.code === "dynamic-dimension" ? "open" : "wrong", detail: e.message };
  }
  let open: Comparison | undefined;
  for (const [name, t] of expected) {
    const found = typeOf(g, name);
    const detail = `${name}: ${found?.elemType} [${found?.dims?.join() ?? "?"}], should be ${t.elemType} [${t.dims.join()}]`;
    const known = found?.dims?.map((d, axis) => (d === null ? undefined : fits(d, t.dims[axis])));
    if (found?.elemType !== t.elemType || known?.includes(false) || (known && known.length !== t.dims.length))
      return { state: "wrong", detail };
    if (!known || known.includes(undefined)) open ??= { state: "open", detail };
  }
  return open ?? { state: "right" };
}

/** Folds a case whose inputs are all constant and compares the values. */
export async function judgeValues(c: NodeCase): Promise<ValueVerdict> {
  if (!c.data || withoutRule(c).length > 0) return { state: "not folded", why: "no rule, or no tensors" };
  const constant = withConstants(c.model, c.data.inputs);
  // Folding leaves what makes a graph output where it is: outputs get a reader that may stay.
  const outputs = [...c.data.outputs].filter(([name]) => !constant.initializers.has(name));
  const ends = outputs.map(([name], i) => ({ name: `${name}/end${i}`, type: { elemType: "other" as const } }));
  constant.nodes = [
    ...constant.nodes,
    ...outputs.map(([name], i) => ({
      ...{ name: `end${i}`, opType: "Identity", domain: "", attributes: {} },
      ...{ inputs: [name], outputs: [ends[i].name] },
    })),
  ];
  constant.outputs = ends;
  let g: Graph;
  try {
    g = inferShapes(tidy(constant));
  } catch (e) {
    if (e instanceof ModelError) return { state: "wrong", detail: e.message };
    throw e;
  }
  const folded = (h: Graph): boolean => outputs.every((_, i) => h.initializers.has(sourceOf(h, ends[i].name)));
  const byRules = folded(g);
  const h = byRules ? g : await foldConstants(g, evaluateGraph);
  if (!folded(h)) return { state: "not folded", why: whyNot(h) };
  for (const [i, [name, expected]] of outputs.entries()) {
    const detail = difference(h.initializers.get(sourceOf(h, ends[i].name))!, expected);
    if (detail) return { state: "wrong", detail: `${name} by ${byRules ? "rules" : "the runtime"}: ${detail}` };
  }
  return { state: "right", by: byRules ? "rules" : "runtime" };
}

/** Why the first node that could be folded is still there. */
function whyNot(g: Graph): (ValueVerdict & { state: "not folded" })["why"] {
  const ready = g.nodes.find((n) => n.inputs.every((x) => x === "" || g.initializers.has(x)));
  if (!ready || ruleFor(ready, opsetOf(g, ready.domain))?.folds === false) return "never folded";
  const types = [...ready.inputs, ...ready.outputs]
    .filter((x) => x !== "")
    .map((x) => typeOf(g, x)?.elemType ?? "other");
  return types.some((t) => isOpaque(t) || t === "bfloat16") ? "no numbers" : "refused by the runtime";
}

/** What raising the operator set made of a case with constant inputs, run whole by the runtime before and after. */
export type RaisedVerdict = { state: "right" } | { state: "wrong"; detail: string } | { state: "not judged" };

/** Raises the operator set of a case and compares what the runtime gives. Cases that draw random numbers are not judged. */
export async function judgeRaised(c: NodeCase): Promise<RaisedVerdict> {
  const draws = c.model.nodes.some((n) => ruleFor(n, opsetOf(c.model, n.domain))?.folds === false);
  const opset = opsetOf(c.model);
  if (!c.data || draws || withoutRule(c).length > 0 || opset < 7 || opset >= RAISED_OPSET)
    return { state: "not judged" };
  let raised: Graph;
  const g = inferShapes(tidy(withConstants(c.model, c.data.inputs)));
  try {
    raised = inferShapes(raiseOpset(g));
  } catch (e) {
    if (e instanceof ModelError) return { state: "wrong", detail: e.message };
    throw e;
  }
  const [before, after] = [await evaluateGraph(g), await evaluateGraph(raised)];
  if (!before) return { state: "not judged" };
  for (const name of c.data.outputs.keys()) {
    const detail = after ? difference(after[name], before[name]) : "refused by the runtime";
    if (detail) return { state: "wrong", detail: `${name}: ${detail}` };
  }
  return { state: "right" };
}

const sourceOf = (g: Graph, end: string): string => g.nodes.find((n) => n.outputs[0] === end)?.inputs[0] ?? "";

/** What is different between two tensors, with the tolerance of the ONNX backend tests; undefined where nothing is. */
function difference(found: Tensor, expected: Tensor): string | undefined {
  if (found.elemType !== expected.elemType) return `${found.elemType}, should be ${expected.elemType}`;
  if (found.dims.join() !== expected.dims.join()) return `[${found.dims.join()}], should be [${expected.dims.join()}]`;
  if (isOpaque(expected.elemType)) return undefined;
  const [x, y] = [found, expected].map((t) => (Array.isArray(t.data) ? t.data : toNumbers(t)));
  const largest =
    typeof y[0] === "number" ? Math.max(...[...(y as Float64Array)].filter(Number.isFinite).map(Math.abs), 1) : 1;
  const relative = /float16$/.test(expected.elemType) ? 1e-2 : 1e-3;
  for (let i = 0; i < y.length; i++) {
    const [a, b] = [x[i], y[i]];
    if (Object.is(a, b) || a === b) continue;
    const near =
      typeof a === "number" && typeof b === "number" && Math.abs(a - b) <= 1e-6 * largest + relative * Math.abs(b);
    if (!near) return `element ${i} is ${a}, should be ${b}`;
  }
  return undefined;
}
