/** The same function in operators that have an integer kernel, where the file uses ones that have none. */
import { namer, removeDead } from "../graph/edit.js";
import {
  attrFloat,
  attrInt,
  cloneGraph,
  type Graph,
  type OpNode,
  opsetOf,
  producersOf,
  typeOf,
  usesOf,
} from "../graph/graph.js";
import { floats, ints, scalar, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "./index.js";
import { reducedAxes } from "./reduction.js";

/**
 * ReduceMean over all positions becomes GlobalAveragePool (and Squeeze). HardSigmoid behind a Conv or Gemm becomes a Clip to
 * 0..1, its slope and offset taken up by weights and bias. Nodes and outputs keep their names.
 */
export function toIntegerForms(g: Graph): Graph {
  const out = cloneGraph(g);
  const unique = namer(g);
  const constant = (base: string, t: Tensor): string => {
    const name = unique(base);
    out.initializers.set(name, t);
    return name;
  };
  const producers = producersOf(g);
  const uses = usesOf(g);
  const graphOutputs = new Set(g.outputs.map((v) => v.name));
  const scaled = new Map<string, OpNode>();
  const replaced = new Map<string, readonly OpNode[]>();
  for (const n of g.nodes) {
    if (n.domain !== "") continue;
    if (n.opType === "ReduceMean") {
      const pooled = asPool(g, n, out, unique, constant);
      if (pooled) replaced.set(n.name, pooled);
    }
    if (n.opType !== "HardSigmoid" || n.inputs[0] === undefined) continue;
    const producer = producers.get(n.inputs[0]);
    if (!producer || graphOutputs.has(n.inputs[0]) || uses.get(n.inputs[0])?.length !== 1) continue;
    const stretched = stretch(g, producer, attrFloat(n, "alpha", 0.2), attrFloat(n, "beta", 0.5), constant);
    if (!stretched) continue;
    scaled.set(producer.name, stretched);
    const limits = [constant(`${n.name}.min`, scalar(0)), constant(`${n.name}.max`, scalar(1))];
    replaced.set(n.name, [{ ...n, opType: "Clip", inputs: [n.inputs[0], ...limits], attributes: {} }]);
  }
  if (replaced.size === 0) return g;
  out.nodes = g.nodes.flatMap((n) => replaced.get(n.name) ?? [scaled.get(n.name) ?? n]);
  return removeDead(out);
}

function asPool(
  g: Graph,
  n: OpNode,
  out: Graph,
  unique: (base: string) => string,
  constant: (base: string, t: Tensor) => string,
): OpNode[] | undefined {
  const type = typeOf(g, n.inputs[0]);
  const rank = type?.dims?.length ?? 0;
  const axesInput = n.inputs[1] ? g.initializers.get(n.inputs[1]) : undefined;
  if (type?.elemType !== "float32" || rank < 3 || (n.inputs[1] && !axesInput)) return undefined;
  const spatial = Array.from({ length: rank - 2 }, (_, k) => k + 2);
  if (reducedAxes(n, rank, axesInput).join() !== spatial.join()) return undefined;
  const pool: OpNode = { ...n, opType: "GlobalAveragePool", inputs: [n.inputs[0]], attributes: {} };
  if (attrInt(n, "keepdims", 1) === 1) return [pool];
  const value = unique(`${n.outputs[0]}_pooled`);
  out.valueTypes.set(value, { elemType: "float32", dims: type.dims!.map((d, k) => (k < 2 ? d : 1)) });
  const squeeze: OpNode = {
    name: unique(`${n.name}/Squeeze`),
    opType: "Squeeze",
    domain: "",
    inputs: [value, constant(`${n.name}.axes`, ints(spatial))],
    outputs: n.outputs,
    attributes: {},
  };
  return [{ ...pool, outputs: [value] }, squeeze];
}

/** The node with alpha * y + beta in place of its result y; undefined where it has no constant weight and room for a bias. */
function stretch(
  g: Graph,
  n: OpNode,
  alpha: number,
  beta: number,
  constant: (base: string, t: Tensor) => string,
): OpNode | undefined {
  const rule = ruleFor(n, opsetOf(g, n.domain))?.quantize;
  if (!rule?.weight || rule.bias === undefined || rule.when?.(n) === false) return undefined;
  const weight = g.initializers.get(n.inputs[rule.weight.input]);
  const bias = g.initializers.get(n.inputs[rule.bias] ?? "");
  if (weight?.elemType !== "float32" || (n.inputs[rule.bias] && !bias)) return undefined;
  const channels = weight.dims[rule.weight.axis(n)];
  const old = bias ? toNumbers(bias) : new Float64Array(channels);
  if (old.length !== channels) return undefined;
  const inputs = [...n.inputs];
  const times = (t: ArrayLike<number>, f: (v: number) => number): Float32Array => Float32Array.from(t, f);
  inputs[rule.weight.input] = constant(
    `${inputs[rule.weight.input]}_sloped`,
    floats(
      times(toNumbers(weight), (v) => alpha * v),
      weight.dims,
    ),
  );
  while (inputs.length <= rule.bias) inputs.push("");
  inputs[rule.bias] = constant(
    `${inputs[rule.bias] || `${n.name}.bias`}_sloped`,
    floats(times(old, (v) => alpha * v + beta)),
  );
  return { ...n, inputs };
}
