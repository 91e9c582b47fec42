/**
 * INT8 against float: top-1 on all test images, and speed at one thread and batch 1, calls interleaved.
 *
 *   npx tsx test/bench/int8.ts [--models resnet20-cifar10,resnet56-cifar10] [--images 512] [--sessions 5] [--seed 1]
 *
 * Speed is the median over fresh sessions of the paired ratio of medians: where a session's memory lands moves its latency.
 */
import { parseArgs } from "node:util";
import { median, openLocalRunner } from "../../runners/index.js";
import { evaluateOn, feedsFor, oneCall, openDevice, ratioOf, timeTogether } from "../../toolkit/onDevice.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { needsReducedRange, toInt8 } from "../../toolkit/precision.js";
import { imageBatches, openSubject } from "../../toolkit/subject.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    models: { type: "string", default: "resnet20-cifar10,resnet56-cifar10" },
    images: { type: "string", default: "512" },
    sessions: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
  },
});
const runner = await openLocalRunner({ threads: 1 });
try {
  const device = await openDevice({ device: runner });
  console.log(
    header(device.facts, `${flags.images} calibration images, ${flags.sessions} sessions, seed ${flags.seed}`),
  );
  console.log(
    head(
      "model",
      "float top-1 %",
      "INT8 top-1 %",
      "drop",
      "float p50 ms",
      "INT8 p50 ms",
      "speed-up",
      "SQNR dB",
      "bytes",
    ),
  );
  for (const name of flags.models.split(",")) {
    const subject = await openSubject({ model: cifar.model(name), data: cifar.data, preprocess: cifar.preprocess });
    const { train, test } = subject.data!;
    const { tensors } = await imageBatches(
      subject,
      train,
      Array.from({ length: Number(flags.images) }, (_, i) => i),
    );
    const { graph, sqnrDb } = await toInt8(subject.graph, {
      calibration: tensors,
      reduceRange: needsReducedRange(device.facts),
    });
    const int8 = writeModel(graph);
    const feeds = feedsFor(subject, oneCall(subject, tensors[0]));
    const ratios: number[] = [];
    const p50: number[][] = [[], []];
    for (let s = 0; s < Number(flags.sessions); s++) {
      const timed = await timeTogether(
        device,
        [subject.bytes, int8].map((model) => ({ model, feeds })),
        { seed: Number(flags.seed) + s, minTimeMs: 1000 },
      );
      ratios.push(ratioOf(timed[0], timed[1]).ratio);
      for (const [i, t] of timed.entries()) p50[i].push(t.latency.p50);
    }
    const float = (await evaluateOn(device, subject, subject.bytes, test)).accuracy!.top1;
    const integer = (await evaluateOn(device, subject, int8, test)).accuracy!.top1;
    console.log(
      row(
        name,
        percent(float),
        percent(integer),
        (100 * (float - integer)).toFixed(2),
        median(p50[0]).toFixed(4),
        median(p50[1]).toFixed(4),
        `${median(ratios).toFixed(2)}x`,
        sqnrDb.toFixed(1),
        `${subject.bytes.length} -> ${int8.length}`,
      ),
    );
  }
} finally {
  await runner.close();
}
