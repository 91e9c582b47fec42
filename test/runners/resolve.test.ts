import { expect, test } from "vitest";
import { loadProfile } from "../../device-profiles/index.js";
import { differsFrom, resolveDevice } from "../../runners/resolve.js";
import type { DeviceFacts } from "../../runners/runner.js";

const pi: Pick<DeviceFacts, "hardware" | "os"> = {
  hardware: { cpu: "ARM Cortex-A76", cores: 4, isa: ["neon", "fp16", "asimddp"], memoryBytes: 8e9 },
  os: { platform: "linux", arch: "arm64", release: null },
};
const desktop: typeof pi = {
  hardware: { cpu: "AMD Ryzen", cores: 8, isa: ["avx", "avx2", "fma"], memoryBytes: 16e9 },
  os: { platform: "win32", arch: "x64", release: null },
};

test.each([
  ["local", 1, "all"],
  ["local:threads=2", 2, "all"],
  ["local:threads=2,level=extended", 2, "extended"],
] as const)("%s opens this machine", async (name, threads, graphOptimizationLevel) => {
  const runner = await resolveDevice(name);
  const { runtime, id } = await runner.describe();
  await runner.close();
  expect(runtime).toMatchObject({ threads, graphOptimizationLevel });
  expect(id).toBe(`local-${process.arch}-cpu-t${threads}`);
});

test.each(["local:threads=0", "local:threads=two", "local:level=most", "local:speed=9", "local:threads"])(
  "%s is refused with what to write instead",
  async (name) => {
    await expect(resolveDevice(name)).rejects.toEqual(
      expect.objectContaining({
        name: "DeviceError",
        code: "device-setting",
        hint: expect.stringContaining("threads=N"),
      }),
    );
  },
);

test("an unknown device is refused with the choices", async () => {
  await expect(resolveDevice("toaster")).rejects.toEqual(
    expect.objectContaining({
      code: "device-unknown",
      hint: expect.stringMatching(/local.*desktop-x64.*phone-wasm-simd.*raspberry-pi-5/),
    }),
  );
});

test("a shipped profile of another kind of device is refused", async () => {
  await expect(resolveDevice("phone-wasm-simd")).rejects.toEqual(
    expect.objectContaining({
      name: "DeviceError",
      code: "device-not-local",
      message: expect.stringMatching(/local devices only/),
    }),
  );
});

test("a profile matches the machines it describes", () => {
  expect(differsFrom(loadProfile("raspberry-pi-5"), pi)).toBeNull();
  expect(differsFrom(loadProfile("desktop-x64"), desktop)).toBeNull();
  expect(differsFrom(loadProfile("raspberry-pi-5"), desktop)).toMatch(/platform is linux, here it is win32/);
  expect(differsFrom(loadProfile("desktop-x64"), pi)).toMatch(/arch is x64, here it is arm64/);
  expect(
    differsFrom(loadProfile("raspberry-pi-5"), { ...pi, hardware: { ...pi.hardware, cpu: "Cortex-A72" } }),
  ).toMatch(/Cortex-A76, here it is Cortex-A72/);
  expect(differsFrom(loadProfile("raspberry-pi-5"), { ...pi, hardware: { ...pi.hardware, isa: ["neon"] } })).toMatch(
    /has asimddp/,
  );
});

test.runIf(process.arch === "x64")("settings behind a profile's name win over the profile's", async () => {
  const runner = await resolveDevice("desktop-x64:threads=2,level=extended");
  const { runtime } = await runner.describe();
  await runner.close();
  expect(runtime).toMatchObject({ threads: 2, graphOptimizationLevel: "extended" });
  await expect(resolveDevice("desktop-x64:threads=none")).rejects.toMatchObject({ code: "device-setting" });
});
