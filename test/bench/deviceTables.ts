/**
 * Measures the latency table that ships with edgefit for a device at hand, and writes it with its profile. Run it on a quiet machine.
 *
 *   npx tsx test/bench/deviceTables.ts [--device local|browser] [--id linux-x64] [--int8] [--out device-profiles]
 *
 * The table holds the kernels of nets of the zoo: ResNet-20 for 32x32 images, MobileNetV2 for 32x32 and for 224x224. So it serves a fit
 * without the device for nets of these layers in any widths; other nets need a table of their own. Neither the profile nor the table
 * names the machine or its owner; which processor was measured, and when, is in both.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseProfile } from "../../device-profiles/index.js";
import { resolveDevice } from "../../runners/index.js";
import { randomBatch } from "../../toolkit/data/random.js";
import { describeDevice } from "../../toolkit/devices.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { parseTable } from "../../toolkit/latency/index.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { needsReducedRange, timingVariant } from "../../toolkit/precision.js";
import { type ModelProfile, profileModel } from "../../toolkit/profile.js";
import { calibrate } from "../../toolkit/quantize/index.js";
import { sharedTable } from "../../toolkit/sharedTable.js";
import { mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { counting } from "./counting.js";
import { header } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    device: { type: "string", default: "local" },
    id: { type: "string" },
    int8: { type: "boolean", default: false },
    models: { type: "string", default: "resnet20,mobilenetv2-32,mobilenetv2" },
    out: { type: "string", default: "device-profiles" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(flags.seed);
const zoo: Record<string, () => Graph> = {
  resnet20: () => resnetCifar(),
  "mobilenetv2-32": () => mobileNetV2({ stem: "cifar" }),
  mobilenetv2: () => mobileNetV2(),
};
const names = flags.models.split(",");
const device = await resolveDevice(flags.device);
const cacheDir = mkdtempSync(join(tmpdir(), "edgefit-tables-"));
try {
  const facts = await device.describe();
  console.log(header(facts, `${names.join(", ")}, seed ${seed}`));
  const { runner, counts } = counting(device);
  const profiles: ModelProfile[] = [];
  for (const name of names) {
    const graph = inferShapes(tidy(zoo[name]()));
    const dims = (graph.inputs[0].type.dims ?? []).map((d, i) => (i === 0 ? 2 : Number(d)));
    const batches = (async function* () {
      yield randomBatch(dims, seed);
    })();
    const ranges = flags.int8 ? await calibrate(graph, batches, { method: { kind: "minmax" } }) : undefined;
    const profile = await profileModel({
      graph,
      runner,
      precisions: ranges ? ["fp32", "int8"] : ["fp32"],
      toVariant: (g, precision) =>
        precision === "int8" && ranges ? timingVariant(g, ranges, needsReducedRange(facts)) : writeModel(g),
      seed,
      cacheDir,
      onWarning: console.warn,
    });
    profiles.push(profile);
    console.log(
      `${name}: ${profile.seconds.toFixed(0)} s, ${profile.table.nets.length} sub-nets, ${counts.calls} calls so far`,
    );
  }
  const table = sharedTable(profiles);
  const id = flags.id ?? `${facts.os.platform}-${facts.os.arch}-${flags.device === "local" ? "ort" : flags.device}`;
  const profile = {
    ...describeDevice(facts, id, true),
    notes: [
      `Measured on nets of the zoo: ${names.join(", ")}. Other nets need a table of their own (devices export --model).`,
      ...Object.entries(table.quality).map(
        ([p, q]) =>
          `${p}: nets left out of the table are predicted to ${q.medianErrorPct.toFixed(1)} % (median) and ${q.p90ErrorPct.toFixed(1)} % (90th percentile), ${q.n} nets.`,
      ),
    ],
  };
  parseProfile(profile, id);
  parseTable(JSON.stringify(table), id);
  writeFileSync(join(flags.out, `${id}.json`), `${JSON.stringify(profile, null, 2)}\n`);
  writeFileSync(join(flags.out, `${id}.table.json`), `${JSON.stringify(table)}\n`);
  console.log(`${table.rows.length} rows in ${join(flags.out, `${id}.table.json`)}`, table.quality);
} finally {
  await device.close();
  rmSync(cacheDir, { recursive: true });
}
