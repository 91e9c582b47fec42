import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "simple-statistics";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { lookup, randomWidths } from "../../toolkit/latency/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { profileModel, settleProfile } from "../../toolkit/profile.js";
import { randomNets, subNetOf } from "../../toolkit/profileDesign.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import {
  convUs,
  FakeDevice,
  fakeVariant,
  residualNet,
  TRUE_PER_CALL_US,
  TRUE_PER_LAUNCH_US,
  TRUE_SCALE,
} from "./fakeDevice.js";

const graph = residualNet();
let cacheDir: string;
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), "edgefit-latency-"));
});
afterEach(() => rmSync(cacheDir, { recursive: true }));

const base = () => ({ graph, seed: 5, cacheDir, toVariant: fakeVariant, samples: 30 });

/** Relative errors of predictions for fresh random sub-nets against what the device truly takes. */
async function errorsOn(
  device: FakeDevice,
  profile: Awaited<ReturnType<typeof profileModel>>,
  precision: "fp32" | "int8" = "fp32",
) {
  const errors = [];
  for (const widths of randomWidths(profile.groups.prunable, profile.grids, 25, 99)) {
    const keep = new Map([...widths].map(([id, w]) => [id, Int32Array.from({ length: w }, (_, i) => i)]));
    const { id } = await device.load(fakeVariant(sliceGraph(graph, profile.groups, keep), precision));
    errors.push(Math.abs(profile.model.msAt(widths, precision).ms / device.trueMs(id) - 1));
    await device.unload(id);
  }
  return errors;
}

describe("profileModel", () => {
  it("recovers an additive device: rows, correction, unseen sub-nets", async () => {
    const device = new FakeDevice();
    const profile = await profileModel({ ...base(), samples: 60, runner: device });
    const errors = await errorsOn(device, profile);
    expect(median(errors)).toBeLessThan(0.005);
    expect(Math.max(...errors)).toBeLessThan(0.02);
    expect(profile.table.quality.fp32?.medianErrorPct).toBeLessThan(1);
    expect(profile.table.quality.fp32?.spearman).toBeGreaterThan(0.95);
    const correction = profile.table.corrections.fp32!;
    expect(correction.scale).toBeCloseTo(TRUE_SCALE, 1);

    const stem = profile.model.kernels.find((k) => k.id === "stem")!;
    const row = lookup(profile.table, stem.key, [32], "fp32")!;
    expect(row.us).toBeCloseTo(convUs(3, 32, 256), 3);
    expect(row.spread).toBeLessThan(1e-6);
    expect(device.open).toBe(0);
  });

  it("says which kernels it had to interpolate", async () => {
    const device = new FakeDevice();
    const profile = await profileModel({ ...base(), samples: 12, runner: device });
    const full = new Map(profile.groups.groups.map((g) => [g.id, g.width]));
    expect(profile.model.msAt(full).interpolated).toBe(0);
    const odd = new Map(full).set("b0.conv1", 37);
    expect(profile.model.msAt(odd).interpolated).toBe(2);
    // 37 channels lie in the block of 48, the full width.
    expect(profile.model.msAt(odd).ms).toBeCloseTo(profile.model.msAt(full).ms, 3);
  });

  it("offers the right edges of plateaus, and only those, as candidates", async () => {
    const { candidateWidths } = await profileModel({ ...base(), samples: 60, runner: new FakeDevice() });
    expect(candidateWidths.get("b1.conv1")!.filter((w) => w >= 16)).toEqual([16, 32, 48, 64]);
    expect(candidateWidths.get("b0.conv1")!.filter((w) => w >= 16)).toEqual([16, 32, 48]);
  });

  it("does not mistake a machine that slows down for nets that are slow", async () => {
    // 30 % slower from the middle on, and a ramp inside one job, which is measured again.
    const device = new FakeDevice({
      slowness: (call) => (call < 2000 ? 1 : call < 2200 ? 1 + (call - 2000) * 0.0015 : 1.3),
    });
    const profile = await profileModel({ ...base(), samples: 60, runner: device });
    const quality = profile.table.quality.fp32!;
    expect(quality.discarded).toBeGreaterThan(0);
    expect(quality.drifting).toBe(0);
    expect(quality.medianErrorPct).toBeLessThan(1);
    const errors = await errorsOn(device, profile);
    // The device is 30 % slower now than when most nets were measured; relative to each other they are right.
    const level = median(errors);
    expect(median(errors.map((e) => Math.abs(e - level)))).toBeLessThan(0.01);
  });

  it("keeps and counts what drifts every time", async () => {
    let seconds = 0;
    const device = new FakeDevice({ slowness: () => 1 + 0.001 * (seconds += 0.5) });
    const profile = await profileModel({ ...base(), samples: 12, runner: device });
    expect(profile.table.quality.fp32!.drifting).toBeGreaterThan(0);
  });

  it("measures two precisions and mixes them per kernel", async () => {
    const device = new FakeDevice();
    const profile = await profileModel({ ...base(), precisions: ["fp32", "int8"], runner: device });
    expect(profile.model.precisions).toEqual(["fp32", "int8"]);
    expect(median(await errorsOn(device, profile, "int8"))).toBeLessThan(0.01);
    const full = new Map(profile.groups.groups.map((g) => [g.id, g.width]));
    const [slow, fast] = [profile.model.msAt(full, "fp32").ms, profile.model.msAt(full, "int8").ms];
    const mixed = profile.model.msAt(full, (k) => (k.id === "b0.conv1" ? "int8" : "fp32")).ms;
    expect(fast).toBeLessThan(mixed);
    expect(mixed).toBeLessThan(slow);
    const device2 = new FakeDevice();
    const { id } = await device2.load(fakeVariant(graph, "int8"));
    expect(profile.table.reference.int8).toBeCloseTo(device2.trueMs(id), 4);
  });

  it("adds up: layers and costs give the whole", async () => {
    const { model, groups } = await profileModel({ ...base(), runner: new FakeDevice() });
    const widths = new Map(groups.groups.map((g) => [g.id, g.width >> 1]));
    const { ms, low, high } = model.msAt(widths);
    const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
    expect(sum(model.layerMs(widths).values())).toBeCloseTo(ms, 9);
    expect(sum(model.costs().map((k) => k.ms(widths))) + model.fixedMs()).toBeCloseTo(ms, 9);
    expect(
      model
        .costs()
        .find((k) => k.id === "b0.conv2")!
        .groups.toSorted(),
    ).toEqual(["b0.conv1", "stem"]);
    expect(low).toBeLessThanOrEqual(ms);
    expect(high).toBeGreaterThanOrEqual(ms);
    expect([TRUE_PER_CALL_US, TRUE_PER_LAUNCH_US]).not.toContain(0);
  });

  it("costs nothing the second time, and measures only what is new", async () => {
    const first = await profileModel({ ...base(), runner: new FakeDevice() });
    expect(first.cached).toBe(false);
    const idle = new FakeDevice();
    const second = await profileModel({ ...base(), seed: 77, runner: idle });
    expect(second.cached).toBe(true);
    expect(idle.loads).toBe(0);
    expect(second.table).toEqual(first.table);
    const third = new FakeDevice();
    const both = await profileModel({ ...base(), precisions: ["fp32", "int8"], runner: third });
    expect(both.cached).toBe(false);
    expect(third.profiles).toBe(both.table.nets.filter((n) => n.precision === "int8").length);
    expect(both.table.nets.length - third.profiles).toBe(first.table.nets.length);
    expect((await profileModel({ ...base(), refresh: true, runner: new FakeDevice() })).cached).toBe(false);
  });

  it("measures again what was measured on a busy machine, says so, and keeps the better table", async () => {
    const folder = join(cacheDir, "busy");
    const warnings: string[] = [];
    // Every call at a pace of its own, between one and four times as slow.
    const busy = () => new FakeDevice({ slowness: (call) => 1 + 3 * Math.abs(Math.sin(call * call)) });
    const options = { ...base(), samples: 18, cacheDir: folder, onWarning: (w: string) => void warnings.push(w) };
    const rough = await profileModel({ ...options, runner: busy() });
    expect(rough.table.quality.fp32!.p90ErrorPct).toBeGreaterThan(10);
    expect(warnings).toEqual([expect.stringContaining("rough")]);
    const still = await profileModel({ ...options, runner: busy(), seed: 5 });
    expect(still.cached).toBe(false);
    const kept = await profileModel({ ...options, runner: busy(), seed: 6 });
    expect(kept.table.quality.fp32!.p90ErrorPct).toBeLessThanOrEqual(rough.table.quality.fp32!.p90ErrorPct);
    warnings.length = 0;
    const calm = await profileModel({ ...options, runner: new FakeDevice() });
    expect(calm.cached).toBe(false);
    expect(warnings).toEqual([expect.stringContaining("measured again")]);
    expect((await profileModel({ ...options, runner: new FakeDevice() })).cached).toBe(true);
  });

  it("stops once nets near the chosen ones tell nothing new, and goes on where they do", async () => {
    const samples = 48;
    const plain = new FakeDevice();
    const profile = await profileModel({ ...base(), samples, runner: plain });
    // A coarse half, and one round that the table foresaw.
    expect(plain.profiles).toBe(24 + 6);
    expect(profile.table.nets).toHaveLength(30);
    // A device whose sessions differ by more than a prediction may never settles.
    const moody = new FakeDevice({ slowness: (call) => 1 + 0.5 * Math.abs(Math.sin(call >> 9)) });
    await profileModel({ ...base(), cacheDir: join(cacheDir, "moody"), samples: 24, runner: moody });
    expect(moody.profiles).toBe(24);
  });

  it("predicts nets that lack branches, whose launches and layers are fewer", async () => {
    const device = new FakeDevice();
    const profile = await profileModel({ ...base(), samples: 48, runner: device });
    expect(profile.branches).toHaveLength(2);
    expect(profile.table.nets.some((n) => n.gone.length > 0)).toBe(true);
    const { shallow } = randomNets(profile, 20, 4);
    for (const design of shallow) {
      const { id } = await device.load(fakeVariant(subNetOf(graph, profile.groups, profile.branches, design), "fp32"));
      const gone = new Set(profile.branches.filter((b) => design.gone.has(b.sum)).flatMap((b) => [...b.nodes]));
      expect(profile.model.msAt(design.widths, "fp32", gone).ms / device.trueMs(id)).toBeCloseTo(1, 1);
      await device.unload(id);
    }
  });

  it("refines near widths that are chosen, keeps what it learned, and asks nothing twice", async () => {
    const options = { ...base(), samples: 12, runner: new FakeDevice() };
    const before = await profileModel(options);
    const chosen = new Map(before.groups.prunable.map((g) => [g.id, 24]));
    const after = await settleProfile(options, before, "fp32", () => chosen);
    expect(after.table.nets.length).toBeGreaterThan(before.table.nets.length);
    expect(after.table.nets.length).toBeLessThanOrEqual(before.table.nets.length + 18);
    const keep = new Map([...chosen].map(([id, w]) => [id, Int32Array.from({ length: w }, (_, i) => i)]));
    const { id } = await options.runner.load(fakeVariant(sliceGraph(graph, after.groups, keep), "fp32"));
    expect(after.model.msAt(chosen, "fp32").interpolated).toBe(0);
    expect(Math.abs(after.model.msAt(chosen, "fp32").ms / options.runner.trueMs(id) - 1)).toBeLessThan(0.01);
    const idle = new FakeDevice();
    const cached = await profileModel({ ...options, runner: idle });
    expect(cached.table.nets).toEqual(after.table.nets);
    await settleProfile({ ...options, runner: idle }, cached, "fp32", () => chosen);
    expect(idle.profiles).toBe(0);
  });

  it("measures anew for another runtime version", async () => {
    await profileModel({ ...base(), runner: new FakeDevice() });
    expect((await profileModel({ ...base(), runner: new FakeDevice({ version: "1.1" }) })).cached).toBe(false);
  });

  it("goes on where an interrupted profile stopped", async () => {
    const whole = await profileModel({ ...base(), cacheDir: join(cacheDir, "whole"), runner: new FakeDevice() });
    const broken = new FakeDevice({ failAtProfile: 14 });
    await expect(profileModel({ ...base(), runner: broken })).rejects.toThrow("the cable came off");
    expect(readdirSync(cacheDir).filter((f) => f.endsWith(".partial.json"))).toHaveLength(1);
    const device = new FakeDevice();
    const resumed = await profileModel({ ...base(), runner: device });
    expect(device.profiles).toBe(whole.table.nets.length - 12);
    expect(resumed.table.rows.map((r) => [r.key, r.widths])).toEqual(whole.table.rows.map((r) => [r.key, r.widths]));
    resumed.table.rows.forEach((r, i) => {
      expect(r.us).toBeCloseTo(whole.table.rows[i].us, 9);
    });
    expect(readdirSync(cacheDir).some((f) => f.endsWith(".partial.json") || f.endsWith(".tmp"))).toBe(false);
  });

  it("stops when asked and leaves nothing loaded", async () => {
    const controller = new AbortController();
    const device = new FakeDevice();
    const onProgress = (e: { done: number }) => e.done >= 6 && controller.abort(new Error("enough"));
    await expect(profileModel({ ...base(), runner: device, signal: controller.signal, onProgress })).rejects.toThrow(
      "enough",
    );
    expect(device.open).toBe(0);
  });

  it("serves a model of which nothing can be pruned", async () => {
    const g = new GraphBuilder(emptyGraph("fixed"));
    g.output(g.emit("Softmax", [g.emit("GlobalAveragePool", [g.input("x", [1, 8, 4, 4])])]));
    const device = new FakeDevice();
    const profile = await profileModel({ ...base(), graph: inferShapes(tidy(g.graph)), runner: device });
    expect(device.profiles).toBeLessThan(10);
    expect(profile.candidateWidths.size).toBe(0);
    expect(profile.model.msAt(new Map()).ms).toBeCloseTo(profile.table.reference.fp32!, 6);
    expect(profile.table.quality.fp32).toMatchObject({ spearman: null });
  });

  it("refuses emulated devices and tables that were tampered with", async () => {
    await expect(profileModel({ ...base(), runner: new FakeDevice({ emulated: true }) })).rejects.toMatchObject({
      code: "emulated-device",
    });
    await profileModel({ ...base(), runner: new FakeDevice() });
    const [file] = readdirSync(cacheDir);
    writeFileSync(join(cacheDir, file), readFileSync(join(cacheDir, file), "utf8").replace('"us":', '"us":-'));
    await expect(profileModel({ ...base(), runner: new FakeDevice() })).rejects.toMatchObject({
      code: "table-malformed",
    });
  });
});
