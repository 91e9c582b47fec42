/**
 * Heavy pieces of work that stand alone, each a plain value in and a plain value out, so that they may run here or wherever there is room.
 * `inProcess` does them on the spot, `fleet/` sends them to machines on a queue. `fit` and `compare` do not ask through it yet.
 */

import type { Split } from "./data/index.js";
import { type FinetuneOptions, finetune } from "./finetune.js";
import { type FinetuneQuantizedOptions, finetuneQuantized } from "./finetuneQuantized.js";
import type { Graph } from "./graph/graph.js";
import { accuracyOn } from "./methods/training.js";
import type { CommonOptions } from "./options.js";

type Plain<T> = Omit<T, keyof CommonOptions>;

/** What each kind takes and gives. */
export interface JobKinds {
  /** Distillation of the original into a cut net (`finetune.ts`). */
  finetune: { asked: { net: Graph } & Plain<FinetuneOptions>; answer: Graph };
  /** The same in integers (`finetuneQuantized.ts`). */
  "finetune-quantized": { asked: { net: Graph } & Plain<FinetuneQuantizedOptions>; answer: Graph };
  /** Top-1 accuracy of a classifier on labelled images, 0 to 1, in the runtime of whoever does it. */
  evaluate: { asked: { net: Graph; data: Split }; answer: number };
}
export type JobKind = keyof JobKinds;
export type Asked<K extends JobKind> = JobKinds[K]["asked"];
export type Answer<K extends JobKind> = JobKinds[K]["answer"];

/** Whatever does jobs. Rejects with the work's own error, and with the signal's reason. */
export interface Jobs {
  run<K extends JobKind>(kind: K, asked: Asked<K>, o: CommonOptions): Promise<Answer<K>>;
}

type Handlers = { [K in JobKind]: (asked: Asked<K>, o: CommonOptions) => Promise<Answer<K>> };

export const handlers: Handlers = {
  finetune: ({ net, ...rest }, o) => finetune(net, { ...rest, ...o }),
  "finetune-quantized": ({ net, ...rest }, o) => finetuneQuantized(net, { ...rest, ...o }),
  evaluate: ({ net, data }, { signal }) => accuracyOn(net, data, { signal }),
};

/** Does every job here and now. */
export const inProcess: Jobs = {
  run: (kind, asked, o) => (handlers[kind] as (a: typeof asked, o: CommonOptions) => Promise<never>)(asked, o),
};
