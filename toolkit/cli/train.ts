/** `edgefit train`: train a model on a data set; without a model, the driver-monitoring sample from nothing. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import { checkOutputFolder, renderTrainingHtml, writeFitOutput } from "../report/index.js";
import { lossNames, optimizerNames, scheduleNames, type TrainModelOptions } from "../trainOptions.js";
import { augmentOption } from "./augmentFlag.js";
import { type Command, type Context, type FlagsOf, Interruption } from "./command.js";
import {
  commonOptions,
  dataFlags,
  dimFlags,
  dimValues,
  examples,
  given,
  optionalNumber,
  optionalReal,
  preprocessOption,
  seedFlag,
} from "./flags.js";
import { trainingSummary } from "./summarizeModel.js";
import { trainedSummary } from "./summarizeTraining.js";

const SAMPLE = "driver-monitoring";
const group = "Train:";
const text = (describe: string) => ({ type: "string", requiresArg: true, group, describe }) as const;

const declare = (y: Argv) =>
  examples(
    seedFlag(
      dimFlags(
        dataFlags(
          y
            .positional("model", {
              type: "string",
              describe: `the ONNX file; "${SAMPLE}", or nothing, trains the sample on drawn eyes`,
            })
            .option("out", { ...text("folder for the model, training.html and training.json"), default: "out" })
            .option("epochs", text("passes over the training images (20; sample 12)"))
            .option("batch", text("images per step (128)"))
            .option("accumulate", text("batches whose mean gradient makes one step (1)"))
            .option("loss", { choices: lossNames, group, describe: "what is learned (distillation with a teacher)" })
            .option("teacher", text("a model whose outputs are learned; needs no labels"))
            .option("temperature", text("softens the teacher's answers (4)"))
            .option("label-share", text("weight of the labels beside the teacher, 0 to 1 (0)"))
            .option("label-smoothing", text("share of every label spread over all classes (0)"))
            .option("optimizer", { choices: optimizerNames, group, describe: "how steps are taken (sgd)" })
            .option("lr", text("largest learning rate (sgd 0.05, adamw 0.002, rmsprop 0.001, lars 2)"))
            .option("weight-decay", text("(sgd 5e-4, adamw 0.05, rmsprop and lars 1e-4)"))
            .option("schedule", { choices: scheduleNames, group, describe: "the rate over the run (cosine)" })
            .option("warmup", text("share of the run over which the rate climbs (0.05)"))
            .option("clip", text("limit of the gradient's norm (none)"))
            .option("ema", text("decay of a moving average of the weights, e.g. 0.999 (none)"))
            .option("augment", text("flip,crop=4,colour=0.3,cutout=8,mixup=0.2, or none (flip and crop)"))
            .option("held-out", text("share of the training images that follow the run (0.05)"))
            .option("patience", text("stop after so many epochs without improvement (never)"))
            .option("freeze-statistics", {
              type: "boolean",
              group,
              describe: "normalise by the stored statistics, not by the batch's",
            })
            .option("threads", text("threads of the runtime; the last digits depend on their number"))
            .option("checkpoint", text("written after every epoch and on Ctrl-C (OUT/checkpoint.onnx; sample: none)"))
            .option("resume", { type: "boolean", group, describe: "go on from the checkpoint, to the same result" })
            .option("train", text("sample: eyes to train on (30000)"))
            .option("test", text("sample: eyes to test on (4000)")),
        ),
      ),
    ),
    ["train model.onnx --data photos/ --epochs 30", "photos/ has a folder per class"],
    [
      "train small.onnx --teacher large.onnx --data cifar10:cifar/ --augment flip,crop,mixup=1",
      "learn another model's answers, on blends of images, without labels",
    ],
    [
      "train fitted.onnx --data photos/ --schedule retraining --lr 0.1 --label-smoothing 0.1",
      "retrain a pruned net: up to the original's largest rate, then a cosine",
    ],
    ["train model.onnx --data photos/ --resume", "go on after Ctrl-C, bit for bit"],
    ["train --epochs 2 --train 2000 --test 500", "the driver-monitoring sample, a quick look"],
  );

type Flags = FlagsOf<typeof declare>;

export const train: Command<Flags> = {
  command: "train [model]",
  describe: "Train a model on a data set, or the driver-monitoring sample",
  builder: declare,
  async run(flags, context) {
    const sample = flags.model === undefined || flags.model === SAMPLE;
    refuseForeign(flags, sample);
    await checkOutputFolder(flags.out);
    if (sample || flags.model === undefined) await trainSample(flags, context);
    else await trainModel(flags.model, flags, context);
  },
};

/** Flags of the sample alone, and those that its recipe has settled. */
const ofSample = ["train", "test"] as const;
const ofModels = [
  ...["data", "limit", "batch", "accumulate", "loss", "teacher", "temperature", "label-share", "label-smoothing"],
  ...["optimizer", "lr", "weight-decay", "schedule", "warmup", "clip", "ema", "augment", "held-out", "patience"],
  ...["freeze-statistics", "preprocess", "mean", "std", "scale", "size", "order", "layout", "resample", "fit", "dim"],
] as const;

/** Throws UsageError for a flag that would be passed over. */
function refuseForeign(flags: Flags, sample: boolean): void {
  const given = flags as Record<string, unknown>;
  const foreign = (sample ? ofModels : ofSample).find((name) => given[name] !== undefined);
  if (foreign === undefined) return;
  const [what, hint] = sample
    ? ["the sample's recipe leaves this to nobody", "name a model to train with it: edgefit train model.onnx …"]
    : ["this belongs to the driver-monitoring sample", "leave it out; --epochs, --batch and --limit are for models"];
  throw new UsageError("flag-foreign", what, { where: `--${foreign}`, hint });
}

async function trainModel(model: string, flags: Flags, context: Context): Promise<void> {
  const { terminal, signal } = context;
  const { data, out } = flags;
  if (data === undefined) {
    throw new UsageError("missing-flag", "--data must be given", {
      hint: "name the images to learn from, e.g. --data photos/",
    });
  }
  const augment = augmentOption(flags.augment);
  const checkpoint = flags.checkpoint ?? join(out, "checkpoint.onnx");
  if (flags.checkpoint === undefined) await mkdir(out, { recursive: true });
  const options: TrainModelOptions = given({
    model,
    data,
    augment,
    checkpoint,
    teacher: flags.teacher,
    loss: flags.loss,
    optimizer: flags.optimizer,
    schedule: flags.schedule,
    resume: flags.resume,
    freezeStatistics: flags["freeze-statistics"],
    epochs: optionalNumber("--epochs", flags.epochs, 1),
    batchSize: optionalNumber("--batch", flags.batch, 1),
    accumulate: optionalNumber("--accumulate", flags.accumulate, 1),
    patience: optionalNumber("--patience", flags.patience, 1),
    threads: optionalNumber("--threads", flags.threads, 1),
    limit: optionalNumber("--limit", flags.limit, 1),
    seed: optionalNumber("--seed", flags.seed, 0),
    temperature: optionalReal("--temperature", flags.temperature),
    labelShare: optionalReal("--label-share", flags["label-share"]),
    labelSmoothing: optionalReal("--label-smoothing", flags["label-smoothing"]),
    learningRate: optionalReal("--lr", flags.lr),
    weightDecay: optionalReal("--weight-decay", flags["weight-decay"]),
    warmup: optionalReal("--warmup", flags.warmup),
    clipGradientNorm: optionalReal("--clip", flags.clip),
    averageDecay: optionalReal("--ema", flags.ema),
    heldOut: optionalReal("--held-out", flags["held-out"]),
    dims: dimValues(flags.dim),
    preprocess: preprocessOption(flags),
  });
  const { train: run } = await import("../trainModel.js");
  const trained = await run({ ...options, ...commonOptions(context) }).catch((e: unknown) => {
    if (!signal.aborted || !existsSync(checkpoint)) throw e;
    throw new Interruption(`the run is in ${checkpoint}, and --resume goes on with it`, e);
  });
  const files = [
    { name: `${basename(model).replace(/\.(onnx|tflite)$/i, "")}.trained.onnx`, bytes: trained.model },
    { name: "training.json", bytes: `${JSON.stringify(trained.report, null, 2)}\n` },
    { name: "training.html", bytes: renderTrainingHtml(trained.report) },
  ];
  await writeFitOutput(out, files, signal);
  const paths = files.map((f) => join(out, f.name));
  terminal.result((colors) => trainedSummary(trained.report, paths, colors), trained.report);
}

async function trainSample(flags: Flags, { terminal, signal }: Context): Promise<void> {
  const options = given({
    seed: optionalNumber("--seed", flags.seed, 0),
    epochs: optionalNumber("--epochs", flags.epochs, 1),
    train: optionalNumber("--train", flags.train, 1),
    test: optionalNumber("--test", flags.test, 1),
    threads: optionalNumber("--threads", flags.threads, 1),
    checkpoint: flags.checkpoint,
    resume: flags.resume,
  });
  const { trainEyeState } = await import("../../samples/driver-monitoring/training.js");
  const { writeModel } = await import("../onnx/index.js");
  const trained = await trainEyeState({ ...options, onProgress: terminal.progress, signal });
  await writeFitOutput(flags.out, [{ name: "eye-state.onnx", bytes: writeModel(trained.graph) }], signal);
  const { evaluation, history, seconds } = trained;
  terminal.result((colors) => trainingSummary(trained, flags.out, colors), { evaluation, history, seconds });
}
