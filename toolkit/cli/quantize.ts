/** `edgefit quantize`: a float model and images become an INT8 model. */
import { basename, dirname } from "node:path";
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import type { QuantizeModelOptions } from "../options.js";
import { checkOutputFolder, quantizeReportSchema, renderQuantizeHtml, writeFitOutput } from "../report/index.js";
import type { Command, FlagsOf } from "./command.js";
import {
  commonOptions,
  dataFlags,
  dimFlags,
  dimValues,
  examples,
  given,
  modelArgument,
  optionalNumber,
  preprocessOption,
  seedFlag,
} from "./flags.js";
import { quantizeSummary } from "./summarizeQuantization.js";

const group = "Quantize:";

const declare = (y: Argv) => {
  const own = modelArgument(y)
    .option("out", { type: "string", requiresArg: true, demandOption: true, group, describe: "the INT8 file to write" })
    .option("format", { choices: ["qdq", "qoperator"] as const, group, describe: "how integers are written (qdq)" })
    .option("activations", {
      choices: ["u8", "s8", "u16", "s16"] as const,
      group,
      describe: "type of activations; ONNX Runtime's CPU provider computes 16 bits in float (u8)",
    })
    .option("symmetric", { type: "boolean", group, describe: "zero in the middle of every activation's grid" })
    .option("weights", {
      choices: ["per-channel", "per-tensor"] as const,
      group,
      describe: "scales per weight (per-channel)",
    })
    .option("reduce-range", {
      choices: ["auto", "on", "off"] as const,
      group,
      describe: "7-bit weights, for x64 processors without VNNI (auto)",
    })
    .option("ranges", {
      choices: ["auto", "minmax", "moving-average", "percentile", "entropy", "mse"] as const,
      group,
      describe: "how the ranges of activations are found (auto: the best of several)",
    })
    .option("percentile", { type: "string", requiresArg: true, group, describe: "with --ranges percentile (99.99)" })
    .option("quality", {
      choices: ["fast", "balanced", "best"] as const,
      group,
      describe: "nearest rounding; second-order rounding and equalisation; learned rounding (balanced)",
    })
    .option("equalize", { type: "boolean", group, describe: "try cross-layer equalisation (as --quality says)" })
    .option("rounding", {
      choices: ["nearest", "gptq", "adaround"] as const,
      group,
      describe: "how weights become integers (as --quality says)",
    })
    .option("bias-correction", { type: "boolean", group, describe: "try the correction of biases (yes)" })
    .option("max-drop", {
      type: "string",
      requiresArg: true,
      group,
      describe: "points of accuracy that may be lost; layers stay float for it, at least latency",
    })
    .option("keep-float", { type: "string", array: true, group, describe: "nodes that stay float" })
    .option("weight-only", {
      type: "boolean",
      group,
      describe: "8-bit weights of matrix products, float activations; needs no data",
    })
    .option("dynamic", { type: "boolean", group, describe: "refused, with the reason" })
    .option("explain", {
      type: "string",
      group,
      describe: "what every layer costs: as a table, and into a .json or .html file if one is named",
    })
    .option("device", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe:
        "what it is made for and timed on: local, local:threads=2, or a device profile (untimed, for this machine)",
    })
    .option("threads", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "threads of the runtime there (1)",
    })
    .option("images", { type: "string", requiresArg: true, group, describe: "calibration images (512)" });
  return examples(
    seedFlag(dimFlags(dataFlags(own))),
    ["quantize model.onnx --data photos/ --out model.int8.onnx", "ranges from 512 training images"],
    [
      "quantize model.onnx --data photos/ --device local --max-drop 0.5 --out model.int8.onnx",
      "timed on this machine; layers stay float for half a point of accuracy, or where INT8 is slower",
    ],
    [
      "quantize model.onnx --data photos/ --out q.onnx --explain layers.html",
      "which layer does the harm, with histograms",
    ],
    ["quantize model.onnx --weight-only --out small.onnx", "8-bit weights of matrix products, no data"],
  );
};

type Flags = FlagsOf<typeof declare>;

export const quantize: Command<Flags> = {
  command: "quantize <model>",
  describe: "Bring a model to INT8",
  builder: declare,
  async run(flags, context) {
    const explain = explanation(flags.explain);
    await checkOutputFolder(dirname(flags.out));
    if (explain.path) await checkOutputFolder(dirname(explain.path));
    const { quantizeModel } = await import("../quantizeModel.js");
    const { model, report } = await quantizeModel({
      ...options(flags, explain.wanted),
      ...commonOptions(context),
    });
    const checked = quantizeReportSchema.parse(report);
    await writeFitOutput(dirname(flags.out), [{ name: basename(flags.out), bytes: model }], context.signal);
    if (explain.path) {
      const bytes = explain.path.endsWith(".json")
        ? `${JSON.stringify(checked, null, 2)}\n`
        : renderQuantizeHtml(checked);
      await writeFitOutput(dirname(explain.path), [{ name: basename(explain.path), bytes }], context.signal);
    }
    const files = [flags.out, ...(explain.path ? [explain.path] : [])];
    context.terminal.result((colors) => quantizeSummary(checked, files, explain.wanted, colors), checked);
  },
};

function explanation(flag: string | undefined): { wanted: boolean; path?: string } {
  if (flag === undefined) return { wanted: false };
  if (flag === "") return { wanted: true };
  if (/\.(json|html)$/.test(flag)) return { wanted: true, path: flag };
  throw new UsageError("explain-path", "an explanation is written as .json or .html", { where: `--explain ${flag}` });
}

function options(flags: Flags, explain: boolean): QuantizeModelOptions {
  const { model, data, device, format, activations, symmetric, weights, ranges, quality, equalize, rounding } = flags;
  return given({
    model,
    data,
    device,
    format,
    activations,
    symmetric,
    weights,
    ranges,
    quality,
    equalize,
    rounding,
    dynamic: flags.dynamic,
    reduceRange: flags["reduce-range"],
    biasCorrection: flags["bias-correction"],
    weightOnly: flags["weight-only"],
    keepFloat: flags["keep-float"],
    percentile: points("--percentile", flags.percentile),
    maxDrop: points("--max-drop", flags["max-drop"]),
    explain: explain || undefined,
    threads: optionalNumber("--threads", flags.threads, 1),
    images: optionalNumber("--images", flags.images, 1),
    limit: optionalNumber("--limit", flags.limit, 1),
    seed: optionalNumber("--seed", flags.seed, 0),
    dims: dimValues(flags.dim),
    preprocess: preprocessOption(flags),
  });
}

/** A number of 0 or more. Throws UsageError naming the flag. */
function points(flag: string, text: string | number | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(String(text).trim() || Number.NaN);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new UsageError("flag-value", "expected a number of at least 0", { where: `${flag} ${text}` });
}
