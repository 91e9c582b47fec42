/** What page and worker tell each other. */
import type { StackChoice } from "../pipeline/kinds.js";
import type { Analysis } from "../pipeline/pipeline.js";

/** What the page is started with: `config.json` beside it. */
export interface PageConfig {
  /** `at` is an address relative to the page. */
  stack: StackChoice;
  /** Address of the folder with the files of onnxruntime-web. */
  runtime: string;
}

export type ToWorker =
  | { type: "open"; config: PageConfig }
  | { type: "frame"; pixels: ArrayBuffer; width: number; height: number; timeMs: number }
  /** A new driver or a new source: forget what is known. */
  | { type: "reset" };

export type FromWorker =
  | { type: "ready"; runtime: string; locator: string; reader: string }
  | { type: "analysis"; analysis: Analysis }
  | { type: "failed"; reason: string };
