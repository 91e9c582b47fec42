/** The regression gate: what counts as worse, and what an earlier result may be. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ModelFigures } from "../toolkit/report/index.js";
import { type Baseline, compare, readBaseline, verify } from "../toolkit/verify.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-verify-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const figures = (p50: number, top1?: number, images = 1000) =>
  ({
    latencyMs: { p50, p50Interval: [p50 * 0.99, p50 * 1.01] },
    accuracy: top1 === undefined ? null : { top1, images },
  }) as unknown as ModelFigures & { file: string; sha256: string; golden: never };
const ratio = (r: number) => ({ n: 100, ratio: r, interval: [r * 0.98, r * 1.02] as [number, number] });
const one = (p50: number, top1?: number, images?: number): Baseline => ({
  device: { id: "d" },
  models: [figures(p50, top1, images)],
  speedup: null,
  pacedMs: null,
});
const now = (p50: number, top1?: number, images?: number) => ({ models: [figures(p50, top1, images)], speedup: null });

describe("what counts as worse", () => {
  test.each([
    [1.05, true], // within the intervals and the tolerance
    [0.5, true],
    [1.2, false],
  ])("one model of 1 ms, now %s ms", (ms, ok) => {
    expect(compare(one(1), now(ms), { against: "x" })).toEqual([
      expect.objectContaining({ name: "latency p50", before: 1, now: ms, ok }),
    ]);
  });

  test("tolerance widens the limit", () => {
    expect(compare(one(1), now(1.2), { against: "x", tolerance: 0.3 })[0].ok).toBe(true);
  });

  test.each([
    [2, 10, true], // the machine is five times slower, the speed-up as it was
    [1.95, 1, true],
    [1.5, 0.1, false],
  ])("two models, speed-up 2, now %s on a machine at pace %s", (r, pace, ok) => {
    const before: Baseline = {
      device: { id: "d" },
      models: [figures(2), figures(1)],
      speedup: ratio(2),
      pacedMs: null,
    };
    const after = { models: [figures(2 * pace), figures((2 * pace) / r)], speedup: ratio(r) };
    expect(compare(before, after, { against: "x" })).toEqual([expect.objectContaining({ name: "speed-up", ok })]);
  });

  test.each([
    [0.9, true],
    [0.899, true], // exactly the 0.1 points that may go
    [0.898, false],
    [0.95, true],
  ])("accuracy 0.9, now %s", (top1, ok) => {
    expect(compare(one(1, 0.9), now(1, top1), { against: "x" })[1]).toMatchObject({ name: "accuracy, top-1", ok });
  });

  test("another number of images cannot be compared", () => {
    expect(() => compare(one(1, 0.9), now(1, 0.9, 500), { against: "x" })).toThrow(
      expect.objectContaining({ code: "baseline-images", exit: 1 }),
    );
  });
});

describe("an earlier result", () => {
  const write = (name: string, value: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
    return path;
  };

  test("of validate, and of fit", async () => {
    expect(await readBaseline(write("validate.json", one(1, 0.9)))).toEqual(one(1, 0.9));
    const fit = {
      device: { id: "d", cpu: "c" },
      original: figures(2),
      fitted: figures(1),
      speedup: ratio(2),
      layers: [],
      settings: { paced: "50fps" },
    };
    expect((await readBaseline(write("report.json", fit))).models.map((m) => m.latencyMs.p50)).toEqual([2, 1]);
    expect((await readBaseline(write("report.json", fit))).pacedMs).toBe(20);
  });

  test("of another pace is refused before anything is measured", async () => {
    const against = write("paced.json", { ...one(1), pacedMs: 1000 / 30 });
    const o = { models: ["missing.onnx"], against };
    await expect(verify(o)).rejects.toMatchObject({ code: "baseline-paced", hint: "give --paced 30fps" });
    await expect(verify({ ...o, paced: "15fps" })).rejects.toMatchObject({ code: "baseline-paced" });
  });

  test.each([
    ["no JSON", "{", "baseline-unreadable"],
    ["something else", { models: [] }, "baseline-invalid"],
    ["an error that validate printed", { error: { code: "x" } }, "baseline-invalid"],
  ])("%s is refused", async (_, value, code) => {
    await expect(readBaseline(write("bad.json", value))).rejects.toEqual(expect.objectContaining({ code, exit: 1 }));
  });

  test("a missing file is named", async () => {
    await expect(readBaseline(join(folder, "none.json"))).rejects.toEqual(
      expect.objectContaining({ code: "baseline-unreadable", where: expect.stringContaining("none.json") }),
    );
  });
});
