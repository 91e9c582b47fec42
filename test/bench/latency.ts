/**
 * Predicted against measured latency of unseen random sub-nets, beside an affine fit on MACs.
 *
 *   npx tsx test/bench/latency.ts [--models resnet20-cifar10,mobilenetv2] [--device local|wasm|browser] [--nets 20] [--sessions 3] [--seed 1] [--int8]
 *
 * Models: the third-party ResNets, and of the zoo `mobilenetv2` (224x224) and `mobilenetv2-32` (the same for 32x32 images).
 * Each is profiled from nothing. Then sub-nets that the profile never saw are drawn evenly from the width grids, predicted,
 * and measured; and as many again that lack a part of their residual branches. They are measured in small jobs beside the whole
 * model, as the ratio of medians, over several fresh sessions, because where a session's memory lands moves its latency
 * by a few percent. A machine's pace changes between a profile and a test minutes later, by 10 % on a shared one; so some nets
 * of the profile itself are measured again among the unseen ones, and each predictor is also scored at the pace that they show.
 * The fit on MACs is made on the same measured nets as the table's correction.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { linearRegression } from "simple-statistics";
import { type DeviceRunner, type Feeds, median, resolveDevice } from "../../runners/index.js";
import { randomBatch } from "../../toolkit/data/random.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { errorFigures, inputFeeds, type Precision } from "../../toolkit/latency/index.js";
import { readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { profileModel, type ToVariant } from "../../toolkit/profile.js";
import { randomNets, type SubNetDesign, subNetOf } from "../../toolkit/profileDesign.js";
import { calibrate, placeQdq, prepareForQuantization } from "../../toolkit/quantize/index.js";
import { mobileNetV2 } from "../../toolkit/zoo/index.js";
import { counting } from "./counting.js";
import { cifar, head, header, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    models: { type: "string", default: "resnet20-cifar10,mobilenetv2-32" },
    device: { type: "string", default: "local" },
    nets: { type: "string", default: "20" },
    sessions: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
    int8: { type: "boolean", default: false },
  },
});
const nets = Number(flags.nets);
const sessions = Number(flags.sessions);
const seed = Number(flags.seed);
/** Nets of the profile that are measured again with the unseen ones. */
const ANCHORS = 6;
/** Nets that share the rounds of a job with the whole model. */
const PER_JOB = 5;
const precisions: Precision[] = flags.int8 ? ["fp32", "int8"] : ["fp32"];

const device = await resolveDevice(flags.device);
try {
  console.log(header(await device.describe(), `${nets} unseen nets of each kind, ${sessions} sessions, seed ${seed}`));
  for (const model of flags.models.split(",")) await bench(model);
} finally {
  await device.close();
}

async function load(name: string): Promise<Graph> {
  if (name === "mobilenetv2") return mobileNetV2();
  if (name === "mobilenetv2-32") return mobileNetV2({ stem: "cifar" });
  return readModelFile(cifar.model(name));
}

async function bench(name: string): Promise<void> {
  const graph = inferShapes(tidy(await load(name)));
  const cacheDir = mkdtempSync(join(tmpdir(), "edgefit-bench-"));
  const { runner, counts } = counting(device);
  try {
    const toVariant = await variants(graph);
    const profile = await profileModel({ graph, runner, precisions, toVariant, seed, cacheDir });
    const { groups, branches, grids, model, table, seconds } = profile;
    const measuredNets = table.nets.length;
    console.log(
      `${name}: table in ${seconds.toFixed(0)} s: ${measuredNets} sub-nets, ${counts.loads} sessions, ${counts.calls} calls, ${table.rows.length} rows of ${model.kernels.length} kernels\n`,
    );
    console.log(head("model", "precision", "nets", "predictor", "median error %", "p90 %", "max %", "Spearman"));
    const unseen = randomNets({ groups, branches, grids }, nets, seed + 1_000_003);
    const bare = (d: SubNetDesign) => subNetOf(graph, groups, branches, d);
    for (const precision of precisions) {
      const known = table.nets.filter((n) => n.precision === precision);
      const designs = known.map((n) => ({ widths: new Map(Object.entries(n.widths)), gone: new Set(n.gone) }));
      const anchors = designs.slice(0, ANCHORS);
      const tested = [...anchors, ...unseen.whole, ...unseen.shallow];
      const models = await Promise.all(tested.map((d) => toVariant(bare(d), precision)));
      const whole = await toVariant(graph, "fp32");
      const all = await measure(device, whole, models, inputFeeds(graph, seed));
      const score = (label: string, predict: (d: SubNetDesign) => number): void => {
        const pace = median(anchors.map((d, i) => all[i] / predict(d)));
        for (const [kind, from] of [["of all layers", ANCHORS] as const, ["without some", ANCHORS + nets] as const]) {
          const measured = all.slice(from, from + nets);
          const predicted = tested.slice(from, from + nets).map(predict);
          if (predicted.length === 0) continue;
          for (const [at, factor] of [["", 1] as const, [`, at the test's pace (${pace.toFixed(3)})`, pace] as const]) {
            const scaled = predicted.map((p) => p * factor);
            const { medianErrorPct, p90ErrorPct, spearman } = errorFigures(scaled, measured);
            const worst = Math.max(...scaled.map((p, i) => Math.abs(p / measured[i] - 1) * 100));
            const figures = [medianErrorPct.toFixed(2), p90ErrorPct.toFixed(2), worst.toFixed(1)];
            console.log(
              row(
                name,
                precision,
                `${nets} ${kind}`,
                `${label}${at}`,
                ...figures,
                spearman === null ? "-" : spearman.toFixed(3),
              ),
            );
          }
        }
      };
      score("table", (d) => model.msAt(d.widths, precision, goneNodes(branches, d)).ms);
      const macs = (d: SubNetDesign) => costsOf(bare(d)).macs;
      const { m, b } = linearRegression(designs.map((d, i) => [macs(d), known[i].ms]));
      score("MACs", (d) => m * macs(d) + b);
    }
    console.log();
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
}

function goneNodes(branches: readonly { sum: string; nodes: ReadonlySet<string> }[], d: SubNetDesign): Set<string> {
  return new Set(branches.filter((b) => d.gone.has(b.sum)).flatMap((b) => [...b.nodes]));
}

/** fp32 as it is; INT8 with ranges from random inputs, which decide accuracy but not speed. */
async function variants(graph: Graph): Promise<ToVariant> {
  const dims = (graph.inputs[0].type.dims ?? []).map((d, i) => (i === 0 ? 8 : Number(d)));
  async function* batches() {
    yield randomBatch(dims, seed);
  }
  const ranges = flags.int8 ? await calibrate(graph, batches()) : undefined;
  return (g, precision) => writeModel(precision === "int8" && ranges ? placeQdq(prepareForQuantization(g), ranges) : g);
}

/** p50 in ms per model: a few models beside the whole one in a job, calls in turns; the median ratio over fresh sessions. */
async function measure(on: DeviceRunner, whole: Uint8Array, models: readonly Uint8Array[], feeds: Feeds) {
  const ratios: number[][] = models.map(() => []);
  const wholeMs: number[] = [];
  const { id: reference } = await on.load(whole);
  for (let s = 0; s < sessions; s++) {
    for (let from = 0; from < models.length; from += PER_JOB) {
      const ids = [];
      for (const bytes of models.slice(from, from + PER_JOB)) ids.push((await on.load(bytes)).id);
      const [base, ...rest] = await on.measure({
        models: [reference, ...ids].map((id) => ({ id, feeds })),
        warmup: 3,
        minWarmupMs: 0,
        minSamples: 15,
        minTimeMs: 600,
        seed: seed + s,
      });
      const baseMs = median(base.samplesMs);
      wholeMs.push(baseMs);
      rest.forEach((r, i) => {
        ratios[from + i].push(median(r.samplesMs) / baseMs);
      });
      for (const id of ids) await on.unload(id);
    }
  }
  await on.unload(reference);
  return ratios.map((r) => median(r) * median(wholeMs));
}
