import { describe, expect, test } from "vitest";
import { clockStep, sample } from "../../runners/sampler.js";

/** A clock that only work moves, in steps of `step`, and tasks that take `ms` and note their call. */
function fakeDevice(step = 0) {
  let time = 0;
  const calls: string[] = [];
  const now = () => (step > 0 ? Math.floor(time / step + 1e-9) * step : time);
  const task = (name: string, ms: number | ((call: number) => number)) => {
    let count = 0;
    return () => {
      calls.push(name);
      time += typeof ms === "number" ? ms : ms(count);
      count++;
    };
  };
  return { now, calls, task, elapsed: () => time };
}

describe("sample", () => {
  test("takes the minimum number of samples when they last longer than the minimum time", async () => {
    const d = fakeDevice();
    const [s] = await sample([d.task("a", 100)], {
      now: d.now,
      clockMs: 0.001,
      warmup: 3,
      minWarmupMs: 0,
      minSamples: 7,
      minTimeMs: 10,
    });
    expect(s.samplesMs).toEqual(Float64Array.from({ length: 7 }, () => 100));
    expect(s.warmups).toBe(3);
    expect(d.calls.length).toBe(10);
    expect(s.stopped).toBe("enough");
  });

  test("goes on until the minimum time when the samples are short", async () => {
    const d = fakeDevice();
    const [s] = await sample([d.task("a", 2)], { now: d.now, clockMs: 0.001 });
    expect(s.warmups).toBe(100); // 0.2 s of 2 ms
    expect(s.samplesMs.length).toBe(500); // 1 s of 2 ms
  });

  test("defaults to 10 warm-ups and 50 samples for a slow model", async () => {
    const d = fakeDevice();
    const [s] = await sample([d.task("a", 250)], { now: d.now, clockMs: 0.001 });
    expect(s.warmups).toBe(10);
    expect(s.samplesMs.length).toBe(50);
  });

  test("reports the first run apart and keeps warm-ups out of the samples", async () => {
    const d = fakeDevice();
    const slowStart = d.task("a", (call) => (call === 0 ? 500 : call < 10 ? 50 : 20));
    const [s] = await sample([slowStart], { now: d.now, clockMs: 0.001 });
    expect(s.firstRunMs).toBe(500);
    expect(new Set(s.samplesMs)).toEqual(new Set([20]));
  });

  test("stops at the cap, after at least one round, and says so", async () => {
    const d = fakeDevice();
    const both = await sample([d.task("a", 900), d.task("b", 900)], { now: d.now, clockMs: 0.001, maxTimeMs: 1000 });
    expect(both.map((s) => s.samplesMs.length)).toEqual([1, 1]);
    expect(both.map((s) => s.stopped)).toEqual(["cap", "cap"]);
    expect(both.every((s) => s.warmups >= 1)).toBe(true);
  });

  test("interleaves several tasks: every round holds each once, the orders vary, one untimed call before each", async () => {
    const d = fakeDevice();
    const tasks = ["a", "b", "c"].map((name) => d.task(name, 10));
    const options = { now: d.now, clockMs: 0.001, warmup: 1, minWarmupMs: 0, minSamples: 40, minTimeMs: 0 };
    const results = await sample(tasks, { ...options, seed: 7 });
    expect(results.map((s) => s.samplesMs.length)).toEqual([40, 40, 40]);
    const measured = d.calls.slice(3);
    expect(measured.length).toBe(40 * 6);
    const orders = new Set<string>();
    for (let i = 0; i < measured.length; i += 6) {
      const round = measured.slice(i, i + 6);
      const pairs = [round.slice(0, 2), round.slice(2, 4), round.slice(4)];
      for (const [before, counted] of pairs) expect(before).toBe(counted);
      expect([...new Set(round)].sort()).toEqual(["a", "b", "c"]);
      orders.add(pairs.map((p) => p[0]).join(""));
    }
    expect(orders.size).toBe(6);

    const again = fakeDevice();
    await sample(
      ["a", "b", "c"].map((name) => again.task(name, 10)),
      { ...options, now: again.now, seed: 7 },
    );
    expect(again.calls).toEqual(d.calls);
    const other = fakeDevice();
    await sample(
      ["a", "b", "c"].map((name) => other.task(name, 10)),
      { ...options, now: other.now, seed: 8 },
    );
    expect(other.calls).not.toEqual(d.calls);
  });

  test("does not count the untimed calls before samples", async () => {
    const d = fakeDevice();
    // Every second call after the warm-up is the timed one.
    const task = d.task("a", (call) => (call === 0 ? 5 : call % 2 === 1 ? 1000 : 7));
    const [s] = await sample([task], {
      now: d.now,
      clockMs: 0.001,
      warmup: 1,
      minWarmupMs: 0,
      minSamples: 5,
      minTimeMs: 0,
      callsBeforeSample: 1,
    });
    expect(new Set(s.samplesMs)).toEqual(new Set([7]));
  });

  test("batches calls that are short against the clock's step, and divides by their number", async () => {
    const d = fakeDevice(0.1);
    const [s] = await sample([d.task("a", 0.3)], { now: d.now, clockMs: 0.1 });
    expect(s.callsPerSample * 0.3).toBeGreaterThanOrEqual(50 * 0.1 - 0.1);
    expect(s.callsPerSample).toBe(32); // 16 calls are 4.8 ms, below 50 steps of 0.1 ms
    for (const ms of s.samplesMs) expect(Math.abs(ms - 0.3)).toBeLessThanOrEqual(0.1 / s.callsPerSample + 1e-9);
  });

  test("times single calls when the clock is fine enough", async () => {
    const d = fakeDevice(0.1);
    const [s] = await sample([d.task("a", 5.05)], { now: d.now, clockMs: 0.1 });
    expect(s.callsPerSample).toBe(1);
  });

  test("records drift between the first and the last third", async () => {
    const d = fakeDevice();
    const [s] = await sample([d.task("a", (call) => (call < 40 ? 20 : 30))], {
      now: d.now,
      clockMs: 0.001,
      warmup: 10,
      minWarmupMs: 0,
      minSamples: 60,
      minTimeMs: 0,
    });
    expect(s.drift).toBeCloseTo(0.5, 12);
  });

  test("records a saturated clock instead of hiding it", async () => {
    const d = fakeDevice(10);
    // The claimed step is wrong, so nothing is batched, and every sample reads 0 or 10.
    const [s] = await sample([d.task("a", 1)], { now: d.now, clockMs: 0, minSamples: 100 });
    expect(s.saturation).toBe("zero-dominated");
    const varied = fakeDevice();
    const [ok] = await sample([varied.task("a", (call) => 5 + Math.sin(call))], { now: varied.now, clockMs: 0.001 });
    expect(ok.saturation).toBeNull();
  });

  test("an abort ends the job between two calls with the signal's reason", async () => {
    const d = fakeDevice();
    const controller = new AbortController();
    const reason = new Error("enough");
    const task = d.task("a", (call) => {
      if (call === 30) controller.abort(reason);
      return 10;
    });
    await expect(sample([task], { now: d.now, clockMs: 0.001, signal: controller.signal })).rejects.toBe(reason);
    expect(d.calls.length).toBe(31);
  });

  test("an error of a task ends the job", async () => {
    const d = fakeDevice();
    const broken = () => Promise.reject(new Error("no"));
    await expect(sample([broken], { now: d.now, clockMs: 0.001 })).rejects.toThrow("no");
  });
});

describe("clockStep", () => {
  test("finds the step of a coarse clock", () => {
    let reads = 0;
    expect(clockStep(() => Math.floor(reads++ / 70) * 0.1)).toBeCloseTo(0.1, 9);
  });

  test("refuses a clock that stands still", () => {
    expect(() => clockStep(() => 5)).toThrow(expect.objectContaining({ code: "clock-stopped" }));
  });
});

describe("sample, paced", () => {
  /** Work and rest both move the clock. */
  function camera(workMs: number | ((call: number) => number)) {
    let time = 0;
    let count = 0;
    const starts: number[] = [];
    const call = () => {
      starts.push(time);
      time += typeof workMs === "number" ? workMs : workMs(count++);
    };
    const sleep = async (ms: number) => void (time += ms);
    return { call, starts, now: () => time, sleep };
  }
  const settings = { clockMs: 0.001, warmup: 1, minWarmupMs: 0, minTimeMs: 0, intervalMs: 40 };

  test("starts one call per frame and rests in between", async () => {
    const c = camera(7);
    const [s] = await sample([c.call], { ...settings, ...c, minSamples: 10 });
    expect(s.missedFrames).toBe(0);
    expect([...s.samplesMs]).toEqual(Array(10).fill(7));
    const timed = c.starts.slice(-10);
    for (let i = 1; i < timed.length; i++) expect(timed[i] - timed[i - 1]).toBe(40);
  });

  test("skips and counts frames that begin while a call still runs", async () => {
    // Every second call takes 50 ms of a frame of 40: the frame after it is gone.
    const c = camera((call) => (call % 2 ? 50 : 5));
    const [s] = await sample([c.call], { ...settings, ...c, minSamples: 9 });
    expect(s.missedFrames).toBeGreaterThanOrEqual(4);
    expect(s.missedFrames).toBeLessThanOrEqual(5);
    const timed = c.starts.slice(1);
    for (const start of timed) expect((start - timed[0]) % 40).toBe(0);
  });

  test("gives models turns, one frame each, with no calls in between, and never batches", async () => {
    const c = camera(2);
    const two = await sample([c.call, c.call], { ...settings, ...c, clockMs: 5, minSamples: 6 });
    expect(c.starts).toHaveLength(2 + 12);
    expect(two.map((s) => s.callsPerSample)).toEqual([1, 1]);
  });

  test("stops while it rests", async () => {
    const c = camera(1);
    const controller = new AbortController();
    const sleep = async (ms: number) => {
      await c.sleep(ms);
      if (c.starts.length > 3) controller.abort(new Error("enough"));
    };
    const job = sample([c.call], { ...settings, ...c, sleep, minSamples: 100, signal: controller.signal });
    await expect(job).rejects.toThrow("enough");
    expect(c.starts.length).toBeLessThan(7);
  });

  test("says nothing of frames otherwise", async () => {
    const c = camera(30);
    const [s] = await sample([c.call], { ...settings, ...c, intervalMs: undefined, minSamples: 3 });
    expect(s).not.toHaveProperty("missedFrames");
  });
});
