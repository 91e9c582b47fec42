/** How images become inputs: from flags, from a Hugging-Face-style preprocessor_config.json, and from the model's own input. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { Dim } from "../graph/graph.js";
import type { ElemType } from "../graph/tensor.js";
import type { Preprocessing } from "./dataset.js";
import { DataError } from "./errors.js";

/** What the user may say on the command line; each one overrides the file. */
export interface PreprocessingFlags {
  mean?: readonly number[];
  std?: readonly number[];
  /** Factor on 0..255. */
  scale?: number;
  size?: number | { height: number; width: number };
  order?: Preprocessing["channelOrder"];
  layout?: Preprocessing["layout"];
  resample?: Preprocessing["resample"];
  fit?: Preprocessing["fit"];
}

const pair = z.object({ height: z.number().int().positive(), width: z.number().int().positive() });
const edge = z.object({ shortest_edge: z.number().int().positive() });
const side = z.number().int().positive();
const numbers = z.union([z.array(z.number()).min(1), z.number().transform((v) => [v])]);

/** The fields of preprocessor_config.json that image models use; others (labels, processor names) are of no concern here. */
const configSchema = z.object({
  do_resize: z.boolean().optional(),
  size: z.union([pair, edge, side]).optional(),
  do_center_crop: z.boolean().optional(),
  crop_size: z.union([pair, side]).optional(),
  do_rescale: z.boolean().optional(),
  rescale_factor: z.number().optional(),
  do_normalize: z.boolean().optional(),
  image_mean: numbers.optional(),
  image_std: numbers.optional(),
  resample: z.union([z.number().int(), z.enum(["nearest", "bilinear", "bicubic", "lanczos"])]).optional(),
  channel_order: z.enum(["rgb", "bgr", "gray"]).optional(),
});
type Config = z.infer<typeof configSchema>;

/** Pillow's codes (PIL.Image.Resampling) that have an equal here; 4 (box) and 5 (hamming) have none. */
const pillowResample: Record<number, Preprocessing["resample"]> = {
  0: "nearest",
  1: "lanczos",
  2: "bilinear",
  3: "bicubic",
};

type Size = { height: number; width: number };
const asPair = (s: number | Size): Size => (typeof s === "number" ? { height: s, width: s } : s);
const show = (s: { height: number | null; width: number | null }): string => `${s.width ?? "?"}x${s.height ?? "?"}`;

/**
 * Preprocessing for a model input, and one line for the report on where it came from; `guessed` when nothing said how values are scaled. `file` names a config; without it
 * one called preprocessor_config.json beside the model is used; without that: size of the input, 1/255, mean 0, std 1.
 * Throws DataError where file, flags and model disagree, naming both sides.
 */
export async function loadPreprocessing(o: {
  modelPath?: string;
  file?: string;
  flags?: PreprocessingFlags;
  input: { dims?: readonly Dim[]; elemType: ElemType };
}): Promise<{ preprocessing: Preprocessing; source: string; guessed: boolean }> {
  const flags = o.flags ?? {};
  const beside = o.modelPath === undefined ? undefined : join(dirname(o.modelPath), "preprocessor_config.json");
  const file = o.file ?? (beside && existsSync(beside) ? beside : undefined);
  const config = file === undefined ? {} : await readConfig(file);
  const input = readInput(o.input, flags.layout);
  const sizes = chooseSize(config, flags, input, file);
  const channelOrder = flags.order ?? config.channel_order ?? (input.channels === 1 ? "gray" : "rgb");
  const channels = channelOrder === "gray" ? 1 : 3;
  if (input.channels !== null && input.channels !== channels) {
    throw new DataError(
      "channels-mismatch",
      `the model's input has ${input.channels} channels, ${channelOrder} images have ${channels}`,
      {
        hint: "set the channel order to rgb, bgr or gray",
      },
    );
  }
  const normalize = config.do_normalize !== false;
  const preprocessing: Preprocessing = {
    ...sizes,
    rescaleFactor: flags.scale ?? (config.do_rescale === false ? 1 : (config.rescale_factor ?? 1 / 255)),
    imageMean: perChannel("mean", flags.mean ?? (normalize ? config.image_mean : undefined) ?? [0], channels, file),
    imageStd: perChannel("std", flags.std ?? (normalize ? config.image_std : undefined) ?? [1], channels, file),
    channelOrder,
    layout: input.layout,
    resample: flags.resample ?? readResample(config.resample, file),
  };
  if (!Number.isFinite(preprocessing.rescaleFactor) || preprocessing.rescaleFactor === 0) {
    throw new DataError(
      "preprocess-scale",
      `the scale is ${preprocessing.rescaleFactor}, expected a number other than 0`,
      { where: file ?? "--scale" },
    );
  }
  if (preprocessing.imageStd.some((v) => v === 0)) {
    throw new DataError("preprocess-std", "a standard deviation is 0", {
      where: file ?? "--std",
      hint: "every channel is divided by its std",
    });
  }
  const named = Object.entries(flags)
    .filter(([, v]) => v !== undefined)
    .map(([k]) => `--${k}`);
  const source = [
    file === undefined ? "defaults (0..1, no mean or std)" : basename(file),
    ...(named.length ? [`flags ${named.join(", ")}`] : []),
  ].join(" with ");
  const guessed =
    file === undefined && flags.mean === undefined && flags.std === undefined && flags.scale === undefined;
  return { preprocessing, source, guessed };
}

async function readConfig(file: string): Promise<Config> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new DataError("preprocess-file", `the file cannot be read as JSON: ${(cause as Error).message}`, {
      where: file,
      cause,
    });
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new DataError("preprocess-file", `field ${issue.path.join(".") || "(root)"}: ${issue.message}`, {
      where: file,
    });
  }
  return parsed.data;
}

interface InputFacts {
  layout: "nchw" | "nhwc";
  channels: number | null;
  height: number | null;
  width: number | null;
}

function readInput(input: { dims?: readonly Dim[]; elemType: ElemType }, layout?: "nchw" | "nhwc"): InputFacts {
  if (input.elemType !== "float32") {
    throw new DataError("input-type", `the model's input is ${input.elemType}; image data sets serve float32`, {
      hint: "export the model with a float32 input",
    });
  }
  const dims = input.dims;
  if (dims?.length !== 4) {
    throw new DataError(
      "input-rank",
      `the model's input has the shape [${dims ?? "unknown"}]; images need four axes, [n, channels, height, width] or [n, height, width, channels]`,
    );
  }
  const number = (d: Dim): number | null => (typeof d === "number" && d > 0 ? d : null);
  const isChannels = (d: Dim): boolean => d === 1 || d === 3;
  const chosen = layout ?? (!isChannels(dims[1]) && isChannels(dims[3]) ? "nhwc" : "nchw");
  const [c, h, w] = chosen === "nchw" ? [1, 2, 3] : [3, 1, 2];
  return { layout: chosen, channels: number(dims[c]), height: number(dims[h]), width: number(dims[w]) };
}

function chooseSize(
  config: Config,
  flags: PreprocessingFlags,
  input: InputFacts,
  file?: string,
): Pick<Preprocessing, "size" | "fit" | "resizeTo"> {
  const crop =
    config.do_center_crop === true || (config.do_center_crop === undefined && config.crop_size !== undefined);
  const resize = config.do_resize !== false && config.size !== undefined ? config.size : undefined;
  const shortest = typeof resize === "object" && "shortest_edge" in resize ? resize.shortest_edge : undefined;
  const resizePair = resize === undefined || shortest !== undefined ? undefined : asPair(resize as number | Size);
  const fromConfig =
    crop && config.crop_size !== undefined
      ? asPair(config.crop_size)
      : (resizePair ?? (shortest === undefined ? undefined : asPair(shortest)));
  const wanted = flags.size === undefined ? fromConfig : asPair(flags.size);
  const origin = flags.size === undefined ? (file ?? "") : "--size";
  for (const axis of ["height", "width"] as const) {
    const has = input[axis];
    if (wanted && has !== null && wanted[axis] !== has) {
      throw new DataError("image-size", `the model reads ${show(input)} images, ${origin} says ${show(wanted)}`, {
        hint: "give the size that the model was made for, or re-export the model with dynamic height and width",
      });
    }
  }
  const height = wanted?.height ?? input.height;
  const width = wanted?.width ?? input.width;
  if (height === null || width === null) {
    throw new DataError("image-size", "the model leaves height or width open and no size is given", {
      hint: "give --size WIDTHxHEIGHT",
    });
  }
  const size = { height, width };
  if (flags.fit !== undefined || flags.size !== undefined) return { size, fit: flags.fit ?? "stretch" };
  if (config.do_resize === false) return { size, fit: "crop", resizeTo: "none" };
  if (shortest !== undefined) return { size, fit: "crop", resizeTo: { shortestEdge: shortest } };
  if (crop && resizePair) return { size, fit: "crop", resizeTo: resizePair };
  return { size, fit: crop ? "crop" : "stretch" };
}

function perChannel(
  what: "mean" | "std",
  values: readonly number[],
  channels: number,
  file?: string,
): readonly number[] {
  if (values.some((v) => !Number.isFinite(v)))
    throw new DataError(`preprocess-${what}`, `${what} holds a value that is not a number`, {
      where: file ?? `--${what}`,
    });
  if (values.length === channels) return values;
  if (values.length === 1) return new Array(channels).fill(values[0]);
  throw new DataError(
    `preprocess-${what}`,
    `${what} has ${values.length} values, the model's input has ${channels} channels`,
    { where: file ?? `--${what}` },
  );
}

function readResample(value: Config["resample"], file?: string): Preprocessing["resample"] {
  if (value === undefined) return "bilinear";
  if (typeof value === "string") return value;
  const known = pillowResample[value];
  if (!known)
    throw new DataError("preprocess-resample", `resample ${value} is not supported`, {
      where: file ?? "resample",
      hint: "use 0 nearest, 1 lanczos, 2 bilinear or 3 bicubic",
    });
  return known;
}
