/**
 * Command: trains the sample's models from nothing: the eye-state classifier, printing its figures, or with `--net drivers` the face
 * locator and the face reader.
 *
 *     npx tsx samples/driver-monitoring/train.ts --epochs 20 --out eye-state.onnx
 *     npx tsx samples/driver-monitoring/train.ts --net drivers --out models/
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isEdgefitError, UsageError } from "../../toolkit/graph/errors.js";
import type { ProgressEvent } from "../../toolkit/graph/progress.js";
import { writeModelFile } from "../../toolkit/onnx/index.js";
import type { EyeStateEvaluation } from "./evaluate.js";
import { trainDriverNets } from "./nets/driverTraining.js";
import { trainEyeState } from "./training.js";

const usage = `Usage: train.ts [--net eyes] --out FILE [--epochs N] [--train N] [--test N] [--seed N] [--threads N]
                [--checkpoint FILE [--resume]] [--cache-dir DIR]
       train.ts --net drivers --out DIR [--epochs N] [--train N] [--seed N] [--threads N]
                [--checkpoint PREFIX [--resume]] [--cache-dir DIR]`;

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
      net: { type: "string", default: "eyes" },
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
  const common = {
    seed: wholeNumber("--seed", values.seed),
    threads: wholeNumber("--threads", values.threads),
    resume: values.resume,
    cacheDir: values["cache-dir"],
    onProgress: progressLines((line) => process.stderr.write(line)),
    signal: stop.signal,
  };
  const epochs = wholeNumber("--epochs", values.epochs);
  const count = wholeNumber("--train", values.train);
  const { out, checkpoint } = values;
  if (values.net === "drivers") {
    await mkdir(out, { recursive: true });
    const { locator, reader, seconds } = await trainDriverNets({
      ...common,
      scenes: count,
      locatorEpochs: epochs,
      readerEpochs: epochs,
      checkpoint:
        checkpoint === undefined ? undefined : { locator: `${checkpoint}.locator`, reader: `${checkpoint}.reader` },
      onEpoch: (net, { epoch, loss, seconds: s }) =>
        process.stdout.write(`${net}, epoch ${epoch}: loss ${loss.toFixed(4)}, ${s.toFixed(1)} s\n`),
    });
    await writeModelFile(join(out, "face-locator.onnx"), locator);
    await writeModelFile(join(out, "face-reader.onnx"), reader);
    process.stdout.write(`${seconds.toFixed(0)} s in all; face-locator.onnx and face-reader.onnx written to ${out}.\n`);
    return;
  }
  if (values.net !== "eyes")
    throw new UsageError("flag-value", `there is no net "${values.net}"`, {
      where: "--net",
      hint: "use eyes or drivers",
    });
  const { evaluation, history, seconds } = await trainEyeState({
    ...common,
    out,
    epochs,
    train: count,
    test: wholeNumber("--test", values.test),
    checkpoint,
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
