/** `edgefit train`: train the driver-monitoring sample from nothing. */
import type { Argv } from "yargs";
import { checkOutputFolder, writeFitOutput } from "../report/index.js";
import type { Command, FlagsOf } from "./command.js";
import { examples, given, optionalNumber, seedFlag } from "./flags.js";
import { trainingSummary } from "./summarizeModel.js";

const group = "Train:";
const text = (describe: string) => ({ type: "string", requiresArg: true, group, describe }) as const;

const declare = (y: Argv) =>
  examples(
    seedFlag(y)
      .option("out", { ...text("folder for eye-state.onnx"), default: "out" })
      .option("epochs", text("passes over the training eyes (12)"))
      .option("train", text("eyes to train on (30000)"))
      .option("test", text("eyes to test on (4000)"))
      .option("threads", text("threads of the runtime; the result depends on their number (2)"))
      .option("checkpoint", text("a file that is written after every epoch"))
      .option("resume", { type: "boolean", group, describe: "go on from the checkpoint" }),
    ["train --out trained/", "the recipe of the model that comes with edgefit"],
    ["train --epochs 2 --train 2000 --test 500", "a quick look"],
  );

export const train: Command<FlagsOf<typeof declare>> = {
  command: "train",
  describe: "Train the driver-monitoring sample on drawn eyes, from nothing",
  builder: declare,
  async run(flags, { terminal, signal }) {
    const options = given({
      seed: optionalNumber("--seed", flags.seed, 0),
      epochs: optionalNumber("--epochs", flags.epochs, 1),
      train: optionalNumber("--train", flags.train, 1),
      test: optionalNumber("--test", flags.test, 1),
      threads: optionalNumber("--threads", flags.threads, 1),
      checkpoint: flags.checkpoint,
      resume: flags.resume,
    });
    await checkOutputFolder(flags.out);
    const { trainEyeState } = await import("../../samples/driver-monitoring/training.js");
    const { writeModel } = await import("../onnx/index.js");
    const trained = await trainEyeState({ ...options, onProgress: terminal.progress, signal });
    await writeFitOutput(flags.out, [{ name: "eye-state.onnx", bytes: writeModel(trained.graph) }], signal);
    const { evaluation, history, seconds } = trained;
    terminal.result((colors) => trainingSummary(trained, flags.out, colors), { evaluation, history, seconds });
  },
};
