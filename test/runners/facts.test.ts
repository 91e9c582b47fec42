import { hostname } from "node:os";
import { expect, test } from "vitest";
import { fingerprint } from "../../runners/fingerprint.js";
import { isaOf, isEmulated, machineFacts } from "../../runners/node/facts.js";
import { field } from "../../runners/node/memory.js";
import type { DeviceFacts } from "../../runners/runner.js";

const facts: DeviceFacts = {
  id: "local-x64-cpu-t1",
  kind: "node-cpu",
  hardware: { cpu: "Some CPU", cores: 4, isa: ["avx2", "fma"], memoryBytes: 8e9 },
  os: { platform: "linux", arch: "x64", release: "Debian 12" },
  runtime: {
    package: "onnxruntime-node",
    version: "1.30.0",
    node: "20.19.0",
    provider: "CPUExecutionProvider",
    threads: 1,
    graphOptimizationLevel: "all",
  },
  conditions: { governor: "performance", temperatureC: 50, charging: null },
  emulated: false,
  clockMs: 0.0001,
};

test("the fingerprint ignores what changes from day to day", () => {
  const later: DeviceFacts = {
    ...facts,
    id: "another-name",
    hardware: { ...facts.hardware, isa: ["fma", "avx2"], memoryBytes: 7.9e9 },
    os: { ...facts.os, release: "Debian 13" },
    runtime: { ...facts.runtime, node: "22.0.0" },
    conditions: { governor: "powersave", temperatureC: 80, charging: true },
    clockMs: 0.0002,
  };
  expect(fingerprint(facts)).toMatch(/^[0-9a-f]{16}$/);
  expect(fingerprint(later)).toBe(fingerprint(facts));
});

test.each<[string, DeviceFacts]>([
  ["processor", { ...facts, hardware: { ...facts.hardware, cpu: "Other CPU" } }],
  ["instruction sets", { ...facts, hardware: { ...facts.hardware, isa: ["avx2"] } }],
  ["runtime version", { ...facts, runtime: { ...facts.runtime, version: "1.31.0" } }],
  ["threads", { ...facts, runtime: { ...facts.runtime, threads: 2 } }],
  ["level", { ...facts, runtime: { ...facts.runtime, graphOptimizationLevel: "extended" } }],
  ["provider", { ...facts, runtime: { ...facts.runtime, provider: "Other" } }],
  ["emulation", { ...facts, emulated: true }],
])("the fingerprint tells another %s apart", (_, other) => {
  expect(fingerprint(other)).not.toBe(fingerprint(facts));
});

test("reads the instruction sets that matter from processor flags", () => {
  expect(isaOf("fpu sse sse4_2 avx2 fma avx512f avx512_vnni amx_int8 avx")).toEqual([
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "amx_int8",
  ]);
  expect(isaOf("fp asimd evtstrm aes asimdhp cpuid asimdrdm lrcpc dcpop asimddp")).toEqual(["neon", "fp16", "asimddp"]);
  expect(isaOf("")).toEqual([]);
});

test.each([
  ["QEMU Virtual CPU version 2.5+", "x64", "flags\t\t: fpu sse2", true],
  ["QEMU TCG CPU version 2.5+", "x64", "", true],
  ["Apple VirtualApple @ 2.50GHz", "x64", "", true],
  ["Intel Xeon", "x64", "flags\t\t: fpu sse2 hypervisor", false],
  ["", "arm64", "processor\t: 0\nflags\t\t: fpu vme sse2\n", true],
  ["Cortex-A76", "arm64", "Features\t: fp asimd evtstrm asimddp\n", false],
])("emulation of %s on %s", (name, arch, cpuinfo, expected) => {
  expect(isEmulated(name, arch, cpuinfo)).toBe(expected);
});

test("a translator in the process' memory is emulation, whatever the processor is called", () => {
  const map = (file: string) => `7f2f-7f30 r-xp 00228000 fe:00 10166291     ${file}\n`;
  const board = "Features\t: fp asimd\n";
  expect(isEmulated("Cortex-A76", "arm64", board, map("/usr/bin/qemu-aarch64-static"))).toBe(true);
  expect(isEmulated("Cortex-A76", "arm64", board, map("/usr/bin/qemu-aarch64"))).toBe(true);
  expect(isEmulated("Cortex-A76", "arm64", board, map("/home/pi/qemu-images/bin/node"))).toBe(false);
});

test("the machine's facts hold no host name", async () => {
  const machine = await machineFacts();
  expect(machine.hardware.cpu.length).toBeGreaterThan(0);
  expect(machine.os.arch).toBe(process.arch);
  if (hostname().length > 3) expect(JSON.stringify(machine)).not.toContain(hostname());
});

test("reads a field of /proc/self/status in bytes", () => {
  const status = "Name:\tnode\nVmHWM:\t  159719 kB\nVmRSS:\t   98304 kB\n";
  expect(field(status, "VmHWM")).toBe(159719 * 1024);
  expect(field(status, "VmRSS")).toBe(98304 * 1024);
  expect(field(status, "VmSwap")).toBeNull();
});
