/**
 * Predicted against measured latency of unseen random sub-nets, beside an affine fit on MACs.
 *
 *   npx tsx test/bench/latency.ts [--models resnet20-cifar10,resnet56-cifar10] [--nets 20] [--sessions 5] [--seed 1] [--int8]
 *
 * Each model is profiled from nothing. Then sub-nets that the profile never saw are drawn evenly from the width grids, predicted,
 * and measured: p50 of interleaved calls in several fresh sessions, because where a session's memory lands moves its latency
 * by a few percent. A machine's pace changes between a profile and a test minutes later, by 10 % on a shared one; so some nets
 * of the profile itself are measured again among the unseen ones, and each predictor is also scored at the pace that they show.
 * The fit on MACs is made on the same measured nets as the table's correction.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { linearRegression } from "simple-statistics";
import { type DeviceRunner, type Feeds, median, openLocalRunner } from "../../runners/index.js";
import { randomBatch } from "../../toolkit/data/random.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { errorFigures, inputFeeds, type Precision, randomWidths } from "../../toolkit/latency/index.js";
import { readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { profileModel, type ToVariant } from "../../toolkit/profile.js";
import type { Widths } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { calibrate, placeQdq } from "../../toolkit/quantize/index.js";
import { sharedPath } from "../support/shared.js";

const { values: flags } = parseArgs({
  options: {
    models: { type: "string", default: "resnet20-cifar10,resnet56-cifar10" },
    nets: { type: "string", default: "20" },
    sessions: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    int8: { type: "boolean", default: false },
  },
});
const nets = Number(flags.nets);
const sessions = Number(flags.sessions);
const seed = Number(flags.seed);
/** Nets of the profile that are measured again with the unseen ones. */
const ANCHORS = 8;
const precisions: Precision[] = flags.int8 ? ["fp32", "int8"] : ["fp32"];

const runner = await openLocalRunner({ threads: 1 });
const facts = await runner.describe();
console.log(
  `${facts.hardware.cpu}, ${facts.hardware.cores} cores, ${facts.os.platform} ${facts.os.arch}; ${facts.runtime.package} ${facts.runtime.version}, Node ${process.versions.node}`,
);
console.log(
  `${facts.runtime.threads} thread, batch 1, level ${facts.runtime.graphOptimizationLevel}, seed ${seed}, ${new Date().toISOString().slice(0, 10)}\n`,
);
console.log("| model | precision | predictor | nets | median error % | p90 % | max % | Spearman | profile s |");
console.log("|---|---|---|---|---|---|---|---|---|");
try {
  for (const model of flags.models.split(",")) await bench(model);
} finally {
  await runner.close();
}

async function bench(name: string): Promise<void> {
  const graph = inferShapes(tidy(await readModelFile(sharedPath(`models/resnet-cifar10/${name}.onnx`))));
  const cacheDir = mkdtempSync(join(tmpdir(), "edgefit-bench-"));
  try {
    const toVariant = await variants(graph);
    const sliced = (widths: Widths) =>
      sliceGraph(
        graph,
        groups,
        new Map([...widths].map(([id, w]) => [id, Int32Array.from({ length: w }, (_, i) => i)])),
      );
    const { groups, grids, model, table, seconds } = await profileModel({
      graph,
      runner,
      precisions,
      toVariant,
      seed,
      cacheDir,
    });
    const unseen = randomWidths(groups.prunable, grids, nets, seed + 1_000_003);
    for (const precision of precisions) {
      const known = table.nets.filter((n) => n.precision === precision);
      const anchors = known.slice(0, ANCHORS).map((n) => new Map(Object.entries(n.widths)));
      const models = await Promise.all([...anchors, ...unseen].map((w) => toVariant(sliced(w), precision)));
      const all = await measure(runner, models, inputFeeds(graph, seed));
      const measured = all.slice(ANCHORS);
      const line = (label: string, predicted: number[], spent: string) => {
        const { medianErrorPct, p90ErrorPct, spearman } = errorFigures(predicted, measured);
        const worst = Math.max(...predicted.map((p, i) => Math.abs(p / measured[i] - 1) * 100));
        const cells = [
          name,
          precision,
          label,
          nets,
          medianErrorPct.toFixed(2),
          p90ErrorPct.toFixed(2),
          worst.toFixed(1),
          spearman?.toFixed(3) ?? "-",
          spent,
        ];
        console.log(`| ${cells.join(" | ")} |`);
      };
      const score = (label: string, predict: (w: Widths) => number, spent: string) => {
        const predicted = unseen.map(predict);
        line(label, predicted, spent);
        const pace = median(anchors.map((w, i) => all[i] / predict(w)));
        line(
          `${label}, at the test's pace (${pace.toFixed(3)})`,
          predicted.map((p) => p * pace),
          "",
        );
      };
      score("table", (w) => model.msAt(w, precision).ms, (seconds / precisions.length).toFixed(0));
      const macs = (w: Widths) => costsOf(sliced(w)).macs;
      const { m, b } = linearRegression(known.map((n) => [macs(new Map(Object.entries(n.widths))), n.ms]));
      score("MACs", (w) => m * macs(w) + b, "");
    }
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
}

/** fp32 as it is; INT8 with ranges from random inputs, which decide accuracy but not speed. */
async function variants(graph: Graph): Promise<ToVariant> {
  const dims = (graph.inputs[0].type.dims ?? []).map((d, i) => (i === 0 ? 8 : Number(d)));
  async function* batches() {
    yield randomBatch(dims, seed);
  }
  const ranges = flags.int8 ? await calibrate(graph, batches()) : undefined;
  return (g, precision) => writeModel(precision === "int8" && ranges ? placeQdq(g, ranges) : g);
}

/** p50 in ms per model: calls of all are interleaved, and the median is taken over fresh sessions. */
async function measure(on: DeviceRunner, models: readonly Uint8Array[], feeds: Feeds): Promise<number[]> {
  const p50: number[][] = models.map(() => []);
  for (let s = 0; s < sessions; s++) {
    const loaded = [];
    for (const bytes of models) loaded.push((await on.load(bytes)).id);
    const rows = await on.measure({
      models: loaded.map((id) => ({ id, feeds })),
      minWarmupMs: 50,
      minSamples: 100,
      minTimeMs: 0,
      // Dozens of sessions take turns: without these calls each sample would pay for the others' data in the caches.
      callsBeforeSample: 4,
      seed: seed + s,
    });
    rows.forEach((r, i) => {
      p50[i].push(median(r.samplesMs));
    });
    for (const id of loaded) await on.unload(id);
  }
  return p50.map((x) => median(x));
}
