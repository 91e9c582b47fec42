/**
 * From pictures to the driver's state: find faces, read the driver's, follow it over time. Runs in Node as in a page; models and
 * clock come from outside.
 */
import { type BehaviourSettings, DriverMonitor, type DriverState } from "../behaviour/index.js";
import { driverOf, type FaceBox } from "./boxes.js";
import type { Frame } from "./frame.js";
import type { Clock, FaceLocator, FaceReader, ReadFace } from "./stack.js";

/** Names of the stages, in their order. */
export const stages = ["locate-prepare", "locate", "read-prepare", "read", "decide"] as const;
export type Stage = (typeof stages)[number];

/** Milliseconds of each stage that a picture went through; a picture without a face is not read. */
export type StageTimes = Record<Stage, number>;

export interface Analysis {
  timeMs: number;
  faces: readonly FaceBox[];
  /** The driver's face and what was read from it; absent where there is none. */
  driver?: { box: FaceBox } & Omit<ReadFace, "times">;
  state: DriverState;
  times: StageTimes;
  totalMs: number;
}

export interface PipelineOptions {
  locator: FaceLocator;
  reader: FaceReader;
  now: Clock;
  settings?: Partial<BehaviourSettings>;
}

export class Pipeline {
  readonly monitor: DriverMonitor;

  constructor(private readonly o: PipelineOptions) {
    this.monitor = new DriverMonitor(o.settings);
  }

  /**
   * Analyses the next picture.
   *
   * @param timeMs when it was taken; must grow from picture to picture
   */
  async analyse(frame: Frame, timeMs: number): Promise<Analysis> {
    const { locator, reader, now } = this.o;
    const start = now();
    const located = await locator.locate(frame, now);
    const box = driverOf(located.faces);
    const read = box && (await reader.read(frame, box, now));
    const before = now();
    const state = this.monitor.observe({ timeMs, ...(read ? { face: read.reading } : {}) });
    const end = now();
    return {
      timeMs,
      faces: located.faces,
      ...(box && read ? { driver: { box, reading: read.reading, landmarks: read.landmarks } } : {}),
      state,
      times: {
        "locate-prepare": located.times.prepareMs,
        locate: located.times.runMs,
        "read-prepare": read?.times.prepareMs ?? 0,
        read: read?.times.runMs ?? 0,
        decide: end - before,
      },
      totalMs: end - start,
    };
  }

  async close(): Promise<void> {
    await this.o.locator.close();
    await this.o.reader.close();
  }
}
