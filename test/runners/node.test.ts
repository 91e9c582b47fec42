import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalRunner } from "../../runners/node/index.js";
import { measureMemory, openLocalRunner } from "../../runners/node/index.js";
import { alive, castModel, convModel, denseModel, eventually, warnedModel, wire } from "./models.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);
const quick = { warmup: 2, minWarmupMs: 0, minSamples: 6, minTimeMs: 0 };
const deviceError = (code: string) => expect.objectContaining({ name: "DeviceError", code, exit: 1 });

describe("the local runner", () => {
  let runner: LocalRunner;
  beforeAll(async () => {
    runner = await openLocalRunner();
  });
  afterAll(() => runner.close());

  test("says what runs", async () => {
    const facts = await runner.describe();
    expect(facts.id).toBe(`local-${process.arch}-cpu-t1`);
    expect(facts.runtime).toMatchObject({
      package: "onnxruntime-node",
      provider: "CPUExecutionProvider",
      threads: 1,
      graphOptimizationLevel: "all",
    });
    expect(facts.runtime.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(facts.hardware.cores).toBeGreaterThan(0);
    expect(facts.clockMs).toBeGreaterThan(0);
  });

  test("loads a model, tells its inputs and outputs, and computes", async () => {
    const model = await runner.load(denseModel());
    expect(model.inputs).toEqual([{ name: "x", elemType: "float32", dims: [1, 2] }]);
    expect(model.outputs).toEqual([{ name: "y", elemType: "float32", dims: [1, 2] }]);
    const { y } = await runner.run(model.id, { x: wire([3, 4], [1, 2]) });
    expect(y).toEqual(wire([11, 9], [1, 2]));
    const negative = await runner.run(model.id, { x: wire([-1, 0], [1, 2]) });
    expect(negative.y.data).toEqual(Float32Array.of(0, 1));
    await runner.unload(model.id);
    await expect(runner.run(model.id, { x: wire([3, 4], [1, 2]) })).rejects.toEqual(deviceError("model-unknown"));
  });

  test("carries int64 and bool, and views into larger buffers", async () => {
    const model = await runner.load(castModel());
    const data = BigInt64Array.of(9n, 0n, 2n ** 53n + 1n, -5n, 9n).subarray(1, 4);
    const out = await runner.run(model.id, { x: { elemType: "int64", dims: [3], data } });
    expect(out.truth).toEqual({ elemType: "bool", dims: [3], data: Uint8Array.of(0, 1, 1) });
    expect(out.twice.data).toEqual(BigInt64Array.of(0n, 2n ** 54n + 2n, -10n));
    await runner.unload(model.id);
  });

  test("measures several models in one job, with the same number of samples each", async () => {
    const a = await runner.load(denseModel());
    const b = await runner.load(convModel());
    const job = [
      { id: b.id, feeds: { x: image } },
      { id: a.id, feeds: { x: wire([1, 2], [1, 2]) } },
    ];
    const rows = await runner.measure({ models: job, ...quick });
    expect(rows.map((r) => r.model)).toEqual([b.id, a.id]);
    for (const row of rows) {
      expect(row.samplesMs).toBeInstanceOf(Float64Array);
      expect(row.samplesMs.length).toBe(6);
      expect(row.samplesMs.every((ms) => ms > 0)).toBe(true);
      expect(row.warmups).toBeGreaterThanOrEqual(2);
      expect(row.firstRunMs).toBeGreaterThan(0);
      expect(row.stopped).toBe("enough");
      expect(row.peakMemoryBytes).toBeGreaterThan(1e6);
    }
    await runner.unload(a.id);
    await runner.unload(b.id);
  });

  test("the first run is that after loading, even when it was no measurement", async () => {
    const model = await runner.load(denseModel());
    const feeds = { x: wire([1, 2], [1, 2]) };
    await runner.run(model.id, feeds);
    const models = [{ id: model.id, feeds }];
    const [a] = await runner.measure({ models, ...quick });
    const [b] = await runner.measure({ models, ...quick });
    expect(b.firstRunMs).toBe(a.firstRunMs);
    await runner.unload(model.id);
  });

  test("profiles every node at every call, with dims and provider", async () => {
    const model = await runner.load(convModel(), { profiling: true, graphOptimizationLevel: "extended" });
    const profile = await runner.profile(model.id, { x: image }, 5, 3);
    expect(profile.callsUs.length).toBe(5);
    expect(profile.nodes.map((n) => n.opType)).toEqual(["FusedConv", "FusedConv"]);
    expect(profile.nodes.map((n) => n.name)).toEqual(["conv0", "conv1"]);
    expect(profile.nodes.map((n) => n.outputDims)).toEqual([[[1, 8, 16, 16]], [[1, 8, 16, 16]]]);
    expect(profile.nodes[1].inputDims.slice(0, 2)).toEqual([
      [1, 8, 16, 16],
      [8, 8, 3, 3],
    ]);
    for (const node of profile.nodes) {
      expect(node.provider).toBe("CPUExecutionProvider");
      expect(node.durationsUs.length).toBe(5);
    }
    for (let call = 0; call < 5; call++) {
      const inNodes = profile.nodes.reduce((sum, n) => sum + n.durationsUs[call], 0);
      expect(inNodes).toBeLessThanOrEqual(profile.callsUs[call]);
    }
    await expect(runner.profile(model.id, { x: image }, 5, 3)).rejects.toEqual(deviceError("model-unknown"));
  });

  test("stops a profile on abort and unloads its model", async () => {
    const model = await runner.load(convModel(), { profiling: true });
    const controller = new AbortController();
    const endless = runner.profile(model.id, { x: image }, 1e9, 0, controller.signal);
    setTimeout(() => controller.abort(), 100);
    await expect(endless).rejects.toEqual(expect.objectContaining({ name: "AbortError" }));
    await expect(runner.unload(model.id)).rejects.toEqual(deviceError("model-unknown"));
  });

  test("keeps fused and unfused graphs apart by level", async () => {
    const model = await runner.load(convModel(), { profiling: true, graphOptimizationLevel: "disabled" });
    const profile = await runner.profile(model.id, { x: image }, 1, 0);
    expect(profile.nodes.map((n) => n.opType)).toEqual(["Conv", "Relu", "Conv", "Relu"]);
  });

  test("refuses to profile a model that was loaded without", async () => {
    const model = await runner.load(denseModel());
    await expect(runner.profile(model.id, { x: wire([1, 2], [1, 2]) }, 1, 0)).rejects.toEqual(
      deviceError("not-profiled"),
    );
    await runner.unload(model.id);
  });

  test.each([
    ["random bytes", Uint8Array.of(1, 2, 3, 4, 5)],
    ["nothing", new Uint8Array()],
    ["a truncated model", denseModel().subarray(0, 60)],
  ])("refuses %s with the runtime's reason", async (_, bytes) => {
    const failure = runner.load(bytes);
    await expect(failure).rejects.toEqual(deviceError("model-load-failed"));
    await expect(failure).rejects.toThrow(/^the runtime refuses the model: [^\n]+$/);
  });

  test("names what is wrong with the inputs and goes on working", async () => {
    const model = await runner.load(denseModel());
    await expect(runner.run(model.id, {})).rejects.toThrow(/input 'x' is missing/);
    await expect(runner.run(model.id, { x: wire([1, 2, 3], [1, 3]) })).rejects.toEqual(deviceError("model-run-failed"));
    await expect(runner.run(model.id, { x: wire([1, 2, 3], [1, 2]) })).rejects.toThrow(/dims do not multiply/);
    const ints = { elemType: "int32", dims: [1, 2], data: Float32Array.of(1, 2) } as const;
    await expect(runner.run(model.id, { x: ints })).rejects.toThrow(/not stored as its element type/);
    expect((await runner.run(model.id, { x: wire([1, 1], [1, 2]) })).y.data).toEqual(Float32Array.of(3, 2));
    await runner.unload(model.id);
  });

  test("stops a measurement on abort and takes the next job", async () => {
    const model = await runner.load(denseModel());
    const models = [{ id: model.id, feeds: { x: wire([1, 2], [1, 2]) } }];
    const controller = new AbortController();
    const endless = runner.measure({ models, minTimeMs: 1e9, maxTimeMs: 1e9 }, controller.signal);
    const reason = new Error("stop");
    setTimeout(() => controller.abort(reason), 100);
    await expect(endless).rejects.toBe(reason);
    expect((await runner.measure({ models, ...quick }))[0].samplesMs.length).toBe(6);
    await expect(runner.measure({ models, ...quick }, AbortSignal.abort(reason))).rejects.toBe(reason);
    await runner.unload(model.id);
  });
});

describe("the life of the runner's process", () => {
  test("close ends it, and may be called again", async () => {
    const runner = await openLocalRunner();
    const pid = runner.pid as number;
    expect(alive(pid)).toBe(true);
    await Promise.all([runner.close(), runner.close()]);
    await runner.close();
    expect(alive(pid)).toBe(false);
    await expect(runner.load(denseModel())).rejects.toEqual(deviceError("runner-closed"));
  });

  test.skipIf(process.platform !== "linux").each([
    ["close", (r: LocalRunner) => r.close()],
    [
      "a crash",
      async (r: LocalRunner) => {
        process.kill(r.pid as number, "SIGKILL");
        await r.load(denseModel()).catch(() => {});
      },
    ],
  ])("its folder is gone after %s", async (_, finish) => {
    const runner = await openLocalRunner();
    const folder = readFileSync(`/proc/${runner.pid}/cmdline`, "utf8")
      .split("\0")
      .find((a) => a.includes("edgefit-runner-")) as string;
    expect(existsSync(folder)).toBe(true);
    await finish(runner);
    expect(await eventually(() => !existsSync(folder))).toBe(true);
    await runner.close();
  });

  test("close during a job rejects the job", async () => {
    const runner = await openLocalRunner();
    const model = await runner.load(denseModel());
    const job = runner.measure({
      models: [{ id: model.id, feeds: { x: wire([1, 2], [1, 2]) } }],
      minTimeMs: 1e9,
      maxTimeMs: 1e9,
    });
    const outcome = expect(job).rejects.toEqual(deviceError("runner-closed"));
    await runner.close();
    await outcome;
    expect(alive(runner.pid as number)).toBe(false);
  });

  test("its sudden death is an error, not a hang, and stays one", async () => {
    const runner = await openLocalRunner();
    const model = await runner.load(denseModel());
    const job = runner.measure({
      models: [{ id: model.id, feeds: { x: wire([1, 2], [1, 2]) } }],
      minTimeMs: 1e9,
      maxTimeMs: 1e9,
    });
    process.kill(runner.pid as number, "SIGKILL");
    await expect(job).rejects.toEqual(deviceError("runtime-crashed"));
    await expect(job).rejects.toThrow(/SIGKILL/);
    await expect(runner.load(denseModel())).rejects.toEqual(deviceError("runtime-crashed"));
    await runner.close();
  });

  test("an abort inside the runtime names the signal", async () => {
    const runner = await openLocalRunner();
    process.kill(runner.pid as number, "SIGABRT");
    await expect(runner.load(denseModel())).rejects.toThrow(/SIGABRT/);
    await runner.close();
  });

  test.each([
    ["SIGKILL", 1],
    ["SIGINT", -1],
  ] as const)("ends when its host ends by %s", async (signal, target) => {
    const script = `
      import { openLocalRunner } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "../../runners/node/index.ts")).href)};
      const runner = await openLocalRunner();
      console.log(runner.pid);
      setInterval(() => {}, 1000);`;
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    // A process group of its own, so that -pid stands for what Ctrl-C in a terminal reaches.
    const host = spawn(process.execPath, ["--import", tsx, "--input-type=module", "-e", script], {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: host.stdout });
    const pid = Number(await new Promise<string>((resolve) => lines.once("line", resolve)));
    expect(alive(pid)).toBe(true);
    process.kill(target * (host.pid as number), signal);
    expect(await eventually(() => !alive(pid))).toBe(true);
  });

  test("a forgotten runner does not keep its host alive", async () => {
    const script = `
      import { openLocalRunner } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "../../runners/node/index.ts")).href)};
      const runner = await openLocalRunner();
      console.log((await runner.describe()).id);`;
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const host = spawn(process.execPath, ["--import", tsx, "--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    host.stdout.on("data", (d) => {
      printed += d;
    });
    const code = await new Promise((resolve) => host.once("close", resolve));
    expect(code).toBe(0);
    expect(printed).toMatch(/^local-/);
  });
});

test("memory of a model is counted from a baseline without it", async () => {
  const use = await measureMemory(convModel(), { x: image });
  expect(use.baselineBytes).toBeGreaterThan(1e7);
  expect(use.modelBytes).toBe(use.peakBytes - use.baselineBytes);
  expect(use.modelBytes).toBeGreaterThan(0);
});

test("refuses a thread count that is none", async () => {
  await expect(openLocalRunner({ threads: 0 })).rejects.toEqual(deviceError("threads"));
  await expect(openLocalRunner({ threads: 1.5 })).rejects.toEqual(deviceError("threads"));
});

test("the runtime's warnings reach the log function, and nobody without one", async () => {
  const lines: string[] = [];
  for (const log of [(line: string) => lines.push(line), undefined]) {
    const runner = await openLocalRunner({ log });
    await runner.load(warnedModel());
    process.kill(runner.pid as number, "SIGABRT");
    const death = await runner.load(denseModel()).catch((e: Error) => e.message);
    // The last lines of the process are in the message: quoted when it wrote some, absent when it was silent.
    if (log) expect(death).toMatch(/its last words: .*appears in graph inputs/);
    else expect(death).not.toMatch(/last words/);
    await runner.close();
  }
  expect(lines.some((l) => /appears in graph inputs/.test(l))).toBe(true);
});
