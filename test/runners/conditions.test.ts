/** Conditions of boards, from folders laid out like their sysfs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { linuxConditions } from "../../runners/node/conditions.js";

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
});

function sysfs(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "edgefit-sysfs-"));
  made.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

const none = async () => null;
const cpu = (n: number, now: number, limit: number, full: number) => ({
  [`devices/system/cpu/cpu${n}/cpufreq/scaling_cur_freq`]: String(now),
  [`devices/system/cpu/cpu${n}/cpufreq/scaling_max_freq`]: String(limit),
  [`devices/system/cpu/cpu${n}/cpufreq/cpuinfo_max_freq`]: String(full),
  [`devices/system/cpu/cpu${n}/cpufreq/scaling_governor`]: "ondemand",
});

test("a board that tells everything", async () => {
  const root = sysfs({
    ...cpu(0, 600000, 1800000, 1800000),
    ...cpu(4, 1500000, 1500000, 2400000),
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "81250",
    "class/thermal/thermal_zone1/type": "gpu-thermal",
    "class/thermal/thermal_zone1/temp": "99000",
    "class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "class/thermal/cooling_device0/cur_state": "3",
    "class/thermal/cooling_device0/max_state": "9",
    "class/thermal/cooling_device1/type": "pwm-fan",
    "class/thermal/cooling_device1/cur_state": "4",
    "devices/platform/soc/soc:firmware/get_throttled": "50005",
  });
  expect(await linuxConditions(root, none)).toEqual({
    governor: "ondemand",
    temperatureC: 81.25,
    charging: null,
    frequencyMHz: 1500,
    throttling: [
      "under-voltage",
      "throttled by firmware",
      "cooling by cpufreq-cpu0 at 3 of 9",
      "clock limited to 1500 of 2400 MHz",
    ],
    throttledBefore: ["under-voltage", "throttled by firmware"],
    unknown: [],
  });
});

test("a board that tells nothing says so, and makes nothing up", async () => {
  expect(await linuxConditions(sysfs({ "kernel/x": "1" }), none)).toEqual({
    governor: null,
    temperatureC: null,
    charging: null,
    frequencyMHz: null,
    throttling: null,
    throttledBefore: null,
    unknown: ["frequency governor", "temperature", "clock frequency", "throttling"],
  });
});

test("the firmware is asked where the kernel has no file for its flags", async () => {
  const c = await linuxConditions(sysfs({}), async () => 0x20000);
  expect([c.throttling, c.throttledBefore]).toEqual([[], ["clock capped by firmware"]]);
});

test("zones without a name of the processor count when there is no other, dead sensors never", async () => {
  const root = sysfs({
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/temp": "48000",
    "class/thermal/thermal_zone1/type": "cpu-thermal",
    "class/thermal/thermal_zone1/temp": "-274000",
  });
  expect((await linuxConditions(root, none)).temperatureC).toBe(48);
});

test.each([
  ["no battery", {}, null],
  ["a mouse's battery only", { "m/type": "Battery", "m/scope": "Device", "m/status": "Discharging" }, null],
  ["mains", { "b/type": "Battery", "b/status": "Charging", "ac/type": "Mains", "ac/online": "1" }, true],
  ["battery", { "b/type": "Battery", "b/status": "Discharging", "ac/type": "Mains", "ac/online": "0" }, false],
  ["battery alone, discharging", { "b/type": "Battery", "b/status": "Discharging" }, false],
])("power: %s", async (_, files, charging) => {
  const at = Object.fromEntries(Object.entries(files).map(([k, v]) => [`class/power_supply/${k}`, String(v)]));
  expect((await linuxConditions(sysfs({ "x/y": "1", ...at }), none)).charging).toBe(charging);
});
