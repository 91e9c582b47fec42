/** Data sets and preprocessing: what other parts may use. */

import { loadArrays } from "./arrays.js";
import { loadCifar10 } from "./cifar10.js";
import type { Dataset, Preprocessing } from "./dataset.js";
import { type FolderOptions, loadImageFolder } from "./imageFolder.js";
import { parseDataSpec } from "./spec.js";

export type { Batch, Dataset, Preprocessing, Split } from "./dataset.js";
export { DataError } from "./errors.js";
export type { FolderOptions } from "./imageFolder.js";
export { loadPreprocessing, type PreprocessingFlags } from "./preprocessing.js";
export { randomBatch } from "./random.js";
export { type DataFormat, dataFormats, parseDataSpec } from "./spec.js";
export { checkedItems } from "./split.js";

/** Opens `FORMAT:PATH` (cifar10:, imagefolder:, npz:; see `parseDataSpec`). Throws UsageError or DataError. */
export async function loadDataset(spec: string, p: Preprocessing, o: FolderOptions = {}): Promise<Dataset> {
  const { format, path } = parseDataSpec(spec);
  switch (format) {
    case "cifar10":
      return loadCifar10(path, p, spec);
    case "imagefolder":
      return loadImageFolder(path, p, spec, o);
    case "npz":
      return loadArrays(path, p, spec);
  }
}
