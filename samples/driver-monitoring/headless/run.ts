/** Driver monitoring without a page: pictures in, one record per picture out. */

import type { BehaviourSettings } from "../behaviour/index.js";
import type { Analysis } from "../pipeline/pipeline.js";
import { Pipeline } from "../pipeline/pipeline.js";
import type { TimedFrame } from "./source.js";
import type { Stack } from "./stackFolder.js";

export interface HeadlessOptions {
  source: AsyncIterable<TimedFrame>;
  stack: Stack;
  settings?: Partial<BehaviourSettings>;
  /** At most this many pictures. */
  limit?: number;
  signal?: AbortSignal;
  onRecord: (record: HeadlessRecord) => void;
}

/** One line of the output. */
export interface HeadlessRecord extends Analysis {
  /** File name, where pictures have one. */
  name?: string;
}

/** Analyses pictures until the source ends or the signal stops it; returns how many there were. */
export async function runHeadless(o: HeadlessOptions): Promise<number> {
  const pipeline = new Pipeline({ ...o.stack, now: () => performance.now(), settings: o.settings });
  let count = 0;
  for await (const { frame, timeMs, name } of o.source) {
    if (o.signal?.aborted || count >= (o.limit ?? Number.POSITIVE_INFINITY)) break;
    const analysis = await pipeline.analyse(frame, timeMs);
    o.onRecord(name === undefined ? analysis : { name, ...analysis });
    count++;
  }
  return count;
}

/** A record as one line of JSON, numbers rounded to what they are worth. */
export const toJsonLine = (record: HeadlessRecord): string =>
  JSON.stringify(record, (_, value) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value));
