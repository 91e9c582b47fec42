/** Thirty pictures a second leave 33 milliseconds for each; this is how they are divided among the stages. */
import { type Stage, type StageTimes, stages } from "../pipeline/pipeline.js";

/** Getting the pixels out of the video comes before the pipeline. */
export type PageStage = "grab" | Stage;

export const pageStages: readonly PageStage[] = ["grab", ...stages];

export const PICTURE_MS = 1000 / 30;

export const budgetMs: Record<PageStage, number> = {
  grab: 5,
  "locate-prepare": 4,
  locate: 6,
  "read-prepare": 4,
  read: 13,
  decide: 1,
};

export const stageNames: Record<PageStage, string> = {
  grab: "Picture",
  "locate-prepare": "Shrink",
  locate: "Find face",
  "read-prepare": "Crop",
  read: "Read face",
  decide: "Decide",
};

/** Times of every stage over this long. */
const SPAN_MS = 3000;

/** The last seconds' times of every stage, and how many pictures they had. */
export class StageClock {
  private readonly last: { atMs: number; times: Record<PageStage, number>; totalMs: number }[] = [];

  add(atMs: number, grabMs: number, times: StageTimes): void {
    const all = { grab: grabMs, ...times };
    this.last.push({ atMs, times: all, totalMs: pageStages.reduce((sum, s) => sum + all[s], 0) });
    while (this.last[0].atMs < atMs - SPAN_MS) this.last.shift();
  }

  /** Medians over the last seconds; undefined before the first picture. */
  summary(): { times: Record<PageStage, number>; totalMs: number; picturesPerSecond: number } | undefined {
    if (this.last.length === 0) return undefined;
    const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];
    const times = Object.fromEntries(pageStages.map((s) => [s, median(this.last.map((l) => l.times[s]))])) as Record<
      PageStage,
      number
    >;
    const spanMs = this.last[this.last.length - 1].atMs - this.last[0].atMs;
    return {
      times,
      totalMs: median(this.last.map((l) => l.totalMs)),
      picturesPerSecond: spanMs > 0 ? ((this.last.length - 1) * 1000) / spanMs : 0,
    };
  }

  clear(): void {
    this.last.length = 0;
  }
}
