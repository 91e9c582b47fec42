/**
 * Kernels: the pieces of a model that the runtime is expected to launch as one (Conv with its BatchNormalization, residual
 * Add and activation; Gemm with its activation; everything else alone). A kernel is the unit of the latency table. Grouping
 * more than a runtime fuses does no harm: the times of all launches that stem from a kernel's nodes are summed.
 */
import { attrInts, type Graph, type OpNode, producersOf, usesOf } from "../graph/graph.js";

/** The numeric precision that a kernel runs in. */
export type Precision = "fp32" | "int8";

/** Length of one axis as a function of group widths: `fixed` plus the sum of multiplicity times width. */
export interface SymbolicDim {
  fixed: number;
  terms: readonly { group: string; multiplicity: number }[];
}

/** Static dims of a value of the source graph. */
export type DimsOf = (value: string) => readonly number[];

/** What a kernel is looked up by: equal keys are the same code on tensors that differ only in `widths`. */
export interface KernelSignature {
  key: string;
  widths: readonly number[];
}

/**
 * One expected launch. For `conv1 -> bn1 -> relu1` on a 3x32x32 image with 16 channels that can be pruned:
 * `nodes` are those three, `values` the image and the three outputs, `key` is
 * `Conv+BatchNormalization+Relu k3,3 s1,1 p1,1,1,1 [1,3,32,32]>[1,a,32,32]` and `widths` is `[16]`.
 */
export interface Kernel {
  /** Name of the node that the kernel is built around. */
  id: string;
  nodes: readonly string[];
  ops: readonly string[];
  /** Activations read, then the value written. */
  inputs: readonly string[];
  output: string;
  /** Values made inside, the output last: the runtime names fused nodes after one of them. */
  made: readonly string[];
  /** What the kernel is, with letters in place of the axes that pruning changes. Equal keys are the same code. */
  key: string;
  /** The distinct widths that the kernel's cost depends on, in the order of `KernelSignature.widths`. */
  widths: readonly SymbolicDim[];
  /** Key and widths in a net with these dims. */
  signature(dims: DimsOf): KernelSignature;
}

/** Operators that the runtime folds into the launch before them. */
const ACTIVATIONS = new Set([
  "Relu",
  "Clip",
  "LeakyRelu",
  "PRelu",
  "Sigmoid",
  "HardSigmoid",
  "HardSwish",
  "Tanh",
  "Elu",
  "Softplus",
]);
const ANCHORS = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul"]);
const BRANCHING = new Set(["Add", "Sum"]);

/** Attributes that select other code or other work; the rest (names, epsilon, clip bounds) do not change a time. */
const COSTLY_ATTRIBUTES: readonly (readonly [attribute: string, letter: string])[] = [
  ["kernel_shape", "k"],
  ["strides", "s"],
  ["pads", "p"],
  ["dilations", "d"],
  ["axes", "axes"],
  ["perm", "perm"],
];

/**
 * Kernels of a tidy graph whose shapes are inferred, in execution order. Every node belongs to exactly one.
 *
 * @param symbolic length of each axis of a value as a function of group widths (`groups.symbolicDims`); axes without
 *   terms are part of the key, the others become `widths`.
 */
export function kernelsOf(g: Graph, symbolic: (value: string) => readonly SymbolicDim[]): Kernel[] {
  const uses = usesOf(g);
  const producers = producersOf(g);
  const outputs = new Set(g.outputs.map((o) => o.name));
  const position = new Map(g.nodes.map((n, i) => [n, i]));
  /** The only reader of a value that is not also a result of the model. */
  const soleReader = (value: string): OpNode | undefined => {
    const readers = uses.get(value) ?? [];
    return readers.length === 1 && !outputs.has(value) ? readers[0].node : undefined;
  };
  /** Whether a value comes from an anchor that could take in its reader. */
  const canAbsorb = (value: string): boolean => {
    const made = producers.get(value);
    if (!made || !soleReader(value)) return false;
    const passes = made.opType === "BatchNormalization" || made.opType === "Identity";
    return passes ? canAbsorb(made.inputs[0]) : ANCHORS.has(made.opType);
  };

  const chains: OpNode[][] = [];
  const claimed = new Set<OpNode>();
  for (const anchor of g.nodes) {
    if (!ANCHORS.has(anchor.opType)) continue;
    const chain = [anchor];
    let joined = false;
    let activated = false;
    for (let tail = anchor; ; ) {
      const value = tail.outputs[0];
      const next = soleReader(value);
      if (!next || claimed.has(next) || next.domain !== anchor.domain) break;
      // An Add of two convolutions goes to its first input's, as in ONNX Runtime.
      const mine = next.inputs[0] === value || !canAbsorb(next.inputs[0]);
      const fits =
        next.opType === "Identity" ||
        (next.opType === "BatchNormalization" && tail.opType === "Conv") ||
        (ACTIVATIONS.has(next.opType) && !activated) ||
        (BRANCHING.has(next.opType) && !activated && !joined && mine);
      if (!fits) break;
      joined ||= BRANCHING.has(next.opType);
      activated ||= ACTIVATIONS.has(next.opType);
      chain.push(next);
      tail = next;
    }
    for (const n of chain) claimed.add(n);
    chains.push(chain);
  }
  for (const n of g.nodes) if (!claimed.has(n)) chains.push([n]);

  const constantDims = (value: string) => (value === "" ? [] : g.initializers.get(value)?.dims);
  // A chain runs when its last node can: order by the tail, as that is where its launch sits.
  return chains
    .sort((a, b) => position.get(a.at(-1)!)! - position.get(b.at(-1)!)!)
    .map((chain) => makeKernel(chain, constantDims, symbolic));
}

function makeKernel(
  chain: readonly OpNode[],
  constantDims: (value: string) => readonly number[] | undefined,
  symbolic: (value: string) => readonly SymbolicDim[],
): Kernel {
  const anchor = chain[0];
  const weightDims = constantDims(anchor.inputs[1] ?? "") ?? [];
  const made = chain.flatMap((n) => n.outputs).filter((o) => o !== "");
  const inside = new Set(made);
  const inputs = [...new Set(chain.flatMap((n) => n.inputs))].filter(
    (v) => constantDims(v) === undefined && !inside.has(v),
  );
  const output = chain.at(-1)!.outputs[0];
  const shape = chain.filter((n) => n.opType !== "Identity" || n === anchor).map((n) => n.opType + groupSuffix(n));
  const title = [
    shape.join("+"),
    ...COSTLY_ATTRIBUTES.flatMap(([name, letter]) => listAttribute(anchor, name, letter, weightDims)),
  ];

  const widths: SymbolicDim[] = [];
  const where: { value: string; axis: number }[] = [];
  const letterOf = new Map<string, string>();
  const pattern = (value: string): string => {
    const axes = symbolic(value).map((dim, axis) => {
      if (dim.terms.length === 0) return dim.fixed;
      const id = JSON.stringify([dim.fixed, dim.terms.map((t) => [t.group, t.multiplicity]).sort()]);
      if (!letterOf.has(id)) {
        letterOf.set(id, letter(widths.length));
        widths.push(dim);
        where.push({ value, axis });
      }
      return letterOf.get(id)!;
    });
    return `[${axes.join(",")}]`;
  };
  const key = `${title.join(" ")} ${inputs.map(pattern).join("")}>${pattern(output)}`;

  return {
    id: anchor.name,
    nodes: chain.map((n) => n.name),
    ops: chain.map((n) => n.opType),
    inputs,
    output,
    made,
    key,
    widths,
    signature: (dims) => ({ key, widths: where.map(({ value, axis }) => dims(value)[axis]) }),
  };
}

const letter = (i: number): string => (i < 26 ? String.fromCharCode(97 + i) : `w${i}`);

/** Depthwise convolutions are other code than dense ones; the number of groups itself follows from the widths. */
function groupSuffix(n: OpNode): string {
  const group = n.attributes.group;
  return group?.type === "int" && group.value !== 1 ? "(grouped)" : "";
}

function listAttribute(n: OpNode, name: string, short: string, weightDims: readonly number[]): string[] {
  // `kernel_shape` may be left to the weight.
  const values =
    attrInts(n, name) ?? (name === "kernel_shape" && /Conv/.test(n.opType) ? weightDims.slice(2) : undefined);
  if (!values || values.length === 0) return [];
  const idle = name === "dilations" ? 1 : name === "pads" ? 0 : undefined;
  return values.every((v) => v === idle) ? [] : [`${short}${values.join(",")}`];
}

/** Width of an axis for given widths of the groups. Throws when a group is missing. */
export function evaluateDim(dim: SymbolicDim, widths: ReadonlyMap<string, number>): number {
  let length = dim.fixed;
  for (const { group, multiplicity } of dim.terms) {
    const width = widths.get(group);
    if (width === undefined)
      throw new Error(`no width given for group ${group}; this is a bug in edgefit, please report it`);
    length += multiplicity * width;
  }
  return length;
}
