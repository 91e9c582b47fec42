/**
 * The driver-monitoring sample on rendered drivers that no training has seen: single pictures, then scripted drives.
 *
 *     npx tsx test/bench/driverMonitoring.ts [--pictures 2000] [--drivers 3] [--rate 15] [--models DIR]
 */
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { findStack, openStack, ownStack } from "../../samples/driver-monitoring/headless/stackFolder.js";
import { DRIVER_SEED } from "../../samples/driver-monitoring/nets/driverTraining.js";
import { evaluateDrives } from "../../samples/driver-monitoring/nets/evaluateDrives.js";
import { evaluatePictures } from "../../samples/driver-monitoring/nets/evaluatePictures.js";
import { netsOver } from "../../samples/driver-monitoring/pipeline/net.js";
import { head, header, percent, row } from "./header.js";

const { values } = parseArgs({
  options: {
    pictures: { type: "string", default: "2000" },
    drivers: { type: "string", default: "3" },
    rate: { type: "string", default: "15" },
    models: { type: "string" },
  },
});

const device = await openLocalRunner();
try {
  const stack = await openStack(values.models ? await findStack(values.models) : ownStack(), netsOver(device));
  console.log(header(await device.describe(), `${stack.locator.name}, ${stack.reader.name}`));
  if (Number(values.pictures) > 0) {
    const p = await evaluatePictures(stack, { count: Number(values.pictures), seed: DRIVER_SEED });
    console.log(head("pictures", "figure", "value"));
    const lines: [string, string][] = [
      ["faces found", `${p.found} of ${p.faces}; ${p.falseAlarms} boxes that are none`],
      ["eye state right", `${percent(p.eyes.right / p.eyes.count)} % of ${p.eyes.count} eyes`],
      [
        "head pose, mean error",
        `${p.head.mean.toFixed(2)}° (${[p.head.yaw, p.head.pitch, p.head.roll].map((v) => v.toFixed(2)).join(", ")})`,
      ],
      ["gaze, mean angle", Number.isNaN(p.gazeDegrees) ? "not told" : `${p.gazeDegrees.toFixed(2)}°`],
      ["mouth opening, mean error", p.mouth.toFixed(3)],
      ["dark glasses told", `${percent(p.sunglasses.right / p.sunglasses.count)} %`],
    ];
    for (const [name, value] of lines) console.log(row(p.pictures, name, value));
  }
  if (Number(values.drivers) > 0) {
    const d = await evaluateDrives(stack, {
      drivers: Number(values.drivers),
      rate: Number(values.rate),
      seed: DRIVER_SEED,
    });
    console.log(`\n${head("drive", "alerts that came", "missed", "stray", "PERCLOS read / true")}`);
    for (const r of d.drives) {
      const perclos = r.perclos ? `${r.perclos.read.toFixed(3)} / ${r.perclos.true.toFixed(3)}` : "-";
      console.log(
        row(
          `${r.scenario}, driver ${r.driver}`,
          r.came,
          r.missed.join(", ") || "-",
          r.stray.join(", ") || "-",
          perclos,
        ),
      );
    }
    const { mean, largest, drives } = d.perclosError;
    console.log(
      `\nprecision ${d.precision.toFixed(3)}, recall ${d.recall.toFixed(3)}; PERCLOS error ${mean.toFixed(3)}, at most ${largest.toFixed(3)}, over ${drives} drives`,
    );
  }
  await stack.locator.close();
  await stack.reader.close();
} finally {
  await device.close();
}
