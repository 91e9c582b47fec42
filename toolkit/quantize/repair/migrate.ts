/**
 * Moves the width of activations into the weights that follow (Xiao et al. 2023, "SmoothQuant", equation 4): channels with outliers
 * are divided, and the columns that read them multiplied, so that one scale per tensor wastes less on the others. The factors go
 * into whatever writes the channels: a layer, a normalisation's scale and shift.
 */
import type { Graph } from "../../graph/graph.js";
import { toNumbers } from "../../graph/tensor.js";
import { applyFactors } from "./applyFactors.js";
import { channelExtremes, peaksOf } from "./channelExtremes.js";
import { type ClampMode, factorsForClamps } from "./clamps.js";
import type { FloatRepair, RepairContext } from "./repair.js";
import { findScaleGroups, readValues, type ScaleGroup } from "./scaleGroups.js";
import { weightChannels } from "./weightChannels.js";

export interface MigrationOptions {
  /** 1 takes all width out of the activations, 0 all out of the weights. Default 0.5. */
  strength?: number;
  /** Default `hold`. */
  clamps?: ClampMode;
}

/** SmoothQuant's migration at strength 0.5: outputs on the given images stay as they are. */
export const migrateActivations: FloatRepair = (g, c) => migrate(g, c);

/** `migrateActivations` with settings. */
export async function migrate(g: Graph, c: RepairContext, o: MigrationOptions = {}): Promise<Graph> {
  const strength = o.strength ?? 0.5;
  const mode = o.clamps ?? "hold";
  const groups = findScaleGroups(g);
  const extremes = await channelExtremes(
    g,
    [...groups.flatMap(readValues), ...groups.flatMap((group) => group.clamps.map((k) => k.carrier))],
    c,
  );
  return applyFactors(
    g,
    groups.map((group) => {
      const wide = peaksOf(group, extremes);
      const columns = columnPeaks(g, group);
      const wished = wide.map((x, i) => (x > 0 && columns[i] > 0 ? x ** strength / columns[i] ** (1 - strength) : 1));
      const mean = wished.reduce((sum, f) => sum + Math.log(f), 0) / wished.length;
      const level = Math.exp(-mean);
      return {
        group,
        ...factorsForClamps(
          g,
          group,
          wished.map((f, i) => (wide[i] > 0 && columns[i] > 0 ? f * level : 1)),
          extremes,
          mode,
        ),
      };
    }),
  );
}

function columnPeaks(g: Graph, group: ScaleGroup): Float64Array {
  const out = new Float64Array(group.channels);
  for (const end of group.sinks) {
    const weight = g.initializers.get(end.node.inputs[end.rule.weight])!;
    const { inputOf } = weightChannels(end, weight.dims);
    toNumbers(weight).forEach((v, i) => {
      const c = Math.floor(inputOf(i) / end.repeat);
      out[c] = Math.max(out[c], Math.abs(v));
    });
  }
  return out;
}
