/** A latency table made of measured sub-nets, and whether it already knows what it would be asked. */
import { type DeviceFacts, fingerprint } from "../runners/index.js";
import {
  crossValidate,
  errorFigures,
  fitCorrection,
  type Kernel,
  type LatencyModel,
  type LatencyTable,
  latencyModel,
  type MeasuredNet,
  NETS_PER_JOB,
  type Observed,
  observationsOf,
  type Precision,
  rowsOf,
  type Shaping,
  sumKernels,
  surfacesOf,
  TABLE_VERSION,
} from "./latency/index.js";
import {
  chosenDesigns,
  coarseDesigns,
  type DesignSpace,
  designFor,
  nearDesigns,
  type SubNetDesign,
} from "./profileDesign.js";

/** What a table is of, besides the nets. */
export interface TableOf {
  facts: DeviceFacts;
  kernels: readonly Kernel[];
  shape: Shaping;
  seed: number;
}

/** Rows and correction of one precision; with `judge`, also how well they predict nets that they were not made of. */
export function tableFrom(
  { nets, discarded, drifting }: Observed,
  precision: Precision,
  { facts, kernels, shape, seed }: TableOf,
  judge = true,
): LatencyTable {
  const observed = observationsOf(nets, kernels, shape);
  const rows = rowsOf(observed, precision);
  const surfaces = surfacesOf(rows, precision);
  const correction = fitCorrection(
    observed.map((n) => sumKernels(n.kernels, surfaces)),
    observed.map((n) => n.ms),
  );
  const { hardware, os, runtime } = facts;
  const quality = (): LatencyTable["quality"] => {
    const { medianErrorPct, p90ErrorPct, spearman } = crossValidate(observed, precision);
    return { [precision]: { n: nets.length, medianErrorPct, p90ErrorPct, spearman, discarded, drifting } };
  };
  return {
    schemaVersion: TABLE_VERSION,
    device: {
      id: facts.id,
      kind: facts.kind,
      fingerprint: fingerprint(facts),
      cpu: hardware.cpu,
      cores: hardware.cores,
      arch: os.arch,
      isa: [...hardware.isa],
      emulated: false,
    },
    runtime: {
      package: runtime.package,
      version: runtime.version,
      provider: runtime.provider,
      threads: runtime.threads,
      graphOptimizationLevel: runtime.graphOptimizationLevel,
    },
    date: new Date().toISOString(),
    basis: "p50",
    seed,
    rows,
    nets: [...nets],
    corrections: { [precision]: correction },
    quality: judge ? quality() : {},
    reference: { [precision]: observed[0].ms },
  };
}

const modelOf = (nets: readonly MeasuredNet[], precision: Precision, of: TableOf): LatencyModel =>
  latencyModel(tableFrom({ nets, discarded: 0, drifting: 0 }, precision, of, false), of.kernels);

/** Nets of one round near what an allocator chooses: one job. */
const ROUND = NETS_PER_JOB;
/** A prediction is settled when a table predicts the nets of the next round this well, in percent. */
const SETTLED = { median: 3, worst: 10 };

/** Whether a table of all nets but those of the last round would have predicted that round. */
function settled(nets: readonly MeasuredNet[], precision: Precision, of: TableOf): boolean {
  const [before, last] = [nets.slice(0, -ROUND), nets.slice(-ROUND)];
  const model = modelOf(before, precision, of);
  const predicted = last.map((n) => {
    const design: SubNetDesign = { widths: new Map(Object.entries(n.widths)), gone: new Set(n.gone) };
    return model.msAt(design.widths, precision, of.shape.goneNodes(design)).ms;
  });
  const measured = last.map((n) => n.ms);
  const worst = Math.max(...predicted.map((p, i) => Math.abs(p / measured[i] - 1) * 100));
  return errorFigures(predicted, measured).medianErrorPct <= SETTLED.median && worst <= SETTLED.worst;
}

/** The course of a profile: a coarse design, then rounds near allocations until they tell nothing new, or `most` nets. */
export function coarseThenChosen(
  space: DesignSpace,
  precision: Precision,
  of: TableOf,
  most: number,
): (nets: readonly MeasuredNet[]) => SubNetDesign[] {
  const coarse = most <= 2 * ROUND ? most : Math.max(2 * ROUND, Math.ceil(most / 2));
  const first = coarseDesigns(space, coarse, of.seed);
  return (nets) => {
    if (nets.length < coarse) return first.slice(nets.length, nets.length + ROUND);
    const room = Math.min(ROUND, most - nets.length);
    if (room <= 0 || (nets.length >= coarse + ROUND && settled(nets, precision, of))) return [];
    return chosenDesigns(space, modelOf(nets, precision, of), precision, room, of.seed + nets.length);
  };
}

/** Rounds at most that one choice of widths may cost. */
export const ROUNDS_PER_CHOICE = 3;

/**
 * The course of a refinement: rounds near the widths that `choose` picks with the table as it is by then, until they are settled. Nothing
 * where the very net has been measured.
 */
export function nearChoice(
  space: DesignSpace,
  precision: Precision,
  of: TableOf,
  known: number,
  choose: (model: LatencyModel) => ReadonlyMap<string, number>,
): (nets: readonly MeasuredNet[]) => SubNetDesign[] {
  return (nets) => {
    const rounds = (nets.length - known) / ROUND;
    if (rounds >= ROUNDS_PER_CHOICE || (rounds >= 1 && settled(nets, precision, of))) return [];
    const centre = designFor(space, choose(modelOf(nets, precision, of)));
    if (nets.some((n) => sameDesign(n, centre))) return [];
    return nearDesigns(space, centre, ROUND, of.seed + nets.length);
  };
}

function sameDesign(n: MeasuredNet, d: SubNetDesign): boolean {
  const sameWidths = [...d.widths].every(([id, width]) => n.widths[id] === width);
  return sameWidths && n.gone.length === d.gone.size && n.gone.every((sum) => d.gone.has(sum));
}
