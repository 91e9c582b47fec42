/**
 * A QDQ graph as something that can be trained, and back. Weights become floats that are rounded where they are read, biases
 * floats; everything else, each Quantize and Dequantize of an activation included, stays as it was placed, so that what
 * is trained is what will run.
 */
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, type OpNode, producersOf, type Use, usesOf } from "../graph/graph.js";
import { floats, sizeOf, type Tensor, toFloat32, toNumbers } from "../graph/tensor.js";

/** A weight: float and integer form. */
interface WeightLink {
  /** Float initializer of the trainable graph. */
  float: string;
  /** Initializers of the QDQ graph: integers and their scales. */
  codes: string;
  scale: string;
  axis: number;
  /** Largest magnitude of an integer. */
  limit: number;
}

interface BiasLink {
  float: string;
  codes: string;
  /** Initializer with the product of both scales. */
  scale: string;
  /** Scale initializers of the layer's input and weight. */
  inputScale: string;
  weightScale: string;
}

export interface Trainable {
  graph: Graph;
  weights: readonly WeightLink[];
  biases: readonly BiasLink[];
  /** Scales of activations that may change. */
  activationScales: readonly string[];
  /** Scales that must not: integer constants were computed with them. */
  fixedScales: ReadonlySet<string>;
}

const isQuantize = (n: OpNode): boolean => n.opType === "QuantizeLinear";
const isDequantize = (n: OpNode): boolean => n.opType === "DequantizeLinear";

/**
 * @param qdq a graph in QDQ form, as `quantize` places it
 * @param float the float graph that it was made from: its weights are taken before rounding. Without it those of the integers are
 * @throws ModelError `not-quantized` when there are no integer weights
 */
export function toTrainable(qdq: Graph, float?: Graph): Trainable {
  const graph = cloneGraph(qdq);
  const uses = usesOf(qdq);
  const producers = producersOf(qdq);
  const weights: WeightLink[] = [];
  const biases: BiasLink[] = [];
  const fixedScales = new Set<string>();
  const replaced = new Map<OpNode, OpNode[]>();
  const inputOf = new Map<string, string>();
  for (const n of qdq.nodes) {
    const codes = isDequantize(n) ? qdq.initializers.get(n.inputs[0]) : undefined;
    if (!codes) continue;
    const reader = uses.get(n.outputs[0])?.[0];
    if (codes.elemType === "int32" && reader) {
      const link = biasLink(producers, n, reader);
      const scale = toNumbers(qdq.initializers.get(n.inputs[1])!);
      const values = toNumbers(codes).map((v, c) => v * scale[scale.length === 1 ? 0 : c]);
      graph.initializers.set(link.float, floats(values, codes.dims));
      biases.push(link);
      replaced.set(n, []);
      inputOf.set(n.outputs[0], link.float);
    } else if (codes.elemType === "int8" && codes.dims.length >= 2 && reader) {
      const axis = n.attributes.axis?.type === "int" ? n.attributes.axis.value : 1;
      const link = {
        float: `${n.inputs[0]}_float`,
        codes: n.inputs[0],
        scale: n.inputs[1],
        axis,
        limit: limitOf(codes),
      };
      const known = float && floatWeight(float, reader, codes.dims);
      const scale = qdq.initializers.get(n.inputs[1])!;
      graph.initializers.set(link.float, known ?? floats(dequantized(codes, toFloat32(scale), axis), codes.dims));
      const rounded = `${n.inputs[0]}_code`;
      const zero = n.inputs[2] ?? `${n.inputs[0]}_zero`;
      if (!n.inputs[2])
        graph.initializers.set(zero, { elemType: "int8", dims: scale.dims, data: new Int8Array(scale.data.length) });
      const quantize: OpNode = {
        name: `${n.name}/QuantizeLinear`,
        opType: "QuantizeLinear",
        domain: n.domain,
        inputs: [link.float, n.inputs[1], zero],
        outputs: [rounded],
        attributes: n.attributes,
      };
      replaced.set(n, [quantize, { ...n, inputs: [rounded, n.inputs[1], zero] }]);
      weights.push(link);
    } else fixedScales.add(n.inputs[1]);
  }
  if (weights.length === 0) {
    throw new ModelError(
      "not-quantized",
      "the model has no weights in INT8 QDQ form, so there is nothing to train in integers",
      {
        hint: "quantise it first, in the QDQ format",
      },
    );
  }
  for (const scale of scalesBehindConstants(qdq, producers)) fixedScales.add(scale);
  const weightScales = new Set(weights.map((w) => w.scale));
  const activationScales = new Set(
    qdq.nodes.filter(isQuantize).flatMap((n) => (qdq.initializers.has(n.inputs[1]) ? [n.inputs[1]] : [])),
  );
  graph.nodes = qdq.nodes
    .flatMap((n) => replaced.get(n) ?? [n])
    .map((n) =>
      n.inputs.some((v) => inputOf.has(v)) ? { ...n, inputs: n.inputs.map((v) => inputOf.get(v) ?? v) } : n,
    );
  return {
    graph: removeDead(graph),
    weights,
    biases,
    activationScales: [...activationScales].filter((s) => !fixedScales.has(s) && !weightScales.has(s)),
    fixedScales,
  };
}

/** The QDQ graph with the weights, biases and scales of a trained one. */
export function fromTrainable(qdq: Graph, t: Trainable, trained: Graph): Graph {
  const out = cloneGraph(qdq);
  const at = (name: string): Tensor => trained.initializers.get(name) ?? qdq.initializers.get(name)!;
  const scales = new Map<string, Tensor>();
  for (const name of [...t.activationScales, ...t.weights.map((w) => w.scale)]) {
    const { dims } = at(name);
    // A step that learning has driven to nothing or below would turn signs round.
    scales.set(
      name,
      floats(
        toFloat32(at(name)).map((s) => Math.max(s, SMALLEST_SCALE)),
        dims,
      ),
    );
  }
  for (const [name, tensor] of scales) out.initializers.set(name, tensor);
  const scaleOf = (name: string): Float32Array => toFloat32(scales.get(name) ?? at(name));
  for (const w of t.weights) {
    const values = toNumbers(at(w.float));
    const { dims } = qdq.initializers.get(w.codes)!;
    const scale = scaleOf(w.scale);
    const of = channelOf(dims, scale.length, w.axis);
    const data = Int8Array.from(values, (v, i) => Math.max(-w.limit, Math.min(w.limit, Math.round(v / scale[of(i)]))));
    out.initializers.set(w.codes, { elemType: "int8", dims, data });
  }
  for (const b of t.biases) {
    const values = toNumbers(at(b.float));
    const { dims } = qdq.initializers.get(b.scale)!;
    const [input, weight] = [scaleOf(b.inputScale)[0], scaleOf(b.weightScale)];
    const scale = Float32Array.from({ length: sizeOf(dims) }, (_, c) => input * weight[weight.length === 1 ? 0 : c]);
    const data = Int32Array.from(values, (v, c) =>
      Math.max(-INT32, Math.min(INT32, Math.round(v / scale[scale.length === 1 ? 0 : c]))),
    );
    out.initializers.set(b.scale, floats(scale, dims));
    out.initializers.set(b.codes, { elemType: "int32", dims: [data.length], data });
  }
  return out;
}

const SMALLEST_SCALE = 1e-12;
const INT32 = 2 ** 31 - 1;

/** 7-bit weights stay so. */
const limitOf = (codes: Tensor): number => (toNumbers(codes).some((q) => Math.abs(q) > 64) ? 127 : 64);

function channelOf(dims: readonly number[], scales: number, axis: number): (i: number) => number {
  if (scales === 1) return () => 0;
  const inner = sizeOf(dims.slice(axis + 1));
  return (i) => Math.floor(i / inner) % dims[axis];
}

function dequantized(codes: Tensor, scale: Float32Array, axis: number): Float32Array {
  const of = channelOf(codes.dims, scale.length, axis);
  return Float32Array.from(toNumbers(codes), (q, i) => q * scale[of(i)]);
}

function floatWeight(float: Graph, { node, index }: Use, dims: readonly number[]): Tensor | undefined {
  const original = float.nodes.find((n) => n.name === node.name);
  const t = original && float.initializers.get(original.inputs[index] ?? "");
  return t?.elemType === "float32" && t.dims.join() === dims.join() ? t : undefined;
}

/** The scales that a bias is stored at are those of its layer's input and weight. */
function biasLink(producers: ReadonlyMap<string, OpNode>, n: OpNode, { node, index }: Use): BiasLink {
  const others = node.inputs.slice(0, index).map((v) => producers.get(v));
  const [input, weight] = others;
  if (!input || !weight || !isDequantize(input) || !isDequantize(weight)) {
    throw new ModelError("bias-scale", `the int32 bias of "${node.name}" stands beside a float input or weight`, {
      where: node.name,
      hint: "train the float model and quantise it afterwards",
    });
  }
  return {
    float: `${n.inputs[0]}_float`,
    codes: n.inputs[0],
    scale: n.inputs[1],
    inputScale: input.inputs[1],
    weightScale: weight.inputs[1],
  };
}

/** Scales of values that operators on integers join with constants in integers of their own (Pad with a value). */
function scalesBehindConstants(g: Graph, producers: ReadonlyMap<string, OpNode>): string[] {
  const zeroPoints = new Set(g.nodes.flatMap((n) => (isQuantize(n) || isDequantize(n) ? n.inputs.slice(2) : [])));
  const out: string[] = [];
  for (const n of g.nodes) {
    if (isQuantize(n) || isDequantize(n)) continue;
    const own = n.inputs.some((v) => /^u?int8$/.test(g.initializers.get(v)?.elemType ?? "") && !zeroPoints.has(v));
    if (!own) continue;
    for (const v of n.inputs) {
      const p = producers.get(v);
      if (p && isQuantize(p)) out.push(p.inputs[1]);
    }
  }
  return out;
}
