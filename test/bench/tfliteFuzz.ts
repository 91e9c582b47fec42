/**
 * Damaged TFLite files: each must be imported or refused by a ModelError, and what is imported must go through shapes and
 * groups in the same way.
 *
 *   npx tsx test/bench/tfliteFuzz.ts [--files 20000] [--seed 1]
 *
 * Seeds are the MLPerf Tiny ResNet-8 (INT8) and, where EDGEFIT_TFLITE_CASES names a folder of test/corpus/tfliteCases.py, its models.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { importTflite } from "../../toolkit/tflite/index.js";
import { uniform } from "../support/graphs.js";
import { sharedPath } from "../support/shared.js";
import { caseBytes, tfliteCases } from "../support/tfliteCases.js";
import { head, row } from "./header.js";

const { values: flags } = parseArgs({
  options: { files: { type: "string", default: "20000" }, seed: { type: "string", default: "1" } },
});
const folder = process.env.EDGEFIT_TFLITE_CASES;
const seeds = [readFileSync(sharedPath("models/mlperf-tiny/pretrainedResnet_quant.tflite"))].concat(
  folder ? tfliteCases(folder).map((c) => Buffer.from(caseBytes(folder, c))) : [],
);
const next = uniform(Number(flags.seed));
const below = (n: number): number => Math.floor(next() * n);
const words = [0, -1, 1, 255, 65536, 2 ** 30, 2 ** 31 - 1];

/** Cut off, or with up to eight bytes or words changed, most of them among the tables at the file's end. */
function damage(bytes: Uint8Array): Uint8Array {
  if (next() < 0.1) return bytes.slice(0, below(bytes.length));
  const out = bytes.slice();
  for (let n = 1 + below(8); n > 0; n--) {
    const at = next() < 0.7 ? out.length - 1 - below(Math.min(out.length, 6000)) : below(out.length);
    const kind = next();
    if (kind < 0.4) out[at] = below(256);
    else if (kind < 0.7) out[at] ^= 1 << below(8);
    else if (at + 4 < out.length) new DataView(out.buffer).setInt32(at & ~3, words[below(words.length)], true);
  }
  return out;
}

const outcomes = new Map<string, number>();
let worstMs = 0;
let worstBytes = 0;
let crashes = 0;
for (let i = 0; i < Number(flags.files); i++) {
  const bytes = damage(new Uint8Array(seeds[below(seeds.length)]));
  const before = process.cpuUsage();
  let outcome = "imported";
  try {
    inspectModel(importTflite(bytes, { dequantize: next() < 0.5, batch: "possible" }));
  } catch (e) {
    if (isEdgefitError(e)) outcome = e.code;
    else {
      crashes++;
      outcome = "CRASH";
      console.error(e);
    }
  }
  const spent = process.cpuUsage(before);
  worstMs = Math.max(worstMs, (spent.user + spent.system) / 1000);
  worstBytes = Math.max(worstBytes, process.memoryUsage.rss());
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}
console.log(`${flags.files} files from ${seeds.length} models, seed ${flags.seed}\n`);
console.log(head("outcome", "files"));
for (const [outcome, count] of [...outcomes].sort((a, b) => b[1] - a[1])) console.log(row(outcome, count));
console.log(
  `\n${crashes} crashes; longest ${worstMs.toFixed(0)} ms of processor time; largest process ${(worstBytes / 1e6).toFixed(0)} MB`,
);
if (crashes > 0) process.exitCode = 1;
