import { describe, expect, it } from "vitest";
import {
  constantSchedule,
  cosineSchedule,
  oneCycleSchedule,
  retrainingSchedule,
  rewoundSchedule,
  type Schedule,
  stepSchedule,
  withWarmup,
} from "../../toolkit/train/index.js";

const rates = (s: Schedule, total: number): number[] => Array.from({ length: total }, (_, step) => s(step, total));

describe("schedules", () => {
  it("one cycle is PyTorch's OneCycleLR", () => {
    // torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=20), PyTorch 2.
    const expected = [
      0.004, 0.013167184, 0.037167184, 0.066832816, 0.090832816, 0.1, 0.098746401, 0.095048463, 0.089091618,
      0.081174565, 0.0716943, 0.061126202, 0.0500002, 0.038874198, 0.0283061, 0.018825835, 0.010908782, 0.004951937,
      0.001253999, 4e-7,
    ];
    rates(oneCycleSchedule({ learningRate: 0.1 }), 20).forEach((rate, i) => {
      expect(rate).toBeCloseTo(expected[i], 8);
    });
  });

  it("a cosine climbs, turns, and ends where it is told to", () => {
    const r = rates(cosineSchedule({ learningRate: 1, warmup: 0.2, final: 0.1 }), 21);
    expect(r.slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
    expect(r[4]).toBe(1);
    expect(r[12]).toBeCloseTo(0.55, 12); // half way down
    expect(r[20]).toBeCloseTo(0.1, 12);
  });

  it("steps drop at shares of the run", () => {
    expect(rates(stepSchedule({ learningRate: 1, at: [0.5, 0.8], factor: 0.5 }), 10)).toEqual([
      1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25,
    ]);
  });

  it("retraining goes from the lowest to the highest rate of the original and back", () => {
    const r = rates(retrainingSchedule({ learningRate: 0.1, lowest: 0.001, warmup: 0.1 }), 101);
    expect(r[0]).toBeCloseTo(0.001, 12);
    expect(r[5]).toBeCloseTo(0.0505, 12);
    expect(r[10]).toBeCloseTo(0.1, 12);
    expect(r[55]).toBeCloseTo(0.0505, 12);
    expect(r[100]).toBeCloseTo(0.001, 12);
  });

  it("rewinding runs the end of the original again", () => {
    const original = stepSchedule({ learningRate: 1, at: [0.5, 0.75] });
    expect(rates(rewoundSchedule(original, 0.5), 10)).toEqual(rates(original, 20).slice(10));
  });

  it("a warm-up goes before any schedule", () => {
    const r = rates(withWarmup(constantSchedule(0.8), 0.4), 10);
    expect(r.map((v) => Math.round(v * 1e6) / 1e6)).toEqual([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]);
  });

  it.each([
    () => cosineSchedule({ learningRate: 1, warmup: 5 }),
    () => stepSchedule({ learningRate: 1, at: [30, 60] }),
    () => rewoundSchedule(constantSchedule(1), 0),
  ])("refuse what is no share of the run (%#)", (make) => {
    expect(make).toThrowError(expect.objectContaining({ code: "schedule-options" }));
  });
});
