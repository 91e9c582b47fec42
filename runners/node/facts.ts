/**
 * What this machine is: from systeminformation and, for what changes, from sysfs. Never a host name, serial number or address.
 * Fields that cannot be read are null, not guessed.
 */
import { readFile } from "node:fs/promises";
import { battery, cpu, cpuFlags, cpuTemperature, mem, osInfo } from "systeminformation";
import type { DeviceFacts } from "../runner.js";

/** The part of the facts that does not depend on the runtime. */
export type MachineFacts = Pick<DeviceFacts, "hardware" | "os" | "conditions" | "emulated">;

type Fixed = Omit<MachineFacts, "conditions">;
let fixed: Promise<Fixed> | undefined;

/** Hardware and system are read once per process, the conditions at every call. */
export async function machineFacts(): Promise<MachineFacts> {
  fixed ??= readFixed();
  const [known, conditions] = await Promise.all([fixed, readConditions()]);
  return { ...known, conditions };
}

async function readFixed(): Promise<Fixed> {
  const [processor, flags, memory, os, cpuinfo] = await Promise.all([
    cpu(),
    cpuFlags(),
    mem(),
    osInfo(),
    readText("/proc/cpuinfo"),
  ]);
  const name = [processor.manufacturer, processor.brand].filter(Boolean).join(" ").trim();
  return {
    hardware: {
      cpu: name || "unknown",
      cores: processor.physicalCores || processor.cores,
      isa: isaOf(flags),
      memoryBytes: memory.total || null,
    },
    os: {
      platform: process.platform,
      arch: process.arch,
      release: [os.distro, os.release].filter(Boolean).join(" ") || null,
    },
    emulated: isEmulated(name, process.arch, cpuinfo ?? ""),
  };
}

async function readConditions(): Promise<MachineFacts["conditions"]> {
  const [governor, temperature, power] = await Promise.all([
    readText("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    cpuTemperature(),
    battery(),
  ]);
  return {
    governor: governor?.trim() || null,
    temperatureC: temperature.main ?? null,
    charging: power.hasBattery ? power.acConnected : null,
  };
}

/** The instruction sets that decide which kernels a neural-network runtime picks, by their usual names. */
const ISA: Record<string, string> = {
  sse4_2: "sse4_2",
  avx: "avx",
  avx2: "avx2",
  fma: "fma",
  f16c: "f16c",
  avx_vnni: "avx_vnni",
  avx512f: "avx512f",
  avx512bw: "avx512bw",
  avx512_vnni: "avx512_vnni",
  avx512_bf16: "avx512_bf16",
  avx512_fp16: "avx512_fp16",
  amx_int8: "amx_int8",
  amx_bf16: "amx_bf16",
  neon: "neon",
  asimd: "neon",
  asimdhp: "fp16",
  asimddp: "asimddp",
  i8mm: "i8mm",
  bf16: "bf16",
  sve: "sve",
  sve2: "sve2",
};

/** Those of a processor's flags that matter here, in a fixed order. */
export function isaOf(flags: string): string[] {
  const present = new Set(flags.toLowerCase().split(/[\s,]+/));
  return [...new Set(Object.keys(ISA).flatMap((flag) => (present.has(flag) ? [ISA[flag]] : [])))];
}

/**
 * Whether instructions are translated in software (QEMU without hardware help, Rosetta): such times say nothing of a device.
 * An ordinary virtual machine is not emulated. `cpuinfo` is the text of /proc/cpuinfo, which qemu-user leaves as the host's.
 */
export function isEmulated(cpuName: string, arch: string, cpuinfo: string): boolean {
  if (/QEMU (TCG|Virtual)|VirtualApple/i.test(cpuName)) return true;
  return arch.startsWith("arm") && /^flags\s*:.*\bsse2\b/m.test(cpuinfo);
}

/** The file's text, or null where this system has no such file. */
async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return null;
  }
}
