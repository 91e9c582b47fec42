/**
 * What repairs are worth where one scale per weight has to do: top-1 of a net in INT8 with each of them, on the same images.
 *
 *   npx tsx test/bench/int8Repair.ts --model net.onnx [--images 512] [--limit 10000] [--rescale 0] [--qat 0] [--only tensor,...] [--seed 1]
 *
 * `--rescale S` first scales the channels of the float net apart by random factors between 1/S and S, which changes nothing that it
 * computes (channels that reach the bound of a ReLU6 keep their size): what training with batch norms does to a net, in a form that can be dosed. The model is read as a CIFAR-10 net; `--model eye-state`
 * is the driver-monitoring sample on its own renders.
 */
import { parseArgs } from "node:util";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { openLocalRunner } from "../../runners/index.js";
import { eyeStateModelPath, openEyeStateDataset } from "../../samples/driver-monitoring/index.js";
import { finetuneQuantized } from "../../toolkit/finetuneQuantized.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { evaluateOn, openDevice } from "../../toolkit/onDevice.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { needsReducedRange } from "../../toolkit/precision.js";
import {
  type ImageBatch,
  prepareForQuantization,
  type QuantizeOptions,
  quantize,
  worstDb,
} from "../../toolkit/quantize/index.js";
import { applyFactors } from "../../toolkit/quantize/repair/applyFactors.js";
import { channelExtremes } from "../../toolkit/quantize/repair/channelExtremes.js";
import { factorsForClamps } from "../../toolkit/quantize/repair/clamps.js";
import { absorbBiases, equalize, migrateActivations, type RepairContext } from "../../toolkit/quantize/repair/index.js";
import { findScaleGroups } from "../../toolkit/quantize/repair/scaleGroups.js";
import { imageBatches, openSubject } from "../../toolkit/subject.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: cifar.model("resnet20-cifar10") },
    images: { type: "string", default: "512" },
    limit: { type: "string" },
    rescale: { type: "string", default: "0" },
    qat: { type: "string", default: "0" },
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
  },
});
const runner = await openLocalRunner({ threads: 1 });
try {
  const device = await openDevice({ device: runner });
  const subject = await openSubject(
    flags.model === "eye-state"
      ? { model: eyeStateModelPath(), data: await openEyeStateDataset({ train: 4000, test: 4000 }) }
      : { model: flags.model, data: cifar.data, preprocess: cifar.preprocess },
  );
  const { train, test } = subject.data!;
  const limit = flags.limit ? Number(flags.limit) : undefined;
  const { tensors } = await imageBatches(
    subject,
    train,
    Array.from({ length: Number(flags.images) }, (_, i) => i),
  );
  const spread = Number(flags.rescale);
  const original = prepareForQuantization(subject.graph);
  const context = { batches: tensors, threads: 1 };
  const net = spread > 1 ? await rescaled(original, spread, Number(flags.seed), context) : original;
  console.log(
    header(
      device.facts,
      `${flags.model.split("/").pop()}, ${limit ?? test.count} test images, ${flags.images} calibration images, channels scaled apart by up to ${spread || 1}, seed ${flags.seed}`,
    ),
  );
  const top1 = async (bytes: Uint8Array): Promise<number> =>
    (await evaluateOn(device, subject, bytes, test, { limit })).accuracy!.top1;
  const float = await top1(writeModel(net));
  console.log(`float top-1 ${percent(float)} %\n`);
  console.log(head("weights", "float net", "rounding", "biases", "INT8 top-1 %", "drop, points", "SQNR dB"));

  const batches = async function* (): AsyncIterable<ImageBatch> {
    for (const t of tensors) yield { data: t.data as Float32Array, dims: t.dims };
  };
  const show = async (name: string, g: Graph, o: QuantizeOptions): Promise<void> => {
    const id = `${o.perTensor ? "tensor" : "channel"}/${name}/${o.rounding ?? "nearest"}/${o.biasCorrection}`;
    if (!flags.only.split(",").some((part) => id.includes(part))) return;
    const result = await quantize(g, batches(), {
      method: { kind: "mse" },
      reduceRange: needsReducedRange(device.facts),
      threads: 1,
      ...o,
    });
    const cells = (accuracy: number, db: string): (string | number)[] => [
      o.perTensor ? "per tensor" : "per channel",
      name,
      o.rounding ?? "nearest",
      o.biasCorrection ? (result.biasCorrected ? "corrected" : "correction did not help") : "as they are",
      percent(accuracy),
      (100 * (float - accuracy)).toFixed(2),
      db,
    ];
    console.log(row(...cells(await top1(writeModel(result.graph)), worstDb(result.sqnrDb).toFixed(1))));
    const epochs = Number(flags.qat);
    if (epochs === 0) return;
    const trained = await finetuneQuantized(result.graph, {
      prepared: result.prepared,
      teacher: original,
      data: train,
      epochs,
      seed: Number(flags.seed),
      preprocessing: subject.preprocessing?.values,
    });
    const [kind, float32, , ...rest] = cells(await top1(writeModel(trained)), "");
    console.log(row(kind, float32, `${epochs} epochs of training in INT8`, ...rest));
  };

  const perTensor = { perTensor: true } as const;
  await show("as it is", net, { ...perTensor, biasCorrection: false });
  await show("as it is", net, { ...perTensor, biasCorrection: true });
  const equalized = new Map<string, Graph>();
  for (const clamps of ["hold", "move", "drop"] as const) {
    const g = await equalize(net, context, { clamps });
    equalized.set(clamps, g);
    if (clamps === "hold") await show("equalised", g, { ...perTensor, biasCorrection: false });
    await show(`equalised, bounds: ${clamps}`, g, { ...perTensor, biasCorrection: true });
  }
  const best = equalized.get("hold")!;
  await show("equalised, biases absorbed", await absorbBiases(best, context), { ...perTensor, biasCorrection: true });
  await show("activations migrated", await migrateActivations(net, context), { ...perTensor, biasCorrection: true });
  await show("equalised", best, { ...perTensor, biasCorrection: true, rounding: "gptq" });
  await show("equalised", best, { ...perTensor, biasCorrection: true, rounding: "adaround" });
  await show("as it is", net, { biasCorrection: false });
  await show("as it is", net, { biasCorrection: true });
  await show("as it is", net, { biasCorrection: true, rounding: "gptq" });
  await show("equalised", best, { biasCorrection: true, rounding: "gptq" });
} finally {
  await runner.close();
}

/** The same function, on images like the given ones, with channels of very different sizes. */
async function rescaled(g: Graph, spread: number, seed: number, c: RepairContext): Promise<Graph> {
  const random = xoroshiro128plus(seed);
  const groups = findScaleGroups(g);
  const extremes = await channelExtremes(
    g,
    groups.flatMap((group) => group.clamps.map((k) => k.carrier)),
    c,
  );
  const scalings = groups.map((group) => {
    const wished = Float64Array.from({ length: group.channels }, () => spread ** (2 * uniformFloat64(random) - 1));
    return { group, ...factorsForClamps(g, group, wished, extremes, "hold") };
  });
  return applyFactors(g, scalings);
}
