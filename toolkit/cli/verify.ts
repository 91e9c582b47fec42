/** `edgefit verify`: has a model become slower or less accurate since an earlier run? */
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import { formatMs, formatPercent, formatRatio } from "../report/index.js";
import type { Check } from "../verify.js";
import type { Command, FlagsOf } from "./command.js";
import { commonOptions, examples, given, optionalReal } from "./flags.js";
import { pairFlags, pairOptions } from "./measuring.js";
import { table } from "./tables.js";

const group = "Verify:";
/** Exit status of a regression, as of a missed budget. */
const REGRESSED = 2;

const declare = (y: Argv) =>
  examples(
    pairFlags(y)
      .option("against", {
        type: "string",
        requiresArg: true,
        demandOption: true,
        group,
        describe: "earlier result: the output of validate --json, or report.json of fit",
      })
      .option("tolerance", {
        type: "string",
        requiresArg: true,
        group,
        describe: "percent by which speed may be worse beyond the measured noise (5)",
      })
      .option("max-drop", {
        type: "string",
        requiresArg: true,
        group,
        describe: "points of top-1 accuracy that may be lost (0.1)",
      }),
    ["validate model.onnx --data photos/ --json > result.json", "once, when all is well"],
    [
      "verify model.onnx --data photos/ --against result.json",
      "later, in a script: exit status 2 where it became worse",
    ],
    ["verify model.onnx out/model.fitted.onnx --data photos/ --against out/report.json", "the figures of a fit, again"],
  );

export const verify: Command<FlagsOf<typeof declare>> = {
  command: "verify <model> [other]",
  describe: "Compare speed and accuracy with an earlier result",
  builder: declare,
  async run(flags, context) {
    const { verify: run } = await import("../verify.js");
    const tolerance = notNegative("--tolerance", flags.tolerance);
    const found = await run({
      ...pairOptions(flags),
      against: flags.against,
      ...given({
        tolerance: tolerance === undefined ? undefined : tolerance / 100,
        maxDrop: notNegative("--max-drop", flags["max-drop"]),
      }),
      ...commonOptions(context),
    });
    context.terminal.result((c) => {
      const rows = found.checks.map((check) => {
        const show = format(check);
        const verdict = check.ok ? c.green("ok") : c.red("worse");
        return [check.name, show(check.before), show(check.now), show(check.limit), verdict];
      });
      return table(["", "earlier", "now", "limit", ""], rows, c);
    }, found);
    if (!found.ok) context.exitWith(REGRESSED);
  },
};

const format = (c: Check): ((value: number) => string) =>
  c.name === "speed-up" ? formatRatio : c.name === "latency p50" ? formatMs : formatPercent;

/** A number of at least 0, whole or not. */
function notNegative(flag: string, text: string | undefined): number | undefined {
  const value = optionalReal(flag, text);
  if (value === undefined || value >= 0) return value;
  throw new UsageError("flag-value", "expected a number of at least 0", { where: `${flag} ${text}` });
}
