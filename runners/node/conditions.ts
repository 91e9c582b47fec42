/**
 * What changes while a device works: clock, governor, temperature, power, and what holds the processor back. Read from Linux'
 * sysfs (Documentation/admin-guide/pm/cpufreq.rst, driver-api/thermal/sysfs-api.rst) and a Raspberry Pi's firmware; what the
 * kernel does not offer is null and listed, never guessed.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Conditions } from "../runner.js";

/** A folder tree laid out like /sys; null for what is not there. */
interface Tree {
  text(path: string): string | null;
  number(path: string): number | null;
  list(path: string, name: RegExp): string[];
}

/** What can be read of this machine now. */
export async function readConditions(): Promise<Conditions> {
  if (process.platform === "linux") return linuxConditions();
  const { battery, cpuTemperature } = await import("systeminformation");
  const [temperature, power] = await Promise.all([cpuTemperature(), battery()]);
  return {
    governor: null,
    temperatureC: temperature.main ?? null,
    charging: power.hasBattery ? power.acConnected : null,
    unknown: ["frequency governor", "clock frequency", "throttling"],
  };
}

/**
 * Conditions on Linux. `root` is where sysfs is mounted; `firmware` asks a Raspberry Pi's firmware where the kernel has no
 * file for it, and gives its answer as a number, or null where there is no such firmware.
 */
export async function linuxConditions(
  root = "/sys",
  firmware: () => Promise<number | null> = vcgencmd,
): Promise<Conditions> {
  const sys = treeAt(root);
  const clock = clockOf(sys);
  const flags = firmwareFlags(sys) ?? (await firmware());
  const coolers = coolersOf(sys);
  const offersThrottling = flags !== null || coolers !== null || clock.limitMHz !== null;
  const throttling = [...throttledNow(flags ?? 0), ...(coolers ?? []), ...limitOf(clock)];
  const conditions = {
    governor: sys.text("devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    temperatureC: temperatureOf(sys),
    charging: chargingOf(sys),
    frequencyMHz: clock.nowMHz,
    throttling: offersThrottling ? throttling : null,
    throttledBefore: flags === null ? null : throttledBefore(flags),
  };
  return { ...conditions, unknown: unknownIn(conditions) };
}

const NAMES = {
  governor: "frequency governor",
  temperatureC: "temperature",
  frequencyMHz: "clock frequency",
  throttling: "throttling",
} as const;

/** Names of what is not offered. A device without a battery offers no charging state, and lacks nothing. */
const unknownIn = (c: Omit<Conditions, "unknown">): string[] =>
  (Object.keys(NAMES) as (keyof typeof NAMES)[]).filter((k) => c[k] === null).map((k) => NAMES[k]);

function treeAt(root: string): Tree {
  const text = (path: string): string | null => {
    try {
      return readFileSync(join(root, path), "utf8").trim() || null;
    } catch {
      return null; // this kernel has no such file, or the sensor behind it does not answer
    }
  };
  return {
    text,
    number(path) {
      const value = text(path);
      return value !== null && /^-?\d+$/.test(value) ? Number(value) : null;
    },
    list(path, name) {
      try {
        return readdirSync(join(root, path))
          .filter((f) => name.test(f))
          .map((f) => `${path}/${f}`);
      } catch {
        return [];
      }
    },
  };
}

interface Clock {
  nowMHz: number | null;
  /** What policy allows at most at this moment, and what the processor can do. */
  limitMHz: number | null;
  fullMHz: number | null;
}

/** Of the fastest core: boards with cores of two kinds have one policy for each. */
function clockOf(sys: Tree): Clock {
  const policies = sys.list("devices/system/cpu", /^cpu\d+$/).map((cpu) => `${cpu}/cpufreq`);
  const mhz = (path: string) => {
    const khz = sys.number(path);
    return khz === null ? null : Math.round(khz / 1000);
  };
  const clocks = policies.map((p) => ({
    nowMHz: mhz(`${p}/scaling_cur_freq`),
    limitMHz: mhz(`${p}/scaling_max_freq`),
    fullMHz: mhz(`${p}/cpuinfo_max_freq`),
  }));
  return clocks.reduce<Clock>((best, c) => ((c.nowMHz ?? -1) > (best.nowMHz ?? -1) ? c : best), {
    nowMHz: null,
    limitMHz: null,
    fullMHz: null,
  });
}

const limitOf = ({ limitMHz, fullMHz }: Clock): string[] =>
  limitMHz !== null && fullMHz !== null && limitMHz < fullMHz ? [`clock limited to ${limitMHz} of ${fullMHz} MHz`] : [];

/** Highest of the zones that are the processor's by their names, or of all where none is; in degrees Celsius. */
function temperatureOf(sys: Tree): number | null {
  const zones = sys.list("class/thermal", /^thermal_zone\d+$/).flatMap((zone) => {
    const milli = sys.number(`${zone}/temp`);
    // Zones without a sensor read 0 or far below freezing.
    return milli === null || milli <= 0 ? [] : [{ type: sys.text(`${zone}/type`) ?? "", celsius: milli / 1000 }];
  });
  const own = zones.filter((z) => /cpu|soc|pkg|package|core/i.test(z.type));
  const values = (own.length ? own : zones).map((z) => z.celsius);
  return values.length ? Math.max(...values) : null;
}

/** Cooling devices that slow the processor down, by what they do now; null where the kernel has none. Fans do not slow. */
function coolersOf(sys: Tree): string[] | null {
  const slowing = sys
    .list("class/thermal", /^cooling_device\d+$/)
    .map((path) => ({ path, type: sys.text(`${path}/type`) ?? "" }))
    .filter(({ type }) => /cpufreq|processor|devfreq|cpu/i.test(type));
  if (slowing.length === 0) return null;
  return slowing.flatMap(({ path, type }) => {
    const state = sys.number(`${path}/cur_state`) ?? 0;
    return state > 0 ? [`cooling by ${type} at ${state} of ${sys.number(`${path}/max_state`) ?? "?"}`] : [];
  });
}

/** Whether the machine hangs on the mains; null without a battery. */
function chargingOf(sys: Tree): boolean | null {
  const supplies = sys
    .list("class/power_supply", /./)
    .map((path) => ({ path, type: sys.text(`${path}/type`) ?? "", scope: sys.text(`${path}/scope`) }))
    .filter(({ scope }) => scope !== "Device"); // a mouse's or keyboard's
  if (!supplies.some((s) => s.type === "Battery")) return null;
  const mains = supplies.filter((s) => s.type === "Mains" || s.type.startsWith("USB"));
  if (mains.length > 0) return mains.some((s) => sys.number(`${s.path}/online`) === 1);
  return supplies.some((s) => /^(Charging|Full|Not charging)$/.test(sys.text(`${s.path}/status`) ?? ""));
}

/** Bits of `vcgencmd get_throttled`; each has a twin 16 places higher that stays set until the next start of the board. */
const FIRMWARE = ["under-voltage", "clock capped by firmware", "throttled by firmware", "soft temperature limit"];

const throttledNow = (flags: number): string[] => FIRMWARE.filter((_, bit) => flags & (1 << bit));
const throttledBefore = (flags: number): string[] => FIRMWARE.filter((_, bit) => flags & (1 << (bit + 16)));

function firmwareFlags(sys: Tree): number | null {
  for (const soc of sys.list("devices/platform", /^soc/)) {
    for (const firmware of sys.list(soc, /firmware$/)) {
      const text = sys.text(`${firmware}/get_throttled`);
      if (text && /^[0-9a-f]+$/i.test(text)) return Number.parseInt(text, 16);
    }
  }
  return null;
}

/** `throttled=0x50000` of a Raspberry Pi's own tool; null where there is none. */
function vcgencmd(): Promise<number | null> {
  return new Promise((resolve) => {
    execFile("vcgencmd", ["get_throttled"], { timeout: 1000 }, (error, stdout) => {
      const flags = error ? undefined : /throttled=0x([0-9a-f]+)/i.exec(stdout)?.[1];
      resolve(flags === undefined ? null : Number.parseInt(flags, 16));
    });
  });
}
