/** What edgefit sees in a model: shapes, costs, and which channels can be removed. */
import { type Dim, type Graph, opsetOf, typeOf, type ValueType } from "./graph/graph.js";
import { byteLengthOf } from "./graph/stored.js";
import type { ElemType } from "./graph/tensor.js";
import { tidy } from "./graph/tidy.js";
import { readAnyModel } from "./modelFile.js";
import { costsOf } from "./ops/costs.js";
import { ruleFor } from "./ops/index.js";
import { type InferOptions, inferShapes } from "./ops/infer.js";
import type { InspectOptions } from "./options.js";
import { findGroups } from "./prune/groups.js";

export interface InspectedValue {
  name: string;
  elemType: ElemType;
  /** Numbers, names of dynamic dimensions, null where unknown; undefined when not even the rank is known. */
  dims?: readonly Dim[];
}

export interface InspectedNode {
  name: string;
  /** Operator, with its domain where that is not the default one. */
  op: string;
  /** Dims of the first output. */
  outputDims?: readonly Dim[];
  /** Multiply-accumulates; dynamic dimensions count as 1. */
  macs: number;
  /** Parameters that no earlier node reads. */
  params: number;
}

export interface InspectedGroup {
  id: string;
  /** Number of channels. */
  width: number;
  /** Nodes that make the channels. */
  producers: string[];
  /** Nodes that sum over them. */
  consumers: string[];
  /** Values and parameters on which they stand, as `name[axis]`. */
  members: string[];
  /**
   * Nodes that take a statistic over the channels (a normalisation, a mean, a maximum), which a cut net takes over those
   * that are left. Absent where there are none: a cut then changes nothing but what is removed.
   */
  renormalisedBy?: string[];
}

export interface Inspection {
  irVersion: number;
  /** Operator-set version per domain; the default domain is "ai.onnx". */
  opsets: Record<string, number>;
  producer: string;
  inputs: InspectedValue[];
  outputs: InspectedValue[];
  nodes: InspectedNode[];
  totals: { nodes: number; macs: number; params: number; parameterBytes: number };
  /** Groups of channels that can be pruned. */
  groups: InspectedGroup[];
  /** Groups that cannot, and why. */
  frozen: (InspectedGroup & { reason: string })[];
  /** Operators that edgefit knows nothing about, with how often they occur. */
  unknownOps: Record<string, number>;
}

const opName = (n: { domain: string; opType: string }): string => (n.domain ? `${n.domain}.${n.opType}` : n.opType);

const inspected = (name: string, t: ValueType): InspectedValue => ({
  name,
  elemType: t.elemType,
  ...(t.dims ? { dims: t.dims } : {}),
});

/**
 * Describes a model as it came from its file. Operators without a rule do not stop it: their outputs keep the types that
 * the file declares. Throws ModelError where shapes do not fit or a dynamic dimension needs a value (`o.dims`).
 */
export function inspectModel(model: Graph, o: InferOptions = {}): Inspection {
  const declared = (name: string): ValueType => typeOf(model, name) ?? { elemType: "other" };
  const g = inferShapes(tidy(model), { unknown: (n) => n.outputs.map(declared), ...o });
  const costs = costsOf(g);
  const unknownOps: Record<string, number> = {};
  for (const n of g.nodes)
    if (!ruleFor(n, opsetOf(g, n.domain))) unknownOps[opName(n)] = (unknownOps[opName(n)] ?? 0) + 1;

  const groups: InspectedGroup[] = [];
  const frozen: Inspection["frozen"] = [];
  for (const e of findGroups(g).groups) {
    const group: InspectedGroup = {
      id: e.id,
      width: e.width,
      producers: [...new Set(e.producers.map((p) => p.node))],
      consumers: [...new Set(e.consumers.map((c) => c.node))],
      members: e.members.map((m) => `${m.value}[${m.axis}]`),
      ...(e.renormalised ? { renormalisedBy: [...new Set(e.renormalised.map((r) => r.node))] } : {}),
    };
    if (e.frozen === undefined) groups.push(group);
    else frozen.push({ ...group, reason: e.frozen });
  }
  let parameterBytes = 0;
  for (const t of g.initializers.values()) parameterBytes += byteLengthOf(t);
  return {
    irVersion: model.model.irVersion,
    opsets: Object.fromEntries([...model.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
    producer: [model.model.producerName, model.model.producerVersion].filter((s) => s !== "").join(" "),
    inputs: g.inputs.map((v) => inspected(v.name, v.type)),
    outputs: g.outputs.map((v) => inspected(v.name, v.type)),
    nodes: costs.nodes.map(({ node, macs, params }) => {
      const dims = typeOf(g, node.outputs[0])?.dims;
      return { name: node.name, op: opName(node), ...(dims ? { outputDims: dims } : {}), macs, params };
    }),
    totals: { nodes: g.nodes.length, macs: costs.macs, params: costs.params, parameterBytes },
    groups,
    frozen,
    unknownOps,
  };
}

/** `inspectModel` on a file, none of which is run. Throws ModelError for a file that is no model. */
export async function inspect(o: InspectOptions): Promise<Inspection> {
  return inspectModel(await readAnyModel(o.model), o.dims ? { dims: o.dims } : {});
}
