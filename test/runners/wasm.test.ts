/** The WebAssembly build of the runtime in Node: same results as the native one, its own facts, per-node times. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalRunner, openLocalRunner } from "../../runners/node/index.js";
import { resolveDevice } from "../../runners/resolve.js";
import { convModel, denseModel, wire } from "./models.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);
let runner: LocalRunner;
beforeAll(async () => {
  runner = await openLocalRunner({ engine: "wasm" });
});
afterAll(() => runner.close());

test("says that WebAssembly runs, with its own version", async () => {
  const facts = await runner.describe();
  expect(facts).toMatchObject({ kind: "node-wasm", id: `local-${process.arch}-wasm-t1`, emulated: false });
  expect(facts.runtime).toMatchObject({ package: "onnxruntime-web", threads: 1 });
  expect(facts.runtime.version).toMatch(/^\d+\.\d+\.\d+/);
});

test("computes what the native runtime computes", async () => {
  const native = await openLocalRunner();
  try {
    const [a, b] = await Promise.all(
      [runner, native].map(async (r) => r.run((await r.load(convModel())).id, { x: image })),
    );
    expect(Object.keys(a)).toEqual(Object.keys(b));
    for (const [name, t] of Object.entries(a)) {
      expect(t.dims).toEqual(b[name].dims);
      for (const [i, v] of (t.data as Float32Array).entries()) expect(v).toBeCloseTo(Number(b[name].data[i]), 5);
    }
  } finally {
    await native.close();
  }
});

test("times models in turns and gives per-node times, one profile after another", async () => {
  const a = await runner.load(convModel());
  const b = await runner.load(denseModel());
  const rows = await runner.measure({
    models: [
      { id: a.id, feeds: { x: image } },
      { id: b.id, feeds: { x: wire([1, 2], [1, 2]) } },
    ],
    warmup: 2,
    minWarmupMs: 0,
    minSamples: 6,
    minTimeMs: 0,
  });
  expect(rows.map((r) => r.samplesMs.length)).toEqual([6, 6]);
  expect(rows.every((r) => r.samplesMs.every((ms) => ms > 0))).toBe(true);
  for (const calls of [3, 5]) {
    const { id } = await runner.load(convModel(), { profiling: true });
    const profile = await runner.profile(id, { x: image }, calls, 1);
    expect(profile.callsUs).toHaveLength(calls);
    expect(profile.nodes.map((n) => n.opType).join()).toMatch(/Conv/);
    for (const n of profile.nodes) expect(n.durationsUs).toHaveLength(calls);
  }
});

test("a profiled session that is thrown away leaves nothing in the next one's profile", async () => {
  const first = await runner.load(denseModel(), { profiling: true });
  await runner.run(first.id, { x: wire([1, 2], [1, 2]) });
  await runner.unload(first.id);
  const { id } = await runner.load(convModel(), { profiling: true });
  expect((await runner.profile(id, { x: image }, 2, 0)).callsUs).toHaveLength(2);
});

test("long work stops when asked, although WebAssembly computes inside the call", async () => {
  const { id } = await runner.load(convModel());
  const controller = new AbortController();
  const job = runner.measure({ models: [{ id, feeds: { x: image } }], minTimeMs: 30_000 }, controller.signal);
  setTimeout(() => controller.abort(new Error("enough")), 200);
  await expect(job).rejects.toThrow("enough");
});

test("a thread count other than that of its pool is refused", async () => {
  await expect(runner.load(denseModel(), { threads: 2 })).rejects.toEqual(expect.objectContaining({ code: "threads" }));
});

test("a model that the runtime refuses is an error, and the runner lives on", async () => {
  await expect(runner.load(Uint8Array.of(1, 2, 3))).rejects.toEqual(
    expect.objectContaining({ name: "DeviceError", code: "model-load-failed" }),
  );
  const { id } = await runner.load(denseModel());
  expect((await runner.run(id, { x: wire([3, 4], [1, 2]) })).y).toEqual(wire([11, 9], [1, 2]));
});

test("wasm and wasm:threads=2 open it by name", async () => {
  for (const [name, threads] of [
    ["wasm", 1],
    ["wasm:threads=2", 2],
  ] as const) {
    const device = await resolveDevice(name);
    const facts = await device.describe();
    const { id } = await device.load(denseModel());
    expect((await device.run(id, { x: wire([3, 4], [1, 2]) })).y).toEqual(wire([11, 9], [1, 2]));
    await device.close();
    expect([facts.kind, facts.runtime.threads]).toEqual(["node-wasm", threads]);
  }
});
