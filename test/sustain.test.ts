import { describe, expect, test } from "vitest";
import type { DeviceRunner, LoadedModel, MeasureJob, Measurement } from "../runners/index.js";
import { parseDuration, parsePace } from "../toolkit/pace.js";
import { referenceKernel } from "../toolkit/referenceKernel.js";
import { withSession } from "../toolkit/runtime/session.js";
import { slopePct, sustain } from "../toolkit/sustain.js";

/** A device that takes `ms(minutes)` per call; only measuring moves its clock. */
class WarmDevice {
  time = 0;
  readonly open = new Set<number>();
  readonly jobs: MeasureJob[] = [];
  private last = 0;
  constructor(
    private readonly ms: (minutes: number) => number,
    private readonly referenceMs: (minutes: number) => number = () => 1,
  ) {}
  now = (): number => this.time;
  runner = {
    load: async () => {
      this.open.add(++this.last);
      return { id: this.last } as LoadedModel;
    },
    unload: async (id: number) => void this.open.delete(id),
    describe: async () => ({ conditions: { temperatureC: 40 + this.time / 60_000 } }),
    measure: async (job: MeasureJob, signal?: AbortSignal): Promise<Measurement[]> => {
      signal?.throwIfAborted();
      this.jobs.push(job);
      const cost = job.models[0].id === 1 ? this.ms : this.referenceMs;
      const samples: number[] = [];
      const begin = this.time;
      while (samples.length < job.minSamples! || this.time - begin < job.minTimeMs!) {
        const ms = cost(this.time / 60_000);
        samples.push(ms);
        this.time += Math.max(ms, job.intervalMs ?? 0);
      }
      const missed = job.intervalMs === undefined ? {} : { missedFrames: 1 };
      return [{ samplesMs: Float64Array.from(samples), ...missed } as unknown as Measurement];
    },
  } as unknown as DeviceRunner;
}

const run = (d: WarmDevice, minutes: number, o: { intervalMs?: number; signal?: AbortSignal } = {}) =>
  sustain(d.runner, new Uint8Array(1), {}, { minutes, now: d.now, ...o });

describe("sustain", () => {
  test("tells each minute's median, and the slope of a device that warms up", async () => {
    const d = new WarmDevice(
      (t) => 20 * (1 + 0.02 * t),
      (t) => 1 + 0.02 * t,
    );
    const s = await run(d, 10);
    expect(s.minutes).toHaveLength(10);
    for (const [i, m] of s.minutes.entries()) {
      expect(m.minute).toBe(i);
      expect(m.p50).toBeCloseTo(20 * (1 + 0.02 * (i + 0.5)), 0);
      expect(m.p90).toBeGreaterThan(m.p50);
      expect(m.temperatureC).toBeCloseTo(41 + i, 0);
    }
    expect(s.slopePctPerMinute).toBeCloseTo(2, 1);
    expect(s.referenceSlopePctPerMinute).toBeCloseTo(2, 1);
    expect(s.lastOverFirst).toBeCloseTo(1.18, 1);
    expect(d.open.size).toBe(0);
  });

  test("a steady device has no slope, and one bad minute makes none", async () => {
    const s = await run(new WarmDevice((t) => (t >= 3 && t < 4 ? 90 : 30)), 8);
    expect(s.minutes[3].p50).toBe(90);
    expect(s.slopePctPerMinute).toBe(0);
    expect(s.referenceSlopePctPerMinute).toBe(0);
  });

  test("asks in short jobs, paced where told so, and adds up missed frames", async () => {
    const d = new WarmDevice(() => 5);
    const s = await run(d, 1, { intervalMs: 40 });
    const own = d.jobs.filter((j) => j.models[0].id === 1);
    expect(own.length).toBeGreaterThanOrEqual(6);
    for (const j of own) {
      expect(j.intervalMs).toBe(40);
      expect(j.minTimeMs).toBeLessThanOrEqual(10_000);
    }
    expect(d.jobs.filter((j) => j.models[0].id === 2).every((j) => j.intervalMs === undefined)).toBe(true);
    expect(s).toMatchObject({ intervalMs: 40, missedFrames: own.length });
    expect(s.minutes[0].samples).toBeLessThan(1600);
  });

  test("lasts no longer than asked, and unloads when stopped", async () => {
    const d = new WarmDevice(() => 10);
    await run(d, 0.25);
    expect(d.time).toBeLessThan(15_000 + 500);
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(run(d, 1, { signal: controller.signal })).rejects.toThrow("enough");
    expect(d.open.size).toBe(0);
  });

  test("slopePct of two points is their slope", () => {
    expect(
      slopePct([
        { at: 0, ms: 10 },
        { at: 2, ms: 11 },
      ]),
    ).toBeCloseTo(5, 9);
    expect(slopePct([{ at: 0, ms: 10 }])).toBe(0);
  });
});

test("the reference kernel runs and is always the same", async () => {
  const { model, feeds } = referenceKernel();
  expect(referenceKernel().model).toEqual(model);
  const [out] = Object.values(await withSession(model, {}, (session) => session.run(feeds as never)));
  expect(out.dims).toEqual([1, 32, 28, 28]);
  expect((out.data as Float32Array).some((v) => v > 0)).toBe(true);
});

test.each([
  ["30fps", 1000 / 30],
  [" 12.5 FPS ", 80],
])("%s is a pace", (text, ms) => expect(parsePace(text)).toBeCloseTo(ms, 9));

test.each(["", "30", "0fps", "-1fps", "fps", "30 ms", "1e9fps"])("%j is none", (text) =>
  expect(() => parsePace(text)).toThrow(expect.objectContaining({ code: "pace", exit: 1 })),
);

test.each([
  ["30min", 30],
  ["90s", 1.5],
  ["0.5h", 30],
])("%s is a duration", (text, minutes) => expect(parseDuration(text)).toBeCloseTo(minutes, 9));

test.each(["", "30", "0min", "min", "5 days"])("%j is none", (text) =>
  expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: "duration" })),
);
