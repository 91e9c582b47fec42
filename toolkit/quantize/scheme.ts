/** What a placement is asked for, and the plan and grids that follow: the same for every format. */
import { type Graph, type OpNode, opsetOf, producersOf } from "../graph/graph.js";
import { toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { QuantizeRule } from "../ops/rule.js";
import { type ActivationGrid, activationGrid, type QuantRange } from "./affine.js";
import { type IntegerType, integerTypes } from "./integers.js";
import { gridOwner, planQdq, type QdqPlan } from "./plan.js";
import type { Ranges } from "./ranges.js";
import { type WeightGrid, weightGrid } from "./weights.js";

/** `qdq`: float operators between Quantize and Dequantize, which the runtime fuses. `qoperator`: operators on integers (QLinearConv, ...). */
export type QuantizedFormat = "qdq" | "qoperator";

export interface PlaceOptions {
  /** Default `qdq`. */
  format?: QuantizedFormat;
  /** Names of nodes (in the prepared graph) that stay float. */
  keepFloat?: ReadonlySet<string>;
  /** 7-bit weights, for x64 CPUs without VNNI, whose u8 x s8 kernels saturate at 16 bits. Default false. */
  reduceRange?: boolean;
  /** Node name -> what is added to its bias before rounding (see `biasShifts`). */
  biasShifts?: ReadonlyMap<string, Float64Array>;
  /** Type of activations. Default `uint8`. ONNX Runtime's CPU provider has no integer kernels for 16 bits: it computes those in float. */
  activations?: IntegerType;
  /** Zero in the middle of each activation's grid; see `GridOptions`. Default false. */
  symmetric?: boolean;
  /** One scale per weight instead of one per output channel. Default false. */
  perTensor?: boolean;
  /** How weight scales are chosen; see `WeightOptions`. Default `max`. */
  weightScales?: "max" | "mse";
  /** Weight initializer -> its integers on the grid of `weightGrids`, where something better than the nearest was found. */
  rounded?: ReadonlyMap<string, Int8Array>;
}

/** The plan that `placeQdq` follows. */
export function planWith(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): QdqPlan {
  const lookup = rangeLookup(prepared, ranges);
  const signed = integerTypes[o.activations ?? "uint8"].lowest < 0;
  return planQdq(prepared, {
    keepFloat: o.keepFloat ?? new Set(),
    hasRange: (v) => prepared.initializers.has(v) || lookup(v) !== undefined,
    // A symmetric grid reaches as far below zero as above it, so its lower end is no Relu.
    endsClamp: ([low]) => !o.symmetric || (!signed && low === 0),
  });
}

/**
 * The grid of every weight that `placeQdq` will write, by initializer: what `rounded` must be given on. A weight that
 * several nodes share has one grid.
 */
export function weightGrids(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): Map<string, WeightGrid> {
  const plan = planWith(prepared, ranges, o);
  const grids = activationGrids(prepared, ranges, plan, o);
  const out = new Map<string, WeightGrid>();
  for (const n of prepared.nodes) {
    const rule = plan.quantized.get(n.name);
    if (!rule?.weight) continue;
    const name = n.inputs[rule.weight.input];
    const bias = rule.bias === undefined ? undefined : prepared.initializers.get(n.inputs[rule.bias] ?? "");
    const grid = weightGrid(prepared.initializers.get(name)!, rule.weight.axis(n), {
      reduceRange: o.reduceRange ?? false,
      perTensor: o.perTensor ?? false,
      scales: o.weightScales ?? "max",
      ...(bias ? { bias: toNumbers(bias), inputScale: grids(n.inputs[rule.activations[0]]).scale } : {}),
    });
    const known = out.get(name);
    // The scales differ only where a bias needs a coarser one; that one serves all.
    if (known)
      known.scale.forEach((s, c) => {
        known.scale[c] = Math.max(s, grid.scale[c] ?? 0);
      });
    else out.set(name, grid);
  }
  return out;
}

/** The grid of each value that has one. */
export function activationGrids(
  prepared: Graph,
  ranges: Ranges,
  plan: QdqPlan,
  o: PlaceOptions,
): (value: string) => ActivationGrid {
  const lookup = rangeLookup(prepared, ranges);
  const intervals = new Map([...plan.clampOf.values()].map((c) => [c.node.outputs[0], c.interval]));
  const known = new Map<string, ActivationGrid>();
  return (value) => {
    const owner = gridOwner(plan, value);
    let grid = known.get(owner);
    if (!grid) {
      const range = lookup(owner)!;
      const interval = intervals.get(owner);
      grid = activationGrid(
        interval ? { low: Math.max(range.low, interval[0]), high: Math.min(range.high, interval[1]) } : range,
        { type: o.activations ?? "uint8", symmetric: o.symmetric ?? false },
      );
      known.set(owner, grid);
    }
    return grid;
  };
}

/** Range of a value: its own, or that of the value which it is only a rearrangement or selection of. */
export function rangeLookup(prepared: Graph, ranges: Ranges): (value: string) => QuantRange | undefined {
  const producers = producersOf(prepared);
  return (value) => {
    let name = value;
    for (;;) {
      const own = ranges.values.get(name);
      if (own) return own;
      const n = producers.get(name);
      const rule = n && ruleFor(n, opsetOf(prepared, n.domain))?.quantize;
      if (!n || !rule?.passThrough || rule.clamp) return undefined;
      name = n.inputs[rule.activations[0]];
    }
  };
}

/** Bias of a node with what is added to it; undefined where it has none and gets none. */
export function biasOf(g: Graph, n: OpNode, rule: QuantizeRule, o: PlaceOptions): Float64Array | undefined {
  if (rule.bias === undefined) return undefined;
  const own = g.initializers.get(n.inputs[rule.bias] ?? "");
  const shift = o.biasShifts?.get(n.name);
  if (!own) return shift;
  const values = toNumbers(own);
  return shift ? values.map((v, c) => v + shift[c]) : values;
}
