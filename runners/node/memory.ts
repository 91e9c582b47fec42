/** Resident memory of this process, from Linux's /proc where there is one. */
import { readFileSync, writeFileSync } from "node:fs";

/** Resident now and at its highest, in bytes; `now` and `peak` are null where they cannot be read. */
export function residentBytes(): { now: number | null; peak: number | null } {
  const status = readStatus();
  if (status) return { now: field(status, "VmRSS"), peak: field(status, "VmHWM") };
  // maxRSS is in kilobytes on every platform of Node.
  return { now: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
}

/** Lets the peak start anew from what is resident now, where the kernel offers that (proc(5), clear_refs). */
export function resetPeak(): void {
  if (process.platform !== "linux") return;
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Kernels without page monitoring refuse; the peak then counts from the start of the process, an upper bound.
  }
}

function readStatus(): string | null {
  if (process.platform !== "linux") return null;
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    return null; // no /proc mounted: the portable figures below serve
  }
}

/** A `VmHWM:   123 kB` line in bytes. */
export function field(status: string, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status);
  return found ? Number(found[1]) * 1024 : null;
}
