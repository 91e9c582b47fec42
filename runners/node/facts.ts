/**
 * What this machine is: from systeminformation and, for what changes, from sysfs. Never a host name, serial number or address.
 * Fields that cannot be read are null, not guessed.
 */
import { readFile } from "node:fs/promises";
import { cpu, cpuFlags, mem, osInfo } from "systeminformation";
import type { DeviceFacts } from "../runner.js";
import { readConditions } from "./conditions.js";

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
  const [processor, flags, memory, os, cpuinfo, maps] = await Promise.all([
    cpu(),
    cpuFlags(),
    mem(),
    osInfo(),
    readText("/proc/cpuinfo"),
    // Not /proc/self/maps: translators answer that one themselves.
    readText(`/proc/self/task/${process.pid}/maps`),
  ]);
  const name = [processor.manufacturer, processor.brand].filter(Boolean).join(" ").trim() || "unknown";
  const emulated = isEmulated(name, process.arch, cpuinfo ?? "", maps ?? "");
  // What the system says of the processor is then of the one below the translator.
  const foreign = emulated && process.arch.startsWith("arm");
  return {
    hardware: {
      cpu: foreign ? `${process.arch} emulated on ${name}` : name,
      cores: processor.physicalCores || processor.cores,
      isa: foreign ? [] : isaOf(flags),
      memoryBytes: memory.total || null,
    },
    os: {
      platform: process.platform,
      arch: process.arch,
      release: [os.distro, os.release].filter(Boolean).join(" ") || null,
    },
    emulated,
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
 * An ordinary virtual machine is not emulated. `cpuinfo` is the text of /proc/cpuinfo, which qemu-user below 8.1 leaves as the
 * host's; `maps` lists the files in the process' memory, the translator among them.
 */
export function isEmulated(cpuName: string, arch: string, cpuinfo: string, maps = ""): boolean {
  if (/QEMU (TCG|Virtual)|VirtualApple/i.test(cpuName)) return true;
  if (/\/qemu-\w+(-static)?$|\/rosetta$/m.test(maps)) return true;
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
