/** The bundle for 64-bit ARM under qemu-user: joins a hub, computes what x64 computes, is measured, and marked as emulated. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleAgent } from "../../runners/agent/bundle.js";
import { type Hub, openHub } from "../../runners/hub/server.js";
import { openLocalRunner } from "../../runners/node/index.js";
import type { DeviceRunner } from "../../runners/runner.js";
import { readModel } from "../../toolkit/onnx/index.js";
import { profileModel } from "../../toolkit/profile.js";
import { validate } from "../../toolkit/validate.js";
import { type AgentProcess, joinedDevice, startAgent } from "../support/agentProcess.js";
import { armNode } from "../support/arm64.js";
import { convModel, wire } from "./models.js";

const arm = armNode();
const root = join(import.meta.dirname, "../..");
const modelFile = join(root, "samples/driver-monitoring/eye-state.onnx");

describe.skipIf(arm.skipped !== null)(
  `an ARM board, emulated${arm.skipped ? ` (skipped: ${arm.skipped})` : ""}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), "edgefit-arm-"));
    let hub: Hub;
    let agent: AgentProcess;
    let board: DeviceRunner;

    beforeAll(async () => {
      const { files } = await bundleAgent({
        target: "linux-arm64",
        out: join(folder, "agent"),
        entry: join(root, "toolkit/cli/agentMain.ts"),
        version: "0.0.0",
        nodeVersion: "20.19.0",
      });
      expect(files.filter((f) => /x64|darwin|win32/.test(f))).toEqual([]);
      hub = await openHub();
      const address = `http://127.0.0.1:${hub.port}`;
      agent = startAgent(join(folder, "agent"), ["--hub", address, "--token", hub.token], {
        EDGEFIT_NODE: arm.program!,
      });
      board = await joinedDevice(hub, agent);
    }, 300_000);

    afterAll(async () => {
      await board?.close();
      agent?.process.kill("SIGINT");
      await agent?.ended;
      await hub?.close();
      rmSync(folder, { recursive: true, force: true });
    }, 60_000);

    test("says what it is, and that it is emulated", async () => {
      const facts = await board.describe();
      expect(facts).toMatchObject({ kind: "node-cpu", emulated: true, os: { platform: "linux", arch: "arm64" } });
      expect(facts.runtime).toMatchObject({ package: "onnxruntime-node", provider: "CPUExecutionProvider" });
      expect(agent.output()).toMatch(/emulated: results count, times do not/);
    });

    test("computes what x64 computes within 1e-5, and is measured", async () => {
      const bytes = readFileSync(modelFile);
      const local = await openLocalRunner();
      try {
        const feeds = [local, board].map(async (runner) => {
          const { id, inputs } = await runner.load(bytes);
          const dims = inputs[0].dims.map((d) => (typeof d === "number" && d > 0 ? d : 1));
          const count = dims.reduce((a, b) => a * b, 1);
          const input = {
            [inputs[0].name]: wire(
              Array.from({ length: count }, (_, i) => Math.sin(i)),
              dims,
            ),
          };
          return { id, input, outputs: await runner.run(id, input) };
        });
        const [here, there] = await Promise.all(feeds);
        for (const [name, t] of Object.entries(here.outputs)) {
          expect(there.outputs[name].dims).toEqual(t.dims);
          const worst = Math.max(
            ...Array.from(t.data as Float32Array, (v, i) => Math.abs(v - Number(there.outputs[name].data[i]))),
          );
          expect(worst).toBeLessThanOrEqual(1e-5);
        }
        const quick = { warmup: 1, minWarmupMs: 0, minSamples: 3, minTimeMs: 0 };
        const [row] = await board.measure({ models: [{ id: there.id, feeds: there.input }], ...quick });
        expect(row.samplesMs).toHaveLength(3);
        expect(row.peakMemoryBytes).toBeGreaterThan(1e6);
        expect(row.conditions).toHaveProperty("unknown");
      } finally {
        await local.close();
      }
    }, 120_000);

    test("is validated as any device: outputs compared with the host's, then timed", async () => {
      const file = join(folder, "conv.onnx");
      writeFileSync(file, convModel());
      const { device, models } = await validate({ models: [file], device: board, seed: 1 });
      expect(device.emulated).toBe(true);
      expect(models[0].golden.maxAbsError).toBeLessThanOrEqual(1e-5);
      expect(models[0].latencyMs.n).toBeGreaterThan(0);
    }, 120_000);

    test("gives no latency table, whose times would be nobody's", async () => {
      const graph = readModel(readFileSync(modelFile));
      await expect(profileModel({ graph, runner: board, seed: 1 })).rejects.toMatchObject({ code: "emulated-device" });
    });
  },
);
