/** Integers for the weights of whole layers, by one of three ways of rounding. */
import type { Graph } from "../../graph/graph.js";
import { floats, type Tensor, toNumbers } from "../../graph/tensor.js";
import type { ActivationGrid } from "../affine.js";
import { roundToGrid, scaleIndex, type WeightGrid, weightLimit } from "../weights.js";
import { AdaRounder } from "./adaRound.js";
import { type Metric, metricOf, nearest, type Row, roundRow, rowError } from "./lattice.js";
import { type LayerGram, layerGrams, type WeightedLayer, weightedLayers } from "./layerGram.js";
import type { RepairContext } from "./repair.js";

/** `nearest` looks at each weight alone; `gptq` and `adaround` at what the layer makes of the calibration images. */
export type RoundingMethod = "nearest" | "gptq" | "adaround";

export interface RoundingContext extends RepairContext {
  method: RoundingMethod;
  /** Grids of the activations that layers read; default: inputs in float. */
  grids?: ReadonlyMap<string, ActivationGrid>;
  /** The mean error of every output is taken back by its bias afterwards, so that only the rest counts. Default false. */
  biasCorrected?: boolean;
  /** Positions taken of each image's map. Default 64. */
  positions?: number;
  /** Share of the mean moment added to each column's own (GPTQ's "percdamp"). Default 0.01. */
  damping?: number;
  /** Steps of AdaRound per layer. Default 400. */
  steps?: number;
}

/**
 * Integers of the planned weights, by initializer name, in the layout of the weight. A layer without a matrix view (a transposed
 * convolution), or read in several ways, is rounded to the nearest. On the calibration images no output channel's error is larger
 * than with `nearest`.
 */
export async function roundWeights(
  g: Graph,
  plan: ReadonlyMap<string, WeightGrid>,
  c: RoundingContext,
): Promise<ReadonlyMap<string, Int8Array>> {
  const out = new Map<string, Int8Array>();
  for (const [name, grid] of plan) out.set(name, roundToGrid(g.initializers.get(name)!, grid).data as Int8Array);
  if (c.method === "nearest" || c.batches.length === 0) return out;
  const layers = weightedLayers(g, plan.keys());
  const adaRounder = c.method === "adaround" ? await AdaRounder.open(c) : undefined;
  try {
    let done = 0;
    await layerGrams(g, layers, c, async (layer, gram) => {
      const weight = g.initializers.get(layer.weight)!;
      const matrix = new LayerMatrix(layer, weight, plan.get(layer.weight)!);
      const metrics = gram.products.map((products, p) =>
        metricOf(c.biasCorrected ? centred(products, gram.means[p]) : products, gram.width, c.damping ?? 0.01),
      );
      out.set(
        layer.weight,
        adaRounder ? await learned(matrix, metrics, gram, adaRounder) : secondOrder(matrix, metrics),
      );
      c.onProgress?.({ stage: "rounding weights", done: ++done, total: layers.length });
    });
  } finally {
    await adaRounder?.dispose();
  }
  return out;
}

/** Moments about the means. */
const centred = (products: Float64Array, means: Float64Array): Float64Array =>
  products.map((v, k) => v - means[Math.floor(k / means.length)] * means[k % means.length]);

/** A layer's weight cut into rows of panels. */
class LayerMatrix {
  readonly limit: number;
  private readonly weights: Float64Array;
  private readonly scales: Float64Array;

  constructor(
    private readonly layer: WeightedLayer,
    private readonly weight: Tensor,
    grid: WeightGrid,
  ) {
    const { linear, nodes } = layer;
    const of = scaleIndex(weight.dims, grid.axis);
    this.limit = weightLimit(grid.bits === 7);
    this.weights = linear.toMatrix(nodes[0], weight);
    const steps = floats(
      Float32Array.from({ length: weight.data.length }, (_, i) => grid.scale[of(i)]),
      weight.dims,
    );
    this.scales = linear.toMatrix(nodes[0], steps);
  }

  /** Rows per panel. */
  get rows(): number {
    return this.layer.grouped ? this.layer.outputs / this.layer.panels : this.layer.outputs;
  }

  private start(panel: number, row: number, width: number): number {
    const { columns, grouped } = this.layer;
    return grouped ? (panel * this.rows + row) * columns : row * columns + panel * width;
  }

  row(panel: number, row: number, width: number): Row {
    const at = this.start(panel, row, width);
    return {
      weights: this.weights.subarray(at, at + width),
      scales: this.scales.subarray(at, at + width),
      limit: this.limit,
    };
  }

  /** The weight's integers from those of its rows. */
  assemble(width: number, codes: (panel: number, row: number) => Int8Array): Int8Array {
    const all = new Float64Array(this.weights.length);
    for (let p = 0; p < this.layer.panels; p++)
      for (let r = 0; r < this.rows; r++) all.set(codes(p, r), this.start(p, r, width));
    return Int8Array.from(toNumbers(this.layer.linear.fromMatrix(this.layer.nodes[0], all, this.weight.dims)));
  }
}

function secondOrder(matrix: LayerMatrix, metrics: readonly Metric[]): Int8Array {
  const { width } = metrics[0];
  return matrix.assemble(width, (p, r) => roundRow(metrics[p], matrix.row(p, r, width)));
}

async function learned(
  matrix: LayerMatrix,
  metrics: readonly Metric[],
  { width }: LayerGram,
  adaRounder: AdaRounder,
): Promise<Int8Array> {
  const { rows } = matrix;
  const panels = metrics.length;
  const all = (pick: (r: Row) => Float64Array): Float64Array => {
    const out = new Float64Array(panels * rows * width);
    for (let p = 0; p < panels; p++)
      for (let r = 0; r < rows; r++) out.set(pick(matrix.row(p, r, width)), (p * rows + r) * width);
    return out;
  };
  const products = new Float64Array(panels * width * width);
  for (const [p, m] of metrics.entries()) products.set(m.products, p * width * width);
  const codes = await adaRounder.round({
    panels,
    rows,
    width,
    weights: all((r) => r.weights),
    scales: all((r) => r.scales),
    products,
    limit: matrix.limit,
  });
  return matrix.assemble(width, (p, r) => {
    const row = matrix.row(p, r, width);
    const plain = nearest(row);
    const own = codes.slice((p * rows + r) * width, (p * rows + r + 1) * width);
    return rowError(metrics[p], row, own) < rowError(metrics[p], row, plain) ? own : plain;
  });
}
