/**
 * Second moments of what layers with constant weights read, on calibration images: the metric in which an error of the weights is
 * an error of the outputs. Groups of a convolution have moments of their own; very wide layers are cut into blocks of channels.
 */
import { GraphBuilder, type Ref } from "../../graph/builder.js";
import { attr, cloneGraph, type Graph, type OpNode, opsetOf, typeOf, withAttributes } from "../../graph/graph.js";
import { throwIfAborted } from "../../graph/progress.js";
import { scalar, sizeOf, toNumbers } from "../../graph/tensor.js";
import { ruleFor } from "../../ops/index.js";
import type { LinearRule } from "../../ops/rule.js";
import { withSession } from "../../runtime/session.js";
import type { ActivationGrid } from "../affine.js";
import { feedsOfBatch } from "../feed.js";
import { isWide } from "../integers.js";
import type { RepairContext } from "./repair.js";

/** All layers that read one weight. */
export interface WeightedLayer {
  weight: string;
  nodes: readonly OpNode[];
  /** Matrix view of the weight: [outputs, columns], columns of one group. */
  linear: LinearRule;
  outputs: number;
  columns: number;
  /** Parts with moments of their own: groups of outputs, or blocks of columns. */
  panels: number;
  /** Whether panels are groups (of outputs) or blocks (of columns). */
  grouped: boolean;
}

/** Per panel, a [width, width] matrix of mean products over all positions, row-major, and the means of the inputs. */
export interface LayerGram {
  width: number;
  products: Float64Array[];
  means: Float64Array[];
}

export interface GramOptions extends RepairContext {
  /** Positions taken of each image's map. Default 64. */
  positions?: number;
  /** Grids of activations: what is read is rounded to them first. Values that are not here stay float. */
  grids?: ReadonlyMap<string, ActivationGrid>;
}

/** Columns beyond which a layer is cut into blocks: a Cholesky factor of more takes seconds. */
const MOST_COLUMNS = 2304;
/** Moments that are gathered in one pass over the images. */
const PASS_BYTES = 96 * 2 ** 20;

/** Layers with a matrix view whose weight is named. Others (a transposed convolution) are left out. */
export function weightedLayers(g: Graph, weights: Iterable<string>): WeightedLayer[] {
  const wanted = new Set(weights);
  const out = new Map<string, WeightedLayer | null>();
  for (const node of g.nodes) {
    const rule = ruleFor(node, opsetOf(g, node.domain));
    for (const [input, weight] of node.inputs.entries()) {
      if (!wanted.has(weight)) continue;
      const layer = input === rule?.linear?.weight ? viewOf(g, node, rule.linear, rule.scaling, weight) : undefined;
      const known = out.get(weight);
      // Read in two ways, or by something without a matrix view: no one metric holds for it.
      const fits =
        layer && (known === undefined || (known?.panels === layer.panels && known.columns === layer.columns));
      if (!fits || known === null) out.set(weight, null);
      else out.set(weight, { ...layer, nodes: [...(known?.nodes ?? []), node] });
    }
  }
  return [...out.values()].filter((layer) => layer !== null);
}

function viewOf(
  g: Graph,
  node: OpNode,
  linear: LinearRule,
  scaling: NonNullable<ReturnType<typeof ruleFor>>["scaling"],
  weight: string,
): WeightedLayer | undefined {
  const w = g.initializers.get(weight);
  const groups = scaling?.kind === "contracts" ? scaling.groups(node) : 1;
  const plain = withAttributes(node, { group: attr.int(1) });
  const known = typeOf(g, node.inputs[linear.data])?.dims && typeOf(g, node.outputs[0])?.dims;
  if (!w || !known || g.initializers.has(node.inputs[linear.data]) || !linear.applies(plain, w.dims)) return undefined;
  const outputs = w.dims[linear.outputAxis(node)];
  const columns = sizeOf(w.dims) / outputs;
  if (groups > 1) return { weight, nodes: [node], linear, outputs, columns, panels: groups, grouped: true };
  const channels = w.dims[linear.inputAxis(node)];
  let blocks = 1;
  while (blocks < channels && (columns / blocks > MOST_COLUMNS || channels % blocks !== 0)) blocks++;
  return { weight, nodes: [node], linear, outputs, columns, panels: blocks, grouped: false };
}

/** Width of a panel's matrix. */
const widthOf = (l: WeightedLayer): number => (l.grouped ? l.columns : l.columns / l.panels);

/** Moments of all layers, by weight; several passes over the images where they would not fit in memory together. */
export async function layerGrams(
  g: Graph,
  layers: readonly WeightedLayer[],
  o: GramOptions,
  use: (layer: WeightedLayer, gram: LayerGram) => void | Promise<void>,
): Promise<void> {
  for (let first = 0; first < layers.length; ) {
    let bytes = 0;
    let end = first;
    while (end < layers.length && (end === first || bytes < PASS_BYTES)) bytes += gramBytes(layers[end++]);
    const part = layers.slice(first, end);
    const grams = await onePass(g, part, o);
    for (const [k, layer] of part.entries()) await use(layer, grams[k]);
    first = end;
  }
}

const gramBytes = (l: WeightedLayer): number => 8 * l.panels * widthOf(l) ** 2;

async function onePass(g: Graph, layers: readonly WeightedLayer[], o: GramOptions): Promise<LayerGram[]> {
  const b = new GraphBuilder(cloneGraph(g));
  b.graph.outputs = [];
  const rounded = new Map<string, Ref>();
  const probes = layers.map((layer) => layer.nodes.map((node) => probe(b, g, layer, node, o, rounded)));
  const sums = layers.map((l) => ({
    products: new Float64Array(l.panels * widthOf(l) ** 2),
    sums: new Float64Array(l.panels * widthOf(l)),
    count: 0,
  }));
  await withSession(b.graph, { ...(o.threads ? { threads: o.threads } : {}) }, async (session) => {
    for (const [i, batch] of o.batches.entries()) {
      for (const { feeds } of feedsOfBatch(g, { data: batch.data as Float32Array, dims: batch.dims })) {
        throwIfAborted(o.signal);
        const seen = await session.run(feeds);
        for (const [k, list] of probes.entries()) {
          for (const p of list) {
            addTo(sums[k].products, toNumbers(seen[p.products]));
            addTo(sums[k].sums, toNumbers(seen[p.sums]));
            sums[k].count += toNumbers(seen[p.count])[0];
          }
        }
      }
      o.onProgress?.({ stage: "gathering moments", done: i + 1, total: o.batches.length });
    }
  });
  return layers.map((l, k) => {
    const width = widthOf(l);
    const { count } = sums[k];
    const part = (v: Float64Array, size: number): Float64Array[] =>
      Array.from({ length: l.panels }, (_, p) => v.slice(p * size, (p + 1) * size).map((e) => e / count));
    return { width, products: part(sums[k].products, width ** 2), means: part(sums[k].sums, width) };
  });
}

function addTo(into: Float64Array, v: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i] += v[i];
}

/** Emits [panels, width, width] products, [panels, width] sums and the number of positions of one layer's input. */
function probe(
  b: GraphBuilder,
  g: Graph,
  layer: WeightedLayer,
  node: OpNode,
  o: GramOptions,
  rounded: Map<string, Ref>,
): { products: Ref; sums: Ref; count: Ref } {
  const { linear, panels } = layer;
  const dims = (name: string): number[] => (typeOf(g, name)?.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  const value = node.inputs[linear.data];
  const x = dims(value);
  const w = [...(g.initializers.get(layer.weight)?.dims ?? [])];
  // The data of all groups together has the form that an ungrouped convolution reads.
  if (layer.grouped) w[linear.inputAxis(node)] *= panels;
  const thin = thinning(linear.positions(dims(node.outputs[0])), o.positions ?? 64);
  const matrix = linear.unfold(node, b, onGrid(b, value, o.grids?.get(value), rounded), x, w, thin);
  const width = widthOf(layer);
  const parts = b.reshape(matrix, [panels, width, -1]);
  const products = b.matmul(parts, b.transpose(parts, [0, 2, 1]));
  const count = b.emit("Cast", [b.emit("Slice", [b.emit("Shape", [parts]), b.ints([2]), b.ints([3])])], {
    to: attr.int(1),
  });
  return {
    products: b.output(products),
    sums: b.output(b.reduceSum(parts, [2], false)),
    count: b.output(count),
  };
}

/** The value rounded to its grid, once for all readers. */
function onGrid(b: GraphBuilder, value: string, grid: ActivationGrid | undefined, rounded: Map<string, Ref>): Ref {
  // Sixteen bits round off nothing that would matter here.
  if (!grid || isWide(grid.type)) return value;
  const known = rounded.get(value);
  if (known) return known;
  const scale = b.initializer(`${value}_scale`, scalar(grid.scale));
  const zero = b.initializer(`${value}_zero_point`, {
    elemType: grid.type,
    dims: [],
    data: grid.type === "int8" ? Int8Array.of(grid.zeroPoint) : Uint8Array.of(grid.zeroPoint),
  });
  const made = b.emit("DequantizeLinear", [b.emit("QuantizeLinear", [value, scale, zero]), scale, zero]);
  rounded.set(value, made);
  return made;
}

/** Sampling step that leaves about `positions` places of a map. */
function thinning(map: readonly number[], positions: number): number {
  const total = sizeOf(map);
  if (total <= positions || map.length === 0) return 1;
  return Math.max(1, Math.min(Math.round((total / positions) ** (1 / map.length)), ...map));
}
