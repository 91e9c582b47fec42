/**
 * What repair and distillation give at one and the same set of widths.
 *
 *   npx tsx test/bench/repair.ts [--model resnet56-cifar10] [--budget 60%] [--epochs 5] [--learning-rate 0.02] [--blocks keep] [--seed 1]
 *
 * Widths are chosen once for a float net within the budget. Each line is the same widths and channels: cut and nothing else,
 * statistics re-estimated, weights solved again, and that net distilled from the original on the training images. Also the
 * plain cut by L1 norm, so that the ranking's own share is seen.
 */
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { parseBudget } from "../../toolkit/budget.js";
import { finetune } from "../../toolkit/finetune.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { evaluateOn, oneCall, openDevice } from "../../toolkit/onDevice.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { profileModel } from "../../toolkit/profile.js";
import { propose } from "../../toolkit/propose.js";
import { reestimateStatistics } from "../../toolkit/prune/batchNorm.js";
import { dropBranches, droppedBranches, findBranches, withBranches } from "../../toolkit/prune/branches.js";
import { findGroups, keptPositions } from "../../toolkit/prune/groups.js";
import { keepLast, normScores, orderByScore } from "../../toolkit/prune/importance.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { rank } from "../../toolkit/ranking.js";
import { imageBatches, openSubject } from "../../toolkit/subject.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "resnet56-cifar10" },
    budget: { type: "string", default: "60%" },
    epochs: { type: "string", default: "5" },
    "learning-rate": { type: "string" },
    blocks: { type: "string", default: "drop" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(flags.seed);
const runner = await openLocalRunner({ threads: 1 });
try {
  const device = await openDevice({ device: runner });
  const subject = await openSubject({
    model: cifar.model(flags.model),
    data: cifar.data,
    preprocess: cifar.preprocess,
  });
  const { graph } = subject;
  const { train, test } = subject.data!;
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const calibration = await imageBatches(subject, train, range(0, 512));
  const heldBack = await imageBatches(subject, train, range(512, 768));
  const groups = findGroups(graph);
  const branches = flags.blocks === "keep" ? [] : findBranches(graph, groups);
  const profile = await profileModel({ graph, groups, runner, seed });
  const ranking = await rank(graph, groups, {
    criterion: "reconstruction",
    calibration: calibration.tensors,
    labels: calibration.labels,
    heldBack: heldBack.tensors,
    candidates: withBranches(profile.candidateWidths, branches),
    branches,
  });
  const context = {
    subject,
    groups,
    branches,
    device,
    call: oneCall(subject, calibration.tensors[0]),
    latency: profile.model,
    ranking,
  };
  const outcome = await propose(context, {
    precision: "fp32",
    budget: parseBudget(flags.budget),
    percentile: "p50",
    share: 0.99,
    seed,
    toBytes: writeModel,
  });
  if (outcome.state !== "found") throw new Error(`no widths within ${flags.budget}: fastest ${outcome.fastestMs} ms`);
  const { cut, keep, widths, measuredMs, limitMs } = outcome.proposal;

  console.log(
    header(
      device.facts,
      `budget ${flags.budget} (${limitMs.toFixed(3)} ms, measured ${measuredMs.toFixed(3)} ms), seed ${seed}, all test images`,
    ),
  );
  console.log(head("net", "top-1 %", "seconds"));
  const line = async (name: string, make: () => Promise<Graph> | Graph): Promise<Graph> => {
    const begin = performance.now();
    const g = await make();
    const seconds = (performance.now() - begin) / 1000;
    const { accuracy } = await evaluateOn(device, subject, writeModel(g), test);
    console.log(row(name, percent(accuracy?.top1), seconds.toFixed(1)));
    return g;
  };
  await line("original", () => graph);
  await line("cut by L1 norm, nothing else", () => {
    const byNorm = [...keep].map(
      ([id, kept]) =>
        [id, keepLast(orderByScore(normScores(graph, groups, groups.group(id), 1)), kept.length)] as const,
    );
    return dropBranches(sliceGraph(graph, groups, new Map(byNorm)), droppedBranches(branches, widths));
  });
  await line("cut, nothing else", () => cut);
  await line("cut, statistics re-estimated", () => reestimateStatistics(cut, calibration.tensors));
  const repaired = await line("cut, weights solved again", () =>
    reconstruct(graph, cut, (n, a) => keptPositions(groups, keep, n, a), calibration.tensors),
  );
  const epochs = Number(flags.epochs);
  const rate = flags["learning-rate"] === undefined ? {} : { learningRate: Number(flags["learning-rate"]) };
  if (epochs > 0) {
    await line(`... and ${epochs} epochs of distillation on ${train.count} images`, () =>
      finetune(repaired, { teacher: graph, data: train, epochs, seed, ...rate }),
    );
  }
} finally {
  await runner.close();
}
