/**
 * Compactors: 1x1 convolutions Q, at first the identity, behind convolution and batch normalisation (Ding et al., ResRep, ICCV 2021).
 * They are trained with gradients that are reset, and in the end all three become one convolution:
 *
 *     K = W γ / σ,  b = β + (bias - μ) γ / σ;   K'_j = Σ_d Q_jd K_d,  b' = Q b
 */
import { GraphBuilder } from "../graph/builder.js";
import { uniqueName } from "../graph/edit.js";
import { attrFloat, attrInt, cloneGraph, type Graph, type OpNode, opsetOf, usesOf } from "../graph/graph.js";
import { floats, sizeOf, toFloat32 } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { inferShapes } from "../ops/infer.js";
import type { ChannelGroups, Group } from "../prune/groups.js";

export interface Compactor {
  group: string;
  width: number;
  /** Names of the three nodes. */
  conv: string;
  norm: string;
  compactor: string;
  /** Initializer of Q, [width, width, 1, 1]. */
  weight: string;
  /**
   * Shifts of normalisation that the channels pass later (behind a depthwise convolution). Those of dead channels are set to 0, so
   * that such a channel is 0 where it is read: it is constant there, and a constant means nothing to the normalisation behind.
   */
  shifts: readonly string[];
}

const isPlainConv = (n: OpNode | undefined): boolean =>
  n?.opType === "Conv" && n.domain === "" && attrInt(n, "group", 1) === 1;

/** Why a group cannot have a compactor, or its nodes. */
function place(g: Graph, group: Group): { conv: OpNode; norm: OpNode; shifts: string[] } | string {
  const nodes = new Map(g.nodes.map((n) => [n.name, n]));
  const uses = usesOf(g);
  const makers = group.producers.map((p) => nodes.get(p.node)).filter((n) => n && attrInt(n, "group", 1) === 1);
  const [conv] = makers;
  if (makers.length !== 1) return `${makers.length} layers make its channels together`;
  if (!conv || !isPlainConv(conv)) return "no convolution makes its channels";
  const normalises = (n: OpNode) => ruleFor(n, opsetOf(g, n.domain))?.runningStatistics !== undefined;
  const readers = uses.get(conv.outputs[0]) ?? [];
  if (readers.length !== 1 || !normalises(readers[0].node)) return "no batch normalisation follows its convolution";
  const norm = readers[0].node;
  const own = new Set(group.members.filter((m) => m.parameter).map((m) => m.value));
  const read = new Set(group.consumers.map((c) => c.weight));
  const known = new Set([...conv.inputs.slice(1), ...norm.inputs.slice(1), ...read]);
  const shifts: string[] = [];
  for (const n of g.nodes) {
    if (n === conv || n === norm || !n.inputs.some((v) => own.has(v) && !known.has(v))) continue;
    const depthwise = n.opType === "Conv" && attrInt(n, "group", 1) === group.width;
    if (depthwise && n.inputs[2]) shifts.push(n.inputs[2]);
    else if (normalises(n)) shifts.push(n.inputs[2]);
    else if (!depthwise) return `"${n.name}" scales its channels one by one`;
  }
  return { conv, norm, shifts };
}

/**
 * The net with compactors wherever the channels of a prunable group are made by one convolution with batch normalisation; other
 * groups (residual streams) are left alone, as in the paper.
 * @returns graph, compactors, and the reason of each group without one
 */
export function insertCompactors(g: Graph, groups: ChannelGroups) {
  const skipped = new Map<string, string>();
  const found = new Map<OpNode, Compactor>();
  for (const group of groups.prunable) {
    const at = place(g, group);
    if (typeof at === "string") {
      skipped.set(group.id, at);
      continue;
    }
    found.set(at.norm, {
      group: group.id,
      width: group.width,
      conv: at.conv.name,
      norm: at.norm.name,
      compactor: uniqueName(g, `${at.conv.name}.compactor`),
      weight: uniqueName(g, `${at.conv.name}.compactor.weight`),
      shifts: at.shifts,
    });
  }
  const out = cloneGraph(g);
  const b = new GraphBuilder(out);
  out.nodes = [];
  for (const n of g.nodes) {
    const c = found.get(n);
    if (!c) {
      out.nodes.push(n);
      continue;
    }
    const normal = b.unique(`${n.outputs[0]}_normal`);
    out.nodes.push({ ...n, outputs: [normal] });
    out.initializers.set(c.weight, floats(identity(c.width), [c.width, c.width, 1, 1]));
    out.nodes.push({
      name: c.compactor,
      opType: "Conv",
      domain: "",
      inputs: [normal, c.weight],
      outputs: [n.outputs[0]],
      attributes: {},
    });
  }
  return { graph: inferShapes(out), compactors: [...found.values()], skipped };
}

function identity(width: number): Float32Array {
  const out = new Float32Array(width * width);
  for (let i = 0; i < width; i++) out[i * width + i] = 1;
  return out;
}

/** Euclidean norm of each row of a compactor. */
export function rowNorms(q: Float32Array, width: number): Float64Array {
  return Float64Array.from({ length: width }, (_, i) =>
    Math.sqrt(q.subarray(i * width, (i + 1) * width).reduce((sum, v) => sum + v * v, 0)),
  );
}

/**
 * Gradient resetting, row by row: G_i = mask_i dL/dQ_i + λ Q_i / ||Q_i||. Rows that are to be forgotten (mask 0) see only the pull of the
 * group lasso.
 */
export function resetGradient(
  q: Float32Array,
  gradient: Float32Array,
  width: number,
  forgotten: ReadonlySet<number>,
  lambda: number,
): Float32Array {
  const norms = rowNorms(q, width);
  return gradient.map((v, at) => {
    const row = Math.floor(at / width);
    const pull = norms[row] > 0 ? (lambda * q[at]) / norms[row] : 0;
    return (forgotten.has(row) ? 0 : v) + pull;
  });
}

/** Convolution, normalisation and compactor as one convolution with a bias; rows of 0 become channels that are 0. */
export function mergeCompactors(g: Graph, compactors: readonly Compactor[]): Graph {
  const nodes = new Map(g.nodes.map((n) => [n.name, n]));
  const out = cloneGraph(g);
  const b = new GraphBuilder(out);
  const gone = new Set(compactors.flatMap((c) => [c.norm, c.compactor]));
  const merged = new Map(
    compactors.map((c) => {
      const [conv, norm, compactor] = [c.conv, c.norm, c.compactor].map((name) => nodes.get(name)!);
      const value = (name: string): Float32Array => toFloat32(g.initializers.get(name)!);
      const { dims } = g.initializers.get(conv.inputs[1])!;
      const [gamma, beta, mean, variance] = norm.inputs.slice(1).map(value);
      const epsilon = attrFloat(norm, "epsilon", 1e-5);
      const scale = Float64Array.from(gamma, (v, d) => v / Math.sqrt(variance[d] + epsilon));
      const bias = conv.inputs[2] ? value(conv.inputs[2]) : new Float32Array(c.width);
      const shift = Float64Array.from(beta, (v, d) => v + (bias[d] - mean[d]) * scale[d]);
      const [kernel, q] = [value(conv.inputs[1]), value(c.weight)];
      const size = sizeOf(dims) / c.width;
      const weight = new Float32Array(kernel.length);
      const offset = new Float32Array(c.width);
      const row = new Float64Array(size);
      for (let j = 0; j < c.width; j++) {
        row.fill(0);
        let own = 0;
        for (let d = 0; d < c.width; d++) {
          const factor = q[j * c.width + d];
          if (factor === 0) continue;
          own += factor * shift[d];
          for (let i = 0; i < size; i++) row[i] += factor * scale[d] * kernel[d * size + i];
        }
        weight.set(row, j * size);
        offset[j] = own;
      }
      const inputs = [
        conv.inputs[0],
        b.initializer(`${c.conv}.merged`, floats(weight, dims)),
        b.initializer(`${c.conv}.merged_bias`, floats(offset)),
      ];
      return [c.conv, { ...conv, inputs, outputs: compactor.outputs }] as const;
    }),
  );
  out.nodes = g.nodes.filter((n) => !gone.has(n.name)).map((n) => merged.get(n.name) ?? n);
  const needed = new Set(out.nodes.flatMap((n) => n.inputs));
  for (const name of [...out.initializers.keys()]) if (!needed.has(name)) out.initializers.delete(name);
  for (const n of g.nodes) if (gone.has(n.name)) for (const y of n.outputs) out.valueTypes.delete(y);
  return inferShapes(out);
}
