/**
 * Cross-layer equalisation (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
 * section 4.1): neighbouring layers share out the ranges of the channels between them, so that one scale per tensor fits all
 * channels. Beyond the paper's pairs: any chain that scales, residual sums with several writers and readers among them.
 */
import type { Graph } from "../../graph/graph.js";
import { throwIfAborted } from "../../graph/progress.js";
import { toNumbers } from "../../graph/tensor.js";
import { applyFactors } from "./applyFactors.js";
import { channelExtremes, peaksOf } from "./channelExtremes.js";
import { type ClampMode, factorsForClamps } from "./clamps.js";
import type { FloatRepair, RepairContext } from "./repair.js";
import { findScaleGroups, type LayerEnd, readValues, type ScaleGroup } from "./scaleGroups.js";
import { weightChannels } from "./weightChannels.js";

export interface EqualizationOptions {
  /** Default `hold`. */
  clamps?: ClampMode;
  /** Rounds over all groups; they stop earlier when no factor moves by more than 0.1 %. Default 100. */
  rounds?: number;
  /**
   * Whether the values between two layers count as a further tensor with one scale, divided like the weights that write them. A channel
   * of tiny weights that lives by its bias would else grow until it alone decides that scale. Default true.
   */
  activations?: boolean;
}

/** Cross-layer equalisation with bounds of clamps held (see `ClampMode`): the outputs on the given images stay as they are. */
export const crossLayerEqualization: FloatRepair = (g, c) => equalize(g, c);

/** `crossLayerEqualization` with settings. */
export async function equalize(g: Graph, c: RepairContext, o: EqualizationOptions = {}): Promise<Graph> {
  const groups = findScaleGroups(g);
  const mode = o.clamps ?? "hold";
  const clamped = groups.flatMap((group) => group.clamps.map((k) => k.carrier));
  const extremes = await channelExtremes(g, [...groups.flatMap(readValues), ...clamped], c);
  const peaks = groups.map((group) => peaksOf(group, extremes));
  const layers = new LayerRanges(g);
  const factors: Float64Array[] = groups.map((group) => new Float64Array(group.channels).fill(1));
  const rounds = o.rounds ?? 100;
  const done = groups.map((group, k) => factorsForClamps(g, group, factors[k], extremes, mode));
  for (let round = 0; round < rounds; round++) {
    throwIfAborted(c.signal);
    let moved = 0;
    groups.forEach((group, k) => {
      const [rows, columns] = [layers.rows(group), layers.columns(group)];
      if (o.activations ?? true)
        raise(
          rows,
          peaks[k].map((p, i) => p / factors[k][i]),
        );
      const step = rows.map((r, i) => (r > 0 && columns[i] > 0 ? Math.sqrt(r / columns[i]) : 1));
      // A common factor of all channels changes nothing that matters; without it numbers stay near where they were.
      const logs = step.map(Math.log);
      const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
      const wished = factors[k].map((f, i) => f * Math.exp(logs[i] - mean));
      const next = factorsForClamps(g, group, wished, extremes, mode);
      const change = next.factors.map((f, i) => f / factors[k][i]);
      layers.scale(group, change);
      for (const f of change) moved = Math.max(moved, Math.abs(Math.log(f)));
      factors[k] = next.factors;
      done[k] = next;
    });
    c.onProgress?.({ stage: "equalising layers", done: round + 1, total: rounds });
    if (moved < 1e-3) break;
  }
  return applyFactors(
    g,
    groups.map((group, k) => ({ group, ...done[k] })),
  );
}

/** Largest magnitudes of weights by output and input channel, kept up to date while factors change. */
class LayerRanges {
  private readonly layers = new Map<string, { inputs: number; outputs: number; largest: Float64Array }>();

  constructor(private readonly g: Graph) {}

  /** Per channel, the largest share of its tensor's range that a row of a writing layer takes up. */
  rows(group: ScaleGroup): Float64Array {
    const out = new Float64Array(group.channels);
    for (const end of group.sources) {
      const { inputs, outputs, largest } = this.layer(end);
      const rows = new Float64Array(outputs);
      for (let o = 0; o < outputs; o++)
        for (let i = 0; i < inputs; i++) rows[o] = Math.max(rows[o], largest[o * inputs + i]);
      raise(out, rows);
    }
    for (const { node, rule } of group.normalizations)
      raise(out, toNumbers(this.g.initializers.get(node.inputs[rule.scale])!).map(Math.abs));
    return out;
  }

  /** The same for the columns of the reading layers. */
  columns(group: ScaleGroup): Float64Array {
    const out = new Float64Array(group.channels);
    for (const end of group.sinks) {
      const { inputs, outputs, largest } = this.layer(end);
      const columns = new Float64Array(group.channels);
      for (let o = 0; o < outputs; o++)
        for (let i = 0; i < inputs; i++) {
          const c = Math.floor(i / end.repeat);
          columns[c] = Math.max(columns[c], largest[o * inputs + i]);
        }
      raise(out, columns);
    }
    return out;
  }

  scale(group: ScaleGroup, change: Float64Array): void {
    for (const end of group.sources) {
      const { inputs, largest } = this.layer(end);
      for (let k = 0; k < largest.length; k++) largest[k] /= change[Math.floor(k / inputs)];
    }
    for (const end of group.sinks) {
      const { inputs, largest } = this.layer(end);
      for (let k = 0; k < largest.length; k++) largest[k] *= change[Math.floor((k % inputs) / end.repeat)];
    }
  }

  private layer(end: LayerEnd): { inputs: number; outputs: number; largest: Float64Array } {
    const known = this.layers.get(end.node.name);
    if (known) return known;
    const weight = this.g.initializers.get(end.node.inputs[end.rule.weight])!;
    const { inputs, outputs, inputOf, outputOf } = weightChannels(end, weight.dims);
    const largest = new Float64Array(inputs * outputs);
    toNumbers(weight).forEach((v, i) => {
      const at = outputOf(i) * inputs + inputOf(i);
      largest[at] = Math.max(largest[at], Math.abs(v));
    });
    const made = { inputs, outputs, largest };
    this.layers.set(end.node.name, made);
    return made;
  }
}

/** Takes in the magnitudes of one tensor as shares of its largest, so that tensors of different ranges count alike. */
function raise(into: Float64Array, magnitudes: Float64Array): void {
  const peak = magnitudes.reduce((a, b) => Math.max(a, b), 0);
  if (peak === 0) return;
  for (let c = 0; c < into.length; c++) into[c] = Math.max(into[c], magnitudes[c] / peak);
}
