/** Providers other than the processor: absent ones are named, nodes that fall back are named, GPU times are those of kernels. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Engine } from "../../runners/engine.js";
import { DeviceError } from "../../runners/errors.js";
import { openLocalRunner } from "../../runners/node/index.js";
import { loadEngine } from "../../runners/node/loadEngine.js";
import { drawnInSoftware, providerFailure, requireProvider } from "../../runners/node/providers.js";
import { assertProvider } from "../../runners/placement.js";
import { placedNodes, readTrace } from "../../runners/profileTrace.js";
import { resolveDevice } from "../../runners/resolve.js";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { needsPackages } from "../support/debian.js";
import { convModel, wire } from "./models.js";

const WEBGPU = "WebGpuExecutionProvider";
const CPU = "CPUExecutionProvider";
const deviceError = (code: string) => expect.objectContaining({ name: "DeviceError", code });

describe("a provider that is not there", () => {
  test("is named with what the build has and what it needs", () => {
    const lack = () => requireProvider("coreml", ["cpu", "webgpu"], "onnxruntime-node 1.0.0, linux x64");
    expect(lack).toThrow("this build of ONNX Runtime has no provider coreml");
    expect(lack).toThrow(expect.objectContaining({ hint: "Core ML needs macOS; this build has cpu, webgpu" }));
    expect(() => requireProvider("webgpu", ["cpu", "webgpu"], "")).not.toThrow();
  });

  test.each([
    ["Failed to load shared library", "the libraries of provider cuda are not installed"],
    ["no adapter was found", "provider cuda finds no graphics adapter"],
    ["something\n  else", "provider cuda cannot be started: something else"],
  ])("fails with %j in one sentence", (reason, sentence) => {
    expect(providerFailure("cuda", new Error(reason)).message).toBe(sentence);
  });

  test.skipIf(process.platform !== "linux")("ends the local runner before anything is loaded on it", async () => {
    const failure = openLocalRunner({ provider: "coreml" });
    await expect(failure).rejects.toEqual(deviceError("provider-missing"));
    await expect(failure).rejects.toThrow(/no provider coreml/);
  });

  test.each(["local:provider=xnnpack", "wasm:provider=webgpu", "local:provider="])("%s is no setting", async (name) => {
    await expect(resolveDevice(name)).rejects.toEqual(deviceError("device-setting"));
  });
});

describe("where nodes ran", () => {
  const node = (name: string, provider: string) => ({ name, opType: "Conv", provider });

  test("is fine when it is the provider", () => {
    expect(assertProvider([node("a", WEBGPU), node("b", WEBGPU)], { provider: WEBGPU })).toEqual([]);
  });

  test("names those that fell back, unless that is allowed", () => {
    const nodes = [node("a", WEBGPU), node("b", CPU)];
    expect(() => assertProvider(nodes, { provider: WEBGPU })).toThrow(
      `1 of 2 nodes did not run on ${WEBGPU}: "b" (Conv) on ${CPU}`,
    );
    expect(assertProvider(nodes, { provider: WEBGPU, allowFallback: true })).toEqual([nodes[1]]);
  });

  test("is no fallback when it is nowhere on the provider", () => {
    expect(() => assertProvider([node("a", CPU)], { provider: WEBGPU, allowFallback: true })).toThrow(
      expect.objectContaining({ code: "provider-unused" }),
    );
  });

  test("is told in a handful of names", () => {
    const many = Array.from({ length: 9 }, (_, i) => node(`n${i}`, CPU));
    expect(() => assertProvider([node("a", WEBGPU), ...many], { provider: WEBGPU })).toThrow(/"n4".* and 4 more$/);
  });
});

describe("a recorded profile of WebGPU", () => {
  const text = readFileSync(join(import.meta.dirname, "traces/webgpu.json"), "utf8");
  type Event = { cat: string; name: string; ts: number; dur: number };
  const events: Event[] = JSON.parse(text);
  const kernels = events.filter((e) => e.cat === "Api").sort((a, b) => a.ts - b.ts);

  test("gives the times of kernels, call by call, and not those of handing over", () => {
    const { nodes } = readTrace(text, 3, 1);
    expect(nodes.map((n) => [n.opType, n.provider])).toEqual(
      ["Transpose", "Conv", "Conv", "Transpose"].map((op) => [op, WEBGPU]),
    );
    // Each call starts the same four kernels, one for each node.
    for (const [i, n] of nodes.entries())
      expect(Array.from(n.durationsUs)).toEqual([1, 2, 3].map((call) => kernels[4 * call + i].dur));
    const handedOver = placedNodes(text, 3, 1).nodes.map((n) => n.durationsUs[1]);
    expect(handedOver.every((us, i) => us < nodes[i].durationsUs[1])).toBe(true);
  });

  test("is refused without kernels, and where they cannot be told apart", () => {
    const without = JSON.stringify(events.filter((e) => e.cat !== "Api"));
    expect(() => readTrace(without, 3, 1)).toThrow(expect.objectContaining({ code: "gpu-times-missing" }));
    const oneLess = JSON.stringify(events.filter((e) => e !== kernels[5]));
    expect(() => readTrace(oneLess, 3, 1)).toThrow(expect.objectContaining({ code: "gpu-times-unclear" }));
  });
});

test("graphics are computed in software where only such a driver is in memory", () => {
  const map = (file: string) => `7f00-7f01 r-xp 00000000 fe:00 1   /usr/lib/${file}\n`;
  expect(drawnInSoftware(map("chromium/libvk_swiftshader.so"))).toBe(true);
  expect(drawnInSoftware(map("libvulkan_lvp.so"))).toBe(true);
  expect(drawnInSoftware(map("libvulkan_lvp.so") + map("libvulkan_radeon.so"))).toBe(false);
  expect(drawnInSoftware(map("libvulkan_intel.so"))).toBe(false);
  expect(drawnInSoftware(null)).toBe(false);
});

describe("without a binary of onnxruntime-node", () => {
  const options = { folder: "", verbose: false, threads: 1 };
  const wasmEngine = { package: "onnxruntime-web" } as Engine;
  const lacking = (code: string) => ({
    native: async () => {
      throw Object.assign(new Error("no binary"), { code });
    },
    wasm: async () => wasmEngine,
  });

  test.each(["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND", "ERR_DLOPEN_FAILED"])(
    "WebAssembly computes, and a note says so (%s)",
    async (code) => {
      const loaded = await loadEngine("native", options, lacking(code));
      expect(loaded).toMatchObject({ name: "wasm", engine: wasmEngine });
      expect(loaded.note).toMatch(/no binary that runs here .* WebAssembly computes instead/);
    },
  );

  test("another provider has no substitute, and another error is none of this", async () => {
    const webgpu = { ...options, provider: "webgpu" } as const;
    await expect(loadEngine("native", webgpu, lacking("ERR_DLOPEN_FAILED"))).rejects.toThrow("no binary");
    await expect(loadEngine("native", options, lacking("ENOMEM"))).rejects.toThrow("no binary");
    await expect(loadEngine("wasm", webgpu, lacking("x"))).rejects.toBeInstanceOf(DeviceError);
  });
});

/** The software driver for Vulkan that comes with Chromium; Debian 12's own (lavapipe 22.3) lacks what WebGPU needs. */
const driver = "/usr/lib/chromium/vk_swiftshader_icd.json";
const hasVulkan = () => existsSync("/usr/lib/x86_64-linux-gnu/libvulkan.so.1") && existsSync(driver);
const missing =
  process.platform === "linux" && process.arch === "x64"
    ? needsPackages(["libvulkan1", "chromium"], hasVulkan)
    : "needs Linux x64";

describe.skipIf(missing !== null)(
  `WebGPU in onnxruntime-node, in software${missing ? ` (skipped: ${missing})` : ""}`,
  () => {
    const withDriver = async <T>(name: string, f: (r: Awaited<ReturnType<typeof resolveDevice>>) => Promise<T>) => {
      process.env.VK_ICD_FILENAMES = driver; // the runtime's process inherits it
      try {
        const runner = await resolveDevice(name);
        try {
          return await f(runner);
        } finally {
          await runner.close();
        }
      } finally {
        delete process.env.VK_ICD_FILENAMES;
      }
    };
    const x = wire(
      Array.from({ length: 768 }, (_, i) => Math.cos(i)),
      [1, 3, 16, 16],
    );

    /** relu(x), and places where it is not 0: WebGPU has no kernel for NonZero. */
    function mixedModel(): Uint8Array {
      const b = new GraphBuilder();
      const y = b.relu(b.input("x", [1, 3, 16, 16]), { name: "relu", out: "y" });
      b.output(y, { elemType: "float32", dims: [1, 3, 16, 16] });
      b.output(b.emit("NonZero", [y], {}, { name: "places", out: "z" }), { elemType: "int64", dims: [4, "n"] });
      return writeModel(b.graph);
    }

    test(
      "computes what the processor computes, is marked as emulated, and has times of kernels",
      () =>
        withDriver("local:provider=webgpu", async (gpu) => {
          expect(await gpu.describe()).toMatchObject({
            id: "local-x64-webgpu-t1",
            kind: "node-webgpu",
            emulated: true,
            runtime: { provider: WEBGPU },
          });
          const cpu = await openLocalRunner();
          const [a, b] = await Promise.all(
            [gpu, cpu].map(async (r) => r.run((await r.load(convModel())).id, { x })),
          ).finally(() => cpu.close());
          for (const [i, v] of (a.y.data as Float32Array).entries()) expect(v).toBeCloseTo(Number(b.y.data[i]), 4);
          const { id } = await gpu.load(convModel(), { profiling: true });
          const { nodes } = await gpu.profile(id, { x }, 2, 1);
          expect(nodes.map((n) => n.provider)).toEqual(nodes.map(() => WEBGPU));
          expect(nodes.filter((n) => n.opType === "Conv").every((n) => n.durationsUs.every((us) => us > 0))).toBe(true);
        }),
      240_000,
    );

    test("names a node that fell back, and measures with it only when that is allowed", async () => {
      await withDriver("local:provider=webgpu", async (gpu) => {
        const { id } = await gpu.load(mixedModel());
        await expect(gpu.run(id, { x })).rejects.toThrow(/"places" \(NonZero\) on CPUExecutionProvider/);
      });
      await withDriver("local:provider=webgpu,fallback", async (gpu) => {
        const { id } = await gpu.load(mixedModel());
        const quick = { warmup: 1, minWarmupMs: 0, minSamples: 2, minTimeMs: 0 };
        const [row] = await gpu.measure({ models: [{ id, feeds: { x } }], ...quick });
        expect(row.fallen).toContainEqual({ name: "places", opType: "NonZero", provider: CPU });
      });
    }, 240_000);
  },
);
