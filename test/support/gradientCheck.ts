/** Generated gradients against central finite differences of the same graph, run by ONNX Runtime. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attr, cloneGraph, type Graph, type OpNode } from "../../toolkit/graph/graph.js";
import { fromNumbers, sizeOf, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { openSession, type Session } from "../../toolkit/runtime/session.js";
import { differentiate } from "../../toolkit/train/autodiff.js";

export interface GradientCase {
  name: string;
  /** Differentiated inputs. */
  inputs: Record<string, readonly number[]>;
  /** Emits the operator; may make constants. Returns the outputs that carry gradients. */
  build(g: GraphBuilder): Ref | Ref[];
  /** Values of an input: uniform in this range, default [-1, 1]; `spread` gives distinct values 0.1 apart in random order (for maxima). */
  values?: Record<string, readonly [number, number] | "spread">;
  /** Distance kept from these values, where the operator has a kink. */
  avoid?: readonly number[];
  opset?: number;
  /** Step of the differences in float32, where the runtime has no float64 kernel. Default 1e-2. */
  step?: number;
  /** Elements per input that are varied one by one. Default 40. */
  sampled?: number;
}

export interface GradientCheck {
  elemType: "float64" | "float32";
  /** input -> largest difference from the finite differences, relative to the largest gradient. */
  errors: Record<string, number>;
  /** input -> largest absolute gradient, to see that something was compared. */
  largest: Record<string, number>;
}

const DOUBLE = 11;
const FLOAT = 1;
/** Default of `sampled`. */
const SAMPLED = 40;

/** The graph with every float32 turned into float64. */
function inDouble(g: Graph): Graph {
  const out = cloneGraph(g);
  const widen = (t: Tensor): Tensor =>
    t.elemType === "float32" ? { ...t, elemType: "float64", data: Float64Array.from(toNumbers(t)) } : t;
  out.initializers = new Map([...g.initializers].map(([name, t]) => [name, widen(t)]));
  out.valueTypes = new Map();
  const value = (v: Graph["inputs"][number]) => ({
    ...v,
    type: { ...v.type, elemType: v.type.elemType === "float32" ? ("float64" as const) : v.type.elemType },
  });
  out.inputs = g.inputs.map(value);
  out.outputs = g.outputs.map(value);
  out.nodes = g.nodes.map((n): OpNode => {
    const attributes = Object.fromEntries(
      Object.entries(n.attributes).map(([k, a]) => {
        if (a.type === "tensor") return [k, attr.tensor(widen(a.value))];
        if (n.opType === "Cast" && k === "to" && a.type === "int" && a.value === FLOAT) return [k, attr.int(DOUBLE)];
        return [k, a];
      }),
    );
    return { ...n, attributes };
  });
  return out;
}

function valuesFor(c: GradientCase, name: string, random: () => number): Float64Array {
  const n = sizeOf(c.inputs[name]);
  const kind = c.values?.[name] ?? [-1, 1];
  if (kind === "spread") {
    const order = Array.from({ length: n }, (_, i) => i).sort(
      (a, b) => Math.sin(a * 12.9898 + 1) - Math.sin(b * 12.9898 + 1),
    );
    return Float64Array.from(order, (rank) => (rank - n / 2) * 0.1);
  }
  return Float64Array.from({ length: n }, () => {
    for (;;) {
      const v = kind[0] + (kind[1] - kind[0]) * random();
      // Kept as float32 so that both precisions see the same numbers.
      if (!(c.avoid ?? []).some((a) => Math.abs(v - a) < 0.05)) return Math.fround(v);
    }
  });
}

async function tryDouble(g: Graph): Promise<Session | undefined> {
  try {
    return await openSession(inDouble(g));
  } catch (e) {
    // No float64 kernel for some operator of the graph: the float32 graph is checked instead.
    if ((e as { code?: string }).code === "runtime") return undefined;
    throw e;
  }
}

/** Compares all (or `SAMPLED` evenly spread) elements of every input's gradient of sum(outputs * random weights). */
export async function checkGradient(c: GradientCase): Promise<GradientCheck> {
  const generator = xoroshiro128plus(7);
  const random = (): number => uniformFloat64(generator);
  const forward = new GraphBuilder(emptyGraph("case", c.opset ?? 17));
  for (const [name, dims] of Object.entries(c.inputs)) forward.input(name, dims);
  const outputs = [c.build(forward)].flat();
  for (const y of outputs) forward.output(y);
  const types = inferShapes(forward.graph);
  const dimsOf = (name: string): number[] => types.outputs.find((v) => v.name === name)!.type.dims as number[];

  const builder = new GraphBuilder(cloneGraph(types));
  const weights = new Map(
    outputs.map((y) => [y, Float64Array.from({ length: sizeOf(dimsOf(y)) }, () => Math.fround(2 * random() - 1))]),
  );
  const seeds = new Map(
    outputs.map((y) => [y, builder.initializer(`seed_${y}`, fromNumbers("float32", weights.get(y)!, dimsOf(y)))]),
  );
  const gradients = differentiate(builder, types, seeds, Object.keys(c.inputs));
  const missing = Object.keys(c.inputs).filter((name) => !gradients.has(name));
  if (missing.length > 0) throw new Error(`${c.name}: no gradient reached ${missing.join(", ")}`);
  const named = new Map(
    [...gradients].map(([name, ref]) => [name, builder.identity(ref, { out: `gradient_${name}` })]),
  );
  for (const ref of named.values()) builder.output(ref);

  const wide = await tryDouble(builder.graph);
  const session = wide ?? (await openSession(builder.graph));
  const elemType = wide ? "float64" : "float32";
  const h = wide ? 1e-5 : (c.step ?? 1e-2);
  try {
    const values = new Map(Object.keys(c.inputs).map((name) => [name, valuesFor(c, name, random)]));
    const run = (): Promise<Record<string, Tensor>> =>
      session.run(Object.fromEntries([...values].map(([name, v]) => [name, fromNumbers(elemType, v, c.inputs[name])])));
    const objective = async (): Promise<number> => {
      const results = await run();
      let sum = 0;
      for (const y of outputs) {
        const v = toNumbers(results[y]);
        const r = weights.get(y)!;
        for (let i = 0; i < v.length; i++) sum += v[i] * r[i];
      }
      return sum;
    };
    const generated = await run();
    const errors: Record<string, number> = {};
    const largest: Record<string, number> = {};
    for (const name of Object.keys(c.inputs)) {
      const gradient = toNumbers(generated[named.get(name)!]);
      const v = values.get(name)!;
      const { dims } = generated[named.get(name)!];
      if (dims.join() !== c.inputs[name].join())
        throw new Error(`${c.name}: the gradient of ${name} is [${dims}], the input [${c.inputs[name]}]`);
      let worst = 0;
      const count = Math.min(c.sampled ?? SAMPLED, v.length);
      for (let k = 0; k < count; k++) {
        const i = Math.floor((k * v.length) / count);
        const before = v[i];
        v[i] = before + h;
        const up = await objective();
        v[i] = before - h;
        const down = await objective();
        v[i] = before;
        worst = Math.max(worst, Math.abs((up - down) / (2 * h) - gradient[i]));
      }
      largest[name] = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      errors[name] = worst / Math.max(largest[name], 1e-12);
    }
    return { elemType, errors, largest };
  } finally {
    await session.dispose();
  }
}
