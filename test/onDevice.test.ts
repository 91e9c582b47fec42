import { expect, test } from "vitest";
import { DeviceError, type DeviceRunner } from "../runners/index.js";
import { floats } from "../toolkit/graph/tensor.js";
import { goldenRun, type OpenDevice } from "../toolkit/onDevice.js";
import { writeModel } from "../toolkit/onnx/index.js";
import type { Subject } from "../toolkit/subject.js";
import { smallNet } from "./support/models.js";

const crash = new DeviceError("runtime-crashed", "the process of ONNX Runtime was ended by SIGSEGV");

/** A device of which one step brings its process down; `seen` lists what it was asked. */
function fragile(step: "load" | "run", seen: string[]): OpenDevice {
  const runner: Partial<DeviceRunner> = {
    load: async () => {
      seen.push("load");
      if (step === "load") throw crash;
      return { id: 1, initMs: 0 } as Awaited<ReturnType<DeviceRunner["load"]>>;
    },
    run: async () => {
      seen.push("run");
      throw crash;
    },
    unload: async () => {
      seen.push("unload");
    },
  };
  return { runner: runner as DeviceRunner, facts: {} as OpenDevice["facts"], close: async () => {} };
}

const subject = {
  file: "net.onnx",
  graph: smallNet(),
  input: { name: "image", dims: [1, 3, 8, 8] },
} as unknown as Subject;
const image = floats(new Float32Array(192), [1, 3, 8, 8]);

test("a model that brings the runtime down does so in the device's process before the host opens it", async () => {
  // The host would refuse these bytes with another error, if it came to see them first.
  const noModel = new Uint8Array([8, 8]);
  for (const [step, asked] of [
    ["load", ["load"]],
    ["run", ["load", "run", "unload"]],
  ] as const) {
    const seen: string[] = [];
    await expect(goldenRun(fragile(step, seen), subject, noModel, image)).rejects.toBe(crash);
    expect(seen).toEqual(asked);
  }
});

test("bytes that the host's runtime refuses are an error that names the file", async () => {
  const device = fragile("load", []);
  device.runner.load = async () => ({ id: 1, initMs: 0 }) as Awaited<ReturnType<DeviceRunner["load"]>>;
  device.runner.run = async () => ({});
  await expect(goldenRun(device, subject, writeModel(smallNet()).subarray(0, 40), image)).rejects.toMatchObject({
    name: "ModelError",
    code: "runtime",
    where: "net.onnx",
  });
});
