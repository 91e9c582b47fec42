/** `edgefit compare`: pruning methods side by side under one budget, with a page. */
import { join } from "node:path";
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import { methods } from "../methods/index.js";
import { checkOutputFolder, renderComparisonHtml, writeFitOutput } from "../report/index.js";
import { type Command, type Context, type FlagsOf, Interruption } from "./command.js";
import {
  commonOptions,
  dataFlags,
  deviceFlags,
  dimFlags,
  dimValues,
  examples,
  given,
  optionalNumber,
  optionalReal,
  preprocessOption,
  seedFlag,
} from "./flags.js";
import { comparisonSummary } from "./summarizeComparison.js";

const group = "Compare:";
const text = (describe: string) => ({ type: "string", requiresArg: true, group, describe }) as const;

/** Names of the flags of `methodFlags`. */
export const methodFlagNames = "epochs cost lr batch weight-decay images distill set training-threads".split(" ");

/** Flags of the training that methods share. */
export const methodFlags = <T>(y: Argv<T>) =>
  y
    .option("epochs", text("passes over the training images that a method may spend, its search included (10)"))
    .option("cost", { choices: ["latency", "macs"] as const, group, describe: "what the budget counts (latency)" })
    .option("lr", text("largest learning rate of the original training (0.05)"))
    .option("batch", text("images per step (128)"))
    .option("weight-decay", text("(5e-4)"))
    .option("images", text("at most this many training images (all)"))
    .option("distill", {
      type: "boolean",
      group,
      describe: "every method retrains with the original's answers too",
    })
    .option("set", {
      type: "string",
      array: true,
      group,
      describe: "a setting of a method, METHOD.NAME=VALUE; may be repeated",
    })
    .option("training-threads", text("threads of training; the last digits depend on their number"));

const declare = (y: Argv) =>
  examples(
    seedFlag(
      dimFlags(
        dataFlags(
          deviceFlags(
            methodFlags(
              y
                .positional("model", { type: "string", describe: "the ONNX file" })
                .option("methods", text(`with commas between them, or all: ${methods.map((m) => m.name).join(", ")}`))
                .option("budget", text("50% of the original's own cost, 8ms, or 30fps"))
                .option("out", { ...text("folder for compare.html, compare.json, nets and runs"), default: "out" })
                .option("list", {
                  type: "boolean",
                  group,
                  describe: "describe the methods and their settings, and stop",
                }),
            ),
          ),
        ),
      ),
    ),
    [
      "compare model.onnx --methods edgefit,l1,slimming,uniform --budget 50% --data cifar10:cifar/ --epochs 20",
      "each net is measured beside the original; the page is out/compare.html",
    ],
    [
      "compare model.onnx --methods l1,taylor --set l1.rounds=4 --budget 40% --cost macs --data photos/",
      "settings per method",
    ],
    ["compare --list", "what there is to choose from"],
  );

type Flags = FlagsOf<typeof declare>;

export const compare: Command<Flags> = {
  command: "compare [model]",
  describe: "Compare pruning methods on a model and a device",
  builder: declare,
  async run(flags, context) {
    if (flags.list) {
      const list = methods.map(({ name, title, paper, describe, settings = {} }) => ({
        name,
        title,
        paper,
        describe,
        settings,
      }));
      context.terminal.result((c) => list.map((m) => listed(m, c.bold, c.dim)).join("\n\n"), list);
      return;
    }
    const { model, budget } = flags;
    if (model === undefined)
      throw new UsageError("missing-flag", "name the model", { hint: "edgefit compare model.onnx …" });
    if (budget === undefined)
      throw new UsageError("missing-flag", "--budget must be given", { hint: "for example --budget 50%" });
    if (flags.methods === undefined) {
      throw new UsageError("missing-flag", "--methods must be given", {
        hint: "for example --methods edgefit,l1,uniform, or all",
      });
    }
    const names = flags.methods === "all" ? methods.map((m) => m.name) : flags.methods.split(",").map((n) => n.trim());
    await compareAndWrite(names, { ...flags, model, budget }, context);
  },
};

function listed(
  m: { name: string; title: string; paper: string; describe: string; settings: Readonly<Record<string, string>> },
  bold: (s: string) => string,
  dim: (s: string) => string,
): string {
  const settings = Object.entries(m.settings).map(([name, what]) => `    ${m.name}.${name}: ${what}`);
  return [
    `${bold(m.name)}  ${m.title}`,
    `  ${m.describe}`,
    ...(m.paper ? [dim(`  ${m.paper}`)] : []),
    ...settings,
  ].join("\n");
}

/** Flags that the methods' runs are made of. */
type MethodFlags = Omit<Flags, "methods" | "list" | "model" | "budget"> & { model: string; budget: string };

/** Runs the methods, writes nets and page to `--out`, and shows the table. */
export async function compareAndWrite(names: readonly string[], flags: MethodFlags, context: Context): Promise<void> {
  const { model, data, out, device, cost, distill } = flags;
  if (data === undefined)
    throw new UsageError("missing-flag", "--data must be given", {
      hint: "methods train on labelled images, e.g. --data photos/",
    });
  await checkOutputFolder(out);
  const { compare: run } = await import("../compare.js");
  const folder = join(out, "runs");
  const result = await run({
    ...given({
      model,
      data,
      device,
      cost,
      distill,
      budget: String(flags.budget),
      settings: settingsOf(flags.set),
      threads: optionalNumber("--threads", flags.threads, 1),
      epochs: optionalReal("--epochs", flags.epochs),
      learningRate: optionalReal("--lr", flags.lr),
      weightDecay: optionalReal("--weight-decay", flags["weight-decay"]),
      batchSize: optionalNumber("--batch", flags.batch, 1),
      images: optionalNumber("--images", flags.images, 10),
      limit: optionalNumber("--limit", flags.limit, 1),
      trainingThreads: optionalNumber("--training-threads", flags["training-threads"], 1),
      seed: optionalNumber("--seed", flags.seed, 0),
      dims: dimValues(flags.dim),
      preprocess: preprocessOption(flags),
    }),
    methods: names,
    folder,
    ...commonOptions(context),
  }).catch((e: unknown) => {
    if (!context.signal.aborted) throw e;
    throw new Interruption(`finished methods are in ${folder}, and the same command goes on with the others`, e);
  });
  const { comparison, models } = result;
  const files = [
    ...[...models].map(([name, bytes]) => ({ name, bytes })),
    { name: "compare.json", bytes: `${JSON.stringify(comparison, null, 2)}\n` },
    { name: "compare.html", bytes: renderComparisonHtml(comparison) },
  ];
  await writeFitOutput(out, files, context.signal);
  const paths = files.map((f) => join(out, f.name));
  context.terminal.result((colors) => comparisonSummary(comparison, paths, colors), comparison);
}

/** `l1.rounds=4` as { l1: { rounds: 4 } }. Throws UsageError for anything else. */
export function settingsOf(
  given_: string | number | readonly (string | number)[] | undefined,
): Record<string, Record<string, string | number | boolean>> | undefined {
  if (given_ === undefined) return undefined;
  const out: Record<string, Record<string, string | number | boolean>> = {};
  for (const entry of Array.isArray(given_) ? given_ : [given_]) {
    const match = /^([^.=]+)\.([^.=]+)=(.+)$/.exec(String(entry));
    if (!match)
      throw new UsageError("flag-value", "a setting needs a method, a name and a value", {
        where: `--set ${entry}`,
        hint: "write --set METHOD.NAME=VALUE, e.g. --set l1.rounds=4",
      });
    const [, method, name, value] = match;
    const number = Number(value);
    const parsed = value === "true" ? true : value === "false" ? false : Number.isFinite(number) ? number : value;
    out[method] = { ...out[method], [name]: parsed };
  }
  return out;
}
