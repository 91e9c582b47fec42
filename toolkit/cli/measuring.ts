/** Flags of the commands that measure models on a device, and the options that they stand for. */
import type { Argv } from "yargs";
import type { ValidateOptions } from "../options.js";
import {
  dataFlags,
  deviceFlags,
  deviceOptions,
  dimFlags,
  dimValues,
  given,
  modelArgument,
  optionalNumber,
  preprocessOption,
  seedFlag,
} from "./flags.js";

/** The model, the device, symbolic dimensions and the seed. */
export const measuringFlags = <T>(y: Argv<T>) => seedFlag(dimFlags(deviceFlags(modelArgument(y))));

/** The options of `measuringFlags`, the model aside. */
export const measuringOptions = (f: Parameters<typeof deviceOptions>[0] & { seed?: string; dim?: string[] }) => ({
  ...deviceOptions(f),
  ...given({ seed: optionalNumber("--seed", f.seed, 0), dims: dimValues(f.dim) }),
});

/** The options of `dataFlags`. */
export const dataOptions = (f: Parameters<typeof preprocessOption>[0] & { data?: string; limit?: string }) =>
  given({ data: f.data, limit: optionalNumber("--limit", f.limit, 1), preprocess: preprocessOption(f) });

/** How calls follow each other. */
export const pacedFlag = <T>(y: Argv<T>) =>
  y.option("paced", {
    type: "string",
    requiresArg: true,
    group: "Device:",
    describe: "one call per frame, e.g. 30fps, as a camera asks for (calls in a row)",
  });

/** Flags of a command that measures one model, or two beside each other. */
export const pairFlags = <T>(y: Argv<T>) =>
  pacedFlag(dataFlags(measuringFlags(y)))
    .positional("other", {
      type: "string",
      describe: "a second model, timed in turns with the first and compared with it",
    })
    .option("sustain", {
      type: "string",
      requiresArg: true,
      group: "Device:",
      describe: "then keep the last model busy so long, e.g. 30min, and show every minute",
    });

type PairFlags = ReturnType<typeof pairFlags> extends Argv<infer F> ? F : never;

/** The options of `pairFlags`. */
export const pairOptions = (f: PairFlags): ValidateOptions => ({
  models: f.other === undefined ? [f.model] : [f.model, f.other],
  ...measuringOptions(f),
  ...dataOptions(f),
  ...given({ paced: f.paced, sustain: f.sustain }),
});
