/** Repairs proposals, brings them to their precision, and weighs them against the original. */

import type { Split } from "./data/index.js";
import { finetune } from "./finetune.js";
import { finetuneQuantized } from "./finetuneQuantized.js";
import { type Fitting, timed } from "./fitting.js";
import type { Graph } from "./graph/graph.js";
import type { LatencyModel } from "./latency/index.js";
import { ratioOf } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import { needsReducedRange, toInt8 } from "./precision.js";
import { isCut, type Proposal } from "./propose.js";
import { reestimateStatistics } from "./prune/batchNorm.js";
import { keptPositions } from "./prune/groups.js";
import { reconstruct } from "./prune/reconstruct.js";
import { relativeError } from "./prune/sensitivity.js";
import { outputsOn } from "./prune/walk.js";
import { topAgreement, type Weighed } from "./reportOf.js";

/** A ratio of times that is more than noise. */
const CLEARLY_FASTER = 1.05;

/** Repairs every proposal, in its precision, and measures how far its outputs are from the original's. */
export async function weigh(f: Fitting, proposals: readonly Proposal[], latency: LatencyModel): Promise<Weighed[]> {
  const out: Weighed[] = [];
  for (const proposal of proposals) {
    const repaired = await repair(f, proposal);
    const { graph, keptFloat } = await inPrecision(f, proposal, repaired, latency);
    const outputs = await outputsOn(graph, f.heldBack, { signal: f.o.signal });
    out.push({
      proposal,
      repaired,
      graph,
      error: relativeError(outputs, f.reference),
      outputs,
      reference: f.reference,
      keptFloat,
    });
  }
  return out;
}

/** Least squares, plain cut and re-estimated statistics, judged on held-back images; the nearest to the original wins. */
async function repair(f: Fitting, p: Proposal): Promise<Graph> {
  if (!isCut(p)) return p.cut;
  const settings = { signal: f.o.signal, onProgress: f.o.onProgress };
  const kept = (name: string, axis: number) => keptPositions(f.groups, p.keep, name, axis);
  const candidates = [
    await reconstruct(f.subject.graph, p.cut, kept, f.calibration, settings),
    await reestimateStatistics(p.cut, f.calibration, settings),
    p.cut,
  ];
  let best = p.cut;
  let least = Number.POSITIVE_INFINITY;
  for (const g of candidates) {
    const error = relativeError(await outputsOn(g, f.heldBack, settings), f.reference);
    if (error < least) {
      least = error;
      best = g;
    }
  }
  return best;
}

/** A net as it will run; in INT8, with the float net that it was placed on. */
interface InPrecision {
  graph: Graph;
  keptFloat: Weighed["keptFloat"];
  prepared?: Graph;
}

/** A repaired net in the precision of its proposal. */
async function inPrecision(f: Fitting, p: Proposal, repaired: Graph, latency: LatencyModel): Promise<InPrecision> {
  if (p.precision === "fp32") return { graph: repaired, keptFloat: new Map() };
  const settings = {
    calibration: f.calibration,
    reduceRange: needsReducedRange(f.device.facts),
    onProgress: f.o.onProgress,
    signal: f.o.signal,
  };
  const all = await toInt8(repaired, settings);
  const notFaster = slowerInInt8(latency, p);
  // Offline there is nothing to ask.
  if (notFaster.size === 0 || f.o.offline) return all;
  // The table knows each kernel, but not what changing between integers and floats costs: the whole model decides.
  const some = await toInt8(repaired, { ...settings, notFaster });
  const [a, b] = await timed(f, [writeModel(all.graph), writeModel(some.graph)]);
  return ratioOf(a, b).ratio > CLEARLY_FASTER ? some : all;
}

/** Nodes of kernels that the table says are clearly slower on integers. */
function slowerInInt8(latency: LatencyModel, p: Proposal): Set<string> {
  const [float, integer] = (["fp32", "int8"] as const).map((precision) => latency.layerMs(p.widths, precision, p.gone));
  const slower = latency.kernels.filter((k) => integer.get(k.id)! > CLEARLY_FASTER * float.get(k.id)!);
  return new Set(slower.flatMap((k) => k.nodes));
}

/** Distils the original into the repaired net when asked to, and brings it to its precision again. */
export async function finetuned(
  f: Fitting,
  w: Weighed,
  latency: LatencyModel,
): Promise<{ graph: Graph; keptFloat: Weighed["keptFloat"] }> {
  const epochs = f.o.finetune ?? 0;
  const integerEpochs = w.proposal.precision === "int8" ? (f.o.qat ?? 0) : 0;
  if (epochs === 0 && integerEpochs === 0) return w;
  if (!isCut(w.proposal) && integerEpochs === 0) {
    f.warn("the budget is kept without a cut, so there was nothing to fine-tune");
    return w;
  }
  if (!f.subject.data) {
    f.warn("fine-tuning needs images: give --data");
    return w;
  }
  const float = epochs > 0 && isCut(w.proposal) ? await finetunedFloat(f, w, epochs, f.subject.data.train) : w.repaired;
  if (float === w.repaired && integerEpochs === 0) return w;
  const placed = await inPrecision(f, w.proposal, float, latency);
  return integerEpochs > 0 ? finetunedIntegers(f, placed, integerEpochs, f.subject.data.train) : placed;
}

/** The repaired net after distillation in float; as it was, where that took it away from the original. */
async function finetunedFloat(f: Fitting, w: Weighed, epochs: number, data: Split): Promise<Graph> {
  const graph = await finetune(w.repaired, {
    teacher: f.subject.graph,
    data,
    epochs,
    seed: f.o.seed,
    preprocessing: f.subject.preprocessing?.values,
    onProgress: f.o.onProgress,
    signal: f.o.signal,
  });
  if ((await nearness(f, graph)) < (await nearness(f, w.repaired))) {
    f.warn("fine-tuning took the net further from the original than it was after repair, so the repaired net is kept");
    return w.repaired;
  }
  return graph;
}

/** The INT8 net after distillation in integers; as it was, where that took it away from the original. */
async function finetunedIntegers(f: Fitting, placed: InPrecision, epochs: number, data: Split): Promise<InPrecision> {
  if (!placed.prepared) return placed;
  const graph = await finetuneQuantized(placed.graph, {
    prepared: placed.prepared,
    teacher: f.subject.graph,
    data,
    epochs,
    seed: f.o.seed,
    preprocessing: f.subject.preprocessing?.values,
    onProgress: f.o.onProgress,
    signal: f.o.signal,
  });
  if ((await nearness(f, graph)) < (await nearness(f, placed.graph))) {
    f.warn("fine-tuning in INT8 took the net further from the original than it was, so the net without it is kept");
    return placed;
  }
  return { ...placed, graph };
}

/** How near a net is to the original on held-back images: share of equal top classes, or less its relative error. */
async function nearness(f: Fitting, g: Graph): Promise<number> {
  const outputs = await outputsOn(g, f.heldBack, { signal: f.o.signal });
  // Distillation leaves the level of all scores free, so an error of the scores themselves would mislead.
  return topAgreement(f.subject, f.reference, outputs) ?? -relativeError(outputs, f.reference);
}
