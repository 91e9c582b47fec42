/** Flags that several commands share, and their translation into the library's options. */
import type { Argv } from "yargs";
import type { PreprocessingFlags } from "../data/index.js";
import { UsageError } from "../graph/errors.js";
import type { CommonOptions, FleetOptions, PreprocessOptions } from "../options.js";
import type { Context } from "./command.js";
import { inviteText } from "./invite.js";

/** Config files may hold numbers and lists where the command line has text. */
type Text = string | number | readonly (string | number)[];

export const modelArgument = <T>(y: Argv<T>) =>
  y.positional("model", { type: "string", demandOption: true, describe: "the ONNX file" });

/** --budget and --out; without a default the budget must be given. */
export const budgetFlags = <T>(y: Argv<T>, budget: string | undefined) =>
  y
    .option("budget", {
      type: "string",
      requiresArg: true,
      group: "Fit:",
      default: budget,
      demandOption: budget === undefined,
      describe: "8ms, 60% of the original's own latency, or 30fps",
    })
    .option("out", {
      type: "string",
      requiresArg: true,
      group: "Fit:",
      default: "out",
      describe: "folder for the model, report.html and report.json",
    });

export const deviceFlags = <T>(y: Argv<T>) =>
  y
    .option("device", {
      type: "string",
      requiresArg: true,
      default: "local",
      group: "Device:",
      describe:
        "where to measure: local, wasm, browser (headless Chromium), phone (joins by QR code), local:threads=2, or a profile",
    })
    .option("threads", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "threads of the runtime there (1, or what the device says)",
    })
    .option("provider", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "what computes: cpu, webgpu, cuda, directml or coreml (with --device local)",
    })
    .option("allow-fallback", {
      type: "boolean",
      group: "Device:",
      describe: "let nodes that the provider lacks run on the processor, and name them",
    })
    .option("queue", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "redis://HOST:PORT of a queue that lends devices: --device names one, --device-class any of a class",
    })
    .option("device-class", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "any device of this class on the queue (--queue, or EDGEFIT_QUEUE)",
    })
    .option("blobs", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "folder that all machines of the queue see (default: the server of a hub there)",
    });

export const dimFlags = <T>(y: Argv<T>) =>
  y.option("dim", {
    type: "string",
    array: true,
    group: "General:",
    describe: "value of a symbolic dimension, NAME=VALUE; may be repeated",
  });

export const seedFlag = <T>(y: Argv<T>) =>
  y.option("seed", {
    type: "string",
    requiresArg: true,
    group: "General:",
    describe: "every random choice derives from it (1)",
  });

/** Examples for --help, each a command line below a remark, and the exit statuses. */
export const examples = <T>(y: Argv<T>, ...list: readonly (readonly [line: string, remark: string])[]) =>
  y.epilogue(
    `Examples:\n${list.map(([line, remark]) => `  # ${remark}\n  edgefit ${line}`).join("\n")}\n\n${EXIT_STATUS}`,
  );

export const EXIT_STATUS = "Exit status: 0 done, 1 error, 2 latency budget missed or result worse, 130 interrupted.";

export const dataFlags = <T>(y: Argv<T>) =>
  y
    .option("data", {
      type: "string",
      requiresArg: true,
      group: "Data:",
      describe: "FORMAT:PATH with FORMAT cifar10, imagefolder (default) or npz",
    })
    .option("limit", {
      type: "string",
      requiresArg: true,
      group: "Data:",
      describe: "at most this many test images (all)",
    })
    .option("preprocess", {
      type: "string",
      requiresArg: true,
      group: "Data:",
      describe: "a preprocessor_config.json (default: the one beside the model)",
    })
    .option("mean", {
      type: "string",
      requiresArg: true,
      group: "Data:",
      describe: "per channel after scaling, e.g. 0.485,0.456,0.406",
    })
    .option("std", {
      type: "string",
      requiresArg: true,
      group: "Data:",
      describe: "per channel after scaling, e.g. 0.229,0.224,0.225",
    })
    .option("scale", { type: "string", requiresArg: true, group: "Data:", describe: "factor on 0..255, e.g. 1/255" })
    .option("size", { type: "string", requiresArg: true, group: "Data:", describe: "image size, 224 or HEIGHTxWIDTH" })
    .option("order", { choices: ["rgb", "bgr", "gray"] as const, group: "Data:", describe: "order of the channels" })
    .option("layout", { choices: ["nchw", "nhwc"] as const, group: "Data:", describe: "layout of the model's input" })
    .option("resample", {
      choices: ["nearest", "bilinear", "bicubic", "lanczos"] as const,
      group: "Data:",
      describe: "how images are resized",
    })
    .option("fit", {
      choices: ["stretch", "crop"] as const,
      group: "Data:",
      describe: "stretch to the size, or resize the short side and crop",
    });

/** The `preprocess` option from its flags; undefined when none was given. */
export function preprocessOption(f: {
  preprocess?: string;
  mean?: Text;
  std?: Text;
  scale?: Text;
  size?: Text;
  order?: PreprocessingFlags["order"];
  layout?: PreprocessingFlags["layout"];
  resample?: PreprocessingFlags["resample"];
  fit?: PreprocessingFlags["fit"];
}): PreprocessOptions | undefined {
  const flags: PreprocessingFlags = given({
    mean: f.mean === undefined ? undefined : numberList("--mean", f.mean),
    std: f.std === undefined ? undefined : numberList("--std", f.std),
    scale: f.scale === undefined ? undefined : factor("--scale", f.scale),
    size: f.size === undefined ? undefined : imageSize("--size", f.size),
    order: f.order,
    layout: f.layout,
    resample: f.resample,
    fit: f.fit,
  });
  const option = given({ file: f.preprocess, flags: Object.keys(flags).length > 0 ? flags : undefined });
  return Object.keys(option).length > 0 ? option : undefined;
}

/** Device options from their flags, where they were given. */
export const deviceOptions = (f: {
  device: string;
  threads?: Text;
  provider?: string;
  "allow-fallback"?: boolean;
  queue?: string;
  "device-class"?: string;
  blobs?: string;
}) =>
  given({
    device: f.device,
    threads: optionalNumber("--threads", f.threads, 1),
    provider: f.provider,
    allowFallback: f["allow-fallback"],
    fleet: fleetOptions(f),
  });

/** A queue is used where a flag asks for it; EDGEFIT_QUEUE only says where it is. */
function fleetOptions(f: { queue?: string; "device-class"?: string; blobs?: string }): FleetOptions | undefined {
  if (f.queue === undefined && f["device-class"] === undefined) return undefined;
  return given({ queue: queueAddress(f.queue), blobs: f.blobs, deviceClass: f["device-class"] });
}

/** The address from its flag or EDGEFIT_QUEUE. Throws UsageError without either. */
export function queueAddress(flag: string | undefined): string {
  const address = flag ?? process.env.EDGEFIT_QUEUE;
  if (address) return address;
  throw new UsageError("queue-missing", "no queue is named", {
    where: "--queue",
    hint: "give --queue redis://HOST:PORT, or set EDGEFIT_QUEUE",
  });
}

/** What every story is told about its caller. */
export function commonOptions({ terminal, signal }: Context): CommonOptions {
  return {
    onProgress: terminal.progress,
    onWarning: terminal.warn,
    onInvite: (url) => terminal.note(inviteText(url)),
    ...(terminal.log ? { onLog: terminal.log } : {}),
    signal,
  };
}

/** `N=1` pairs as a record. */
export function dimValues(dim: Text | undefined): Record<string, number> | undefined {
  if (dim === undefined) return undefined;
  const pairs = Array.isArray(dim) ? dim : [dim];
  return Object.fromEntries(
    pairs.map((pair) => {
      const match = /^([^=]+)=(.*)$/.exec(String(pair));
      if (!match) {
        throw new UsageError("flag-value", "a dimension needs a name and a value", {
          where: `--dim ${pair}`,
          hint: "write --dim NAME=VALUE, e.g. --dim batch=1",
        });
      }
      return [match[1], wholeNumber(`--dim ${match[1]}`, match[2], 1)];
    }),
  );
}

/** A whole number of at least `least`. Throws UsageError naming the flag. */
export function wholeNumber(flag: string, text: Text, least: number): number {
  const value = Number(String(text).trim() || Number.NaN);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError("flag-value", `expected a whole number of at least ${least}`, { where: `${flag} ${text}` });
}

/** `wholeNumber` for a flag that may be absent. */
export const optionalNumber = (flag: string, text: Text | undefined, least: number): number | undefined =>
  text === undefined ? undefined : wholeNumber(flag, text, least);

/** A number, for a flag that may be absent. Throws UsageError naming the flag. */
export function optionalReal(flag: string, text: Text | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(String(text).trim() || Number.NaN);
  if (Number.isFinite(value)) return value;
  throw new UsageError("flag-value", "expected a number", { where: `${flag} ${text}` });
}

function numberList(flag: string, text: Text): number[] {
  const values = (Array.isArray(text) ? text : String(text).split(",")).map((v) =>
    Number(String(v).trim() || Number.NaN),
  );
  if (values.every(Number.isFinite)) return values;
  throw new UsageError("flag-value", "expected numbers with commas between them", { where: `${flag} ${text}` });
}

function factor(flag: string, text: Text): number {
  const parts = String(text)
    .split("/")
    .map((v) => Number(v.trim() || Number.NaN));
  const value = parts.length === 1 ? parts[0] : parts.length === 2 ? parts[0] / parts[1] : Number.NaN;
  if (Number.isFinite(value) && value !== 0) return value;
  throw new UsageError("flag-value", "expected a number or a fraction such as 1/255", { where: `${flag} ${text}` });
}

function imageSize(flag: string, text: Text): { height: number; width: number } {
  const match = /^(\d+)(?:x(\d+))?$/i.exec(String(text).trim());
  const height = Number(match?.[1]);
  const width = Number(match?.[2] ?? match?.[1]);
  if (height > 0 && width > 0) return { height, width };
  throw new UsageError("flag-value", "expected a size such as 224 or 240x320 (height x width)", {
    where: `${flag} ${text}`,
  });
}

/** The object without its undefined fields, so that the library's defaults hold. */
export function given<T extends object>(o: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
