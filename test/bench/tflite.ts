/**
 * TFLite import: top-1 of the MLPerf Tiny ResNet-8 on all CIFAR-10 test images, beside the twin published as ONNX.
 *
 *   npx tsx test/bench/tflite.ts [--images 10000]
 *
 * Where EDGEFIT_TFLITE_CASES names a folder that test/corpus/tfliteCases.py filled, also how far the outputs of its models
 * are from those of TensorFlow Lite's interpreter, at ONNX Runtime's levels `disabled` and `all` (the greater counts).
 */
import { parseArgs } from "node:util";
import { loadDataset } from "../../toolkit/data/index.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32, toNumbers } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { importModel } from "../../toolkit/importModel.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { importTflite } from "../../toolkit/tflite/index.js";
import { randomFeeds, randomKeep, runGraph } from "../support/graphs.js";
import { sharedPath } from "../support/shared.js";
import { caseBytes, differenceTo, type TfliteCase, tfliteCases } from "../support/tfliteCases.js";
import { head, row } from "./header.js";

const { values: flags } = parseArgs({ options: { images: { type: "string", default: "10000" } } });
const path = (name: string): string => sharedPath(`models/mlperf-tiny/${name}`);

async function top1(g: Graph, layout: "nchw" | "nhwc"): Promise<number> {
  const { test } = await loadDataset(`cifar10:${sharedPath("data/cifar10")}`, {
    size: { height: 32, width: 32 },
    fit: "stretch",
    rescaleFactor: 1,
    imageMean: [0, 0, 0],
    imageStd: [1, 1, 1],
    channelOrder: "rgb",
    layout,
    resample: "bilinear",
  });
  const count = Math.min(Number(flags.images), test.count);
  return withSession(g, { threads: 1 }, async (s) => {
    let right = 0;
    for (let i = 0; i < count; i += 100) {
      const batch = await test.batch(Array.from({ length: Math.min(100, count - i) }, (_, k) => i + k));
      const out = await s.run({ [s.inputs[0].name]: { elemType: "float32", dims: batch.dims, data: batch.data } });
      const scores = toFloat32(out[s.outputs[0].name]);
      for (const [k, label] of batch.labels!.entries()) {
        const own = scores.subarray(10 * k, 10 * k + 10);
        if (own.indexOf(Math.max(...own)) === label) right++;
      }
    }
    return right / count;
  });
}

console.log(`${flags.images} test images, ONNX Runtime level all; ${new Date().toISOString().slice(0, 10)}\n`);
console.log(head("model", "as", "nodes", "Transpose", "groups", "top-1 %"));
for (const [file, as, options] of [
  ["pretrainedResnet.tflite", "float", {}],
  ["pretrainedResnet.tflite", "float, layout nchw", { layout: "nchw" as const }],
  ["pretrainedResnet_quant.tflite", "INT8 (QDQ)", { floatIo: true }],
  ["pretrainedResnet_quant.tflite", "INT8, as floats", { dequantize: true }],
  ["resnet8-cifar10.onnx", "published twin", undefined],
] as const) {
  const g = options
    ? (await importModel({ model: path(file), batch: "any", ...options })).graph
    : await readModelFile(path(file));
  const layout = options && !("layout" in options) ? "nhwc" : "nchw";
  const turns = g.nodes.filter((n) => n.opType === "Transpose").length;
  const groups = inspectModel(g).groups.length;
  console.log(row(file, as, g.nodes.length, turns, groups, (100 * (await top1(g, layout))).toFixed(2)));
}

const folder = process.env.EDGEFIT_TFLITE_CASES;
if (folder) await againstInterpreter(folder);

async function againstInterpreter(from: string): Promise<void> {
  const found: { c: TfliteCase; off: number; g: Graph }[] = [];
  const refused: string[] = [];
  for (const c of tfliteCases(from)) {
    try {
      const g = importTflite(caseBytes(from, c), { where: c.file });
      const off = [await differenceTo(from, c, g, "disabled"), await differenceTo(from, c, g, "all")];
      found.push({ c, off: Math.max(...off), g });
    } catch (e) {
      refused.push(`${c.name} ${c.mode}: ${(e as Error).message}`);
    }
  }
  const operators = new Set(found.flatMap(({ c }) => c.operators));
  console.log(`\n${found.length} models with ${operators.size} operators against TensorFlow Lite's interpreter\n`);
  console.log(head("models of one operator or pattern", "count", "worst", "which"));
  for (const mode of ["float", "float16", "dynamic", "int8"] as const) {
    const own = found.filter(({ c }) => c.mode === mode && c.kind === "operator").sort((a, b) => b.off - a.off);
    if (own.length === 0) continue;
    const over = mode === "int8" ? ` (${own.filter((f) => f.off > 1).length} above 1 step)` : "";
    console.log(row(mode, own.length, offText(own[0].off, mode) + over, own[0].c.name));
  }
  console.log(
    `\n${head("network", "as", "nodes", "Transpose", "groups", "frozen", "largest difference", "slice - mask")}`,
  );
  for (const { c, off, g } of found.filter((f) => f.c.kind === "network")) {
    const turns = g.nodes.filter((n) => n.opType === "Transpose").length;
    const { groups, frozen } = inspectModel(g);
    console.log(
      row(
        c.name,
        c.mode,
        g.nodes.length,
        turns,
        groups.length,
        frozen.length,
        offText(off, c.mode),
        await sliceError(g),
      ),
    );
  }
  for (const text of refused) console.log(`refused: ${text}`);
}

/** Sliced against masked, 60 % of the channels of every group kept: largest difference of any output (in steps for integers). */
async function sliceError(model: Graph): Promise<string> {
  const g = inferShapes(tidy(model));
  const groups = findGroups(g);
  const keep = randomKeep(groups, 1, 0.6);
  const feeds = randomFeeds(g, 2, g.inputs[0].type.elemType === "float32" ? [0, 1] : [0, 127]);
  const [a, b] = [
    await runGraph(sliceGraph(g, groups, keep), feeds),
    await runGraph(maskGraph(g, groups, keep), feeds),
  ];
  let worst = 0;
  for (const { name } of g.outputs) {
    const [x, y] = [toNumbers(a[name]), toNumbers(b[name])];
    for (let i = 0; i < y.length; i++) worst = Math.max(worst, Math.abs(x[i] - y[i]));
  }
  return worst.toExponential(1);
}

function offText(off: number, mode: string): string {
  return mode === "int8" ? `${off} steps` : off.toExponential(1);
}
