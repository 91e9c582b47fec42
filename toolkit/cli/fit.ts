/** `edgefit fit`: cut a model to a latency budget and write it with its report. */
import { join } from "node:path";
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import { criterionNames } from "../methods/criteria.js";
import type { FitOptions } from "../options.js";
import { checkOutputFolder, type FitReport, fitReportSchema, renderHtml, writeFitOutput } from "../report/index.js";
import type { Command, Context, FlagsOf } from "./command.js";
import { compareAndWrite, methodFlagNames, methodFlags } from "./compare.js";
import { budgetFlags, commonOptions, dataFlags, examples, given, optionalNumber } from "./flags.js";
import { dataOptions, measuringFlags, measuringOptions, pacedFlag } from "./measuring.js";
import { fitSummary } from "./summarizeFigures.js";

const group = "Fit:";

const declare = (y: Argv) => {
  const own = budgetFlags(measuringFlags(y), undefined)
    .option("percentile", {
      choices: ["p50", "p95"] as const,
      group,
      describe: "which statistic must meet the budget (p50)",
    })
    .option("finetune", {
      type: "string",
      requiresArg: true,
      group,
      describe: "epochs of distillation from the original, without labels (0)",
    })
    .option("qat", {
      type: "string",
      requiresArg: true,
      group,
      describe: "epochs of the same in INT8, where INT8 is chosen (0)",
    })
    .option("int8", {
      choices: ["auto", "off", "on"] as const,
      group,
      describe: "INT8 where the device gains, never, or wherever possible (auto)",
    })
    .option("criterion", { choices: criterionNames, group, describe: "how channels are ranked (reconstruction)" })
    .option("blocks", {
      choices: ["drop", "keep"] as const,
      group,
      describe: "whether whole residual branches may be left out (drop)",
    })
    .option("offline", {
      type: "boolean",
      group,
      describe: "--device is a saved profile or table; latencies are predicted, not measured",
    })
    .option("calibration-images", {
      type: "string",
      requiresArg: true,
      group,
      describe: "training images for statistics and INT8 ranges",
    });
  const withMethod = own.option("method", {
    type: "string",
    requiresArg: true,
    group,
    describe: "a published pruning method in place of edgefit's own way; the list: edgefit compare --list",
  });
  return examples(
    pacedFlag(dataFlags(methodFlags(withMethod))),
    [
      "fit model.onnx --budget 8ms --data photos/",
      "photos/ has a folder per class; preprocessor_config.json lies beside the model",
    ],
    [
      "fit model.onnx --budget 60% --data cifar10:cifar/ --finetune 5",
      "then five epochs of distillation from the original",
    ],
    [
      "fit detector.onnx --budget 30fps --percentile p95 --data photos/ --dim batch=1",
      "no labels: the report says how far the outputs agree with the original's",
    ],
    [
      "fit model.onnx --budget 8ms --percentile p95 --paced 30fps --data photos/",
      "the budget holds for one call per frame, when the processor rests in between",
    ],
    [
      "fit model.onnx --budget 60% --data photos/ --device my-board.json --offline",
      "against a table that devices export measured there; the device is not needed",
    ],
    [
      "fit model.onnx --method dmcp --epochs 20 --budget 50% --data photos/",
      "a published method; out/compare.html has its figures beside the original's",
    ],
    ["fit model.onnx --config fit.json --json > report.json", "flags from a file, the report on stdout"],
  );
};

type Flags = FlagsOf<typeof declare>;

export const fit: Command<Flags> = {
  command: "fit <model>",
  describe: "Cut a model to a latency budget",
  builder: declare,
  async run(flags, context) {
    refuseForeign(flags);
    const { method, budget } = flags;
    if (method === undefined) await fitAndWrite(options(flags), flags.out, context);
    else await compareAndWrite([method], { ...flags, budget: String(budget) }, context);
  },
};

/** Flags of edgefit's own way, which published methods know nothing of. */
const ownFlags = [
  "percentile",
  "finetune",
  "qat",
  "int8",
  "criterion",
  "blocks",
  "offline",
  "paced",
  "calibration-images",
];

/** Throws UsageError for a flag that would be passed over. */
function refuseForeign(flags: Flags): void {
  const given_ = flags as Record<string, unknown>;
  const foreign = (flags.method === undefined ? methodFlagNames : ownFlags).find((name) => given_[name] !== undefined);
  if (foreign === undefined) return;
  const [what, hint] =
    flags.method === undefined
      ? [
          "this belongs to published methods",
          "name one with --method, or leave it out; --finetune is fit's own training",
        ]
      : ["this belongs to edgefit's own way to cut", "leave it out, or leave --method out"];
  throw new UsageError("flag-foreign", what, { where: `--${foreign}`, hint });
}

function options(flags: Flags): FitOptions {
  const { model, budget, percentile, int8, criterion, blocks, offline, paced } = flags;
  return given({
    model,
    budget: String(budget),
    percentile,
    int8,
    criterion,
    blocks,
    offline,
    paced,
    ...measuringOptions(flags),
    ...dataOptions(flags),
    finetune: optionalNumber("--finetune", flags.finetune, 0),
    qat: optionalNumber("--qat", flags.qat, 0),
    calibrationImages: optionalNumber("--calibration-images", flags["calibration-images"], 1),
  });
}

/** Runs `fit`, writes model and reports to `out`, and shows the summary. */
export async function fitAndWrite(options: FitOptions, out: string, context: Context): Promise<void> {
  await checkOutputFolder(out);
  const { fit: run } = await import("../fit.js");
  const { report, model } = await run({ ...options, ...commonOptions(context) });
  const files = outputFiles(report, model);
  await writeFitOutput(out, files, context.signal);
  const paths = files.map((f) => join(out, f.name));
  context.terminal.result((colors) => fitSummary(report, paths, colors), report);
}

/** `NAME.fitted.onnx`, `report.json` and `report.html`. */
function outputFiles(report: FitReport, model: Uint8Array) {
  const checked = fitReportSchema.parse(report);
  return [
    { name: `${report.model.file.replace(/\.(onnx|tflite)$/i, "")}.fitted.onnx`, bytes: model },
    { name: "report.json", bytes: `${JSON.stringify(checked, null, 2)}\n` },
    { name: "report.html", bytes: renderHtml(checked) },
  ];
}
