/**
 * Command: trains the eye-state classifier from nothing and prints its figures.
 *
 *     npx tsx samples/driver-monitoring/train.ts --epochs 20 --out eye-state.onnx
 */
import { parseArgs } from "node:util";
import { isEdgefitError, UsageError } from "../../toolkit/graph/errors.js";
import type { ProgressEvent } from "../../toolkit/graph/progress.js";
import type { EyeStateEvaluation } from "./evaluate.js";
import { trainEyeState } from "./training.js";

const usage = `Usage: train.ts --out FILE [--epochs N] [--train N] [--test N] [--seed N] [--threads N]
                [--checkpoint FILE [--resume]] [--cache-dir DIR]`;

function wholeNumber(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new UsageError("flag-value", `"${text}" is no whole number`, { where: flag });
  return Number(text);
}

/** One line per tenth of a stage, so that a log stays readable. */
function progressLines(write: (line: string) => void): (e: ProgressEvent) => void {
  let last = "";
  return ({ stage, done, total, note }) => {
    const tenth = `${stage} ${Math.floor((10 * done) / total)}`;
    if (tenth === last && done !== total) return;
    last = tenth;
    write(`${stage}: ${done}/${total}${note ? `, ${note}` : ""}\n`);
  };
}

const percent = (v: number): string => `${(100 * v).toFixed(2)} %`;

function table(e: EyeStateEvaluation): string {
  const rows = [
    ["all", e.accuracy, e.count, e.total] as const,
    ...Object.entries(e.kinds).map(([name, k]) => [name, k.accuracy, k.count, k.confusion] as const),
  ];
  const lines = rows.map(
    ([name, accuracy, count, c]) =>
      `| ${name} | ${count} | ${percent(accuracy)} | ${c.closedAsOpen} of ${c.closedAsClosed + c.closedAsOpen} | ${c.openAsClosed} of ${c.openAsClosed + c.openAsOpen} |`,
  );
  return [
    "| crops | count | accuracy | closed taken for open | open taken for closed |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...lines,
  ].join("\n");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      epochs: { type: "string" },
      train: { type: "string" },
      test: { type: "string" },
      seed: { type: "string" },
      threads: { type: "string" },
      checkpoint: { type: "string" },
      resume: { type: "boolean" },
      "cache-dir": { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  if (!values.out)
    throw new UsageError("missing-flag", "say where to write the model", { where: "--out", hint: usage });
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new UsageError("interrupted", "interrupted; no model was written")));
  const { evaluation, history, seconds } = await trainEyeState({
    out: values.out,
    epochs: wholeNumber("--epochs", values.epochs),
    train: wholeNumber("--train", values.train),
    test: wholeNumber("--test", values.test),
    seed: wholeNumber("--seed", values.seed),
    threads: wholeNumber("--threads", values.threads),
    checkpoint: values.checkpoint,
    resume: values.resume,
    cacheDir: values["cache-dir"],
    onProgress: progressLines((line) => process.stderr.write(line)),
    signal: stop.signal,
  });
  for (const { epoch, loss, metric, seconds: s } of history) {
    process.stdout.write(
      `epoch ${epoch}: loss ${loss.toFixed(4)}, training accuracy ${percent(metric ?? 0)}, ${s.toFixed(1)} s\n`,
    );
  }
  process.stdout.write(`\n${table(evaluation)}\n\n${seconds.toFixed(0)} s in all; ${values.out} written.\n`);
}

main().catch((e: unknown) => {
  const known = isEdgefitError(e) ? e : undefined;
  const message = e instanceof Error ? e.message : String(e);
  process.stderr.write(`${known?.where ? `${known.where}: ` : ""}${message}${known?.hint ? `. ${known.hint}` : ""}\n`);
  process.exitCode = known?.exit ?? 1;
});
