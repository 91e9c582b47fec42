/** What `--data FORMAT:PATH` means. */
import { existsSync } from "node:fs";
import { UsageError } from "../graph/errors.js";

export const dataFormats = ["cifar10", "imagefolder", "npz"] as const;
export type DataFormat = (typeof dataFormats)[number];

export interface DataSpec {
  format: DataFormat;
  path: string;
}

/**
 * Splits `FORMAT:PATH`. Without a prefix the format is `imagefolder`, or `npz` for a path that ends in .npz or .npy.
 * A single letter before the colon is a drive (`C:\photos`), and a path that exists as it stands is never cut.
 * Throws UsageError for an unknown format, naming the known ones.
 */
export function parseDataSpec(spec: string): DataSpec {
  const byName = (path: string): DataSpec => ({ format: /\.np[yz]$/i.test(path) ? "npz" : "imagefolder", path });
  const match = /^([A-Za-z][A-Za-z0-9_-]+):(.*)$/s.exec(spec);
  if (!match) {
    if (spec === "") throw new UsageError("data-spec", "the data set has no path", { where: "--data" });
    return byName(spec);
  }
  const [, prefix, path] = match;
  const format = dataFormats.find((f) => f === prefix.toLowerCase());
  if (!format) {
    if (existsSync(spec)) return byName(spec);
    throw new UsageError("data-format", `"${prefix}" is not a data format`, {
      where: "--data",
      hint: `use one of ${dataFormats.map((f) => `${f}:PATH`).join(", ")}`,
    });
  }
  if (path === "") throw new UsageError("data-spec", `${prefix}: needs a path after the colon`, { where: "--data" });
  return { format, path };
}
