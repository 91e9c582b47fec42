/** From the name that a user gives a device to a runner that reaches it. */
import { type DeviceProfile, listProfiles, loadProfile } from "../device-profiles/index.js";
import { DeviceError } from "./errors.js";
import type { PhoneOptions } from "./hub/phone.js";
import { hubSettings } from "./hub/settings.js";
import { machineFacts } from "./node/facts.js";
import { type LocalOptions, openLocalRunner } from "./node/index.js";
import { localSettings } from "./node/settings.js";
import type { DeviceFacts, DeviceRunner } from "./runner.js";

/**
 * `local` is this machine's processor with one thread, `wasm` the same through WebAssembly, `browser` a headless Chromium, `phone` the
 * first browser that opens the address which `onInvite` is told, `hub` (or `hub:NAME`, or NAME alone) a device that has joined a running
 * `edgefit hub`. `local:threads=2,level=extended,provider=webgpu` (`wasm:...`,
 * `browser:provider=webgpu`, `phone:port=8080`) sets what differs. The id or path of a
 * device profile opens the local runner with the profile's settings, but for those behind a colon, when this machine is such a device.
 * Throws DeviceError for an unknown name (listing the choices), a wrong setting, or a profile of another device.
 */
export async function resolveDevice(name: string, o: ResolveOptions = {}): Promise<DeviceRunner> {
  const [head, ...rest] = name.split(":");
  if (head === "local" || head === "wasm") {
    const engine = head === "local" ? "native" : "wasm";
    const { log, onNote } = o;
    return openLocalRunner({
      engine,
      ...localSettings(head, rest.join(":")),
      ...(log && { log }),
      ...(onNote && { onNote }),
    });
  }
  if (head === "browser") {
    const { openBrowserRunner } = await import("./browser/index.js");
    const { provider, ...settings } = hubSettings(head, rest.join(":").split(","));
    return openBrowserRunner({ ...settings, ...(provider && provider !== "auto" ? { provider } : {}), ...o });
  }
  if (head === "phone") {
    const { openPhoneRunner } = await import("./hub/phone.js");
    return openPhoneRunner({ ...hubSettings(head, rest.join(":").split(",")), ...o });
  }
  if (head === "hub") {
    const { openJoinedDevice } = await import("./hub/joinedDevice.js");
    return openJoinedDevice(name, o);
  }
  const [profileName, settings] = splitSettings(name);
  const isPath = /[/\\]|\.json$/.test(profileName);
  if (!isPath && !listProfiles().includes(profileName)) {
    const { hasJoined, openJoinedDevice } = await import("./hub/joinedDevice.js");
    if (await hasJoined(head)) return openJoinedDevice(`hub:${head},${rest.join(":")}`, o);
    throw new DeviceError("device-unknown", `there is no device "${name}"`, {
      hint: `choose local, wasm, browser, phone or hub (or local:threads=N,level=LEVEL), a device that joined edgefit hub, ${listProfiles().join(", ")}, or the path of a profile's JSON file`,
    });
  }
  const profile = loadProfile(profileName);
  const difference = differsFrom(profile, await machineFacts());
  if (difference) {
    throw new DeviceError(
      "device-not-local",
      `device "${profile.id}" is not this machine (${difference}), and this version measures local devices only`,
      {
        hint:
          profile.kind === "web-wasm"
            ? "--device phone measures a phone that joins, --device wasm the same runtime on this machine"
            : "run edgefit on the device itself, or use --device local",
      },
    );
  }
  const { threads, graphOptimizationLevel } = profile.runtime;
  const engine = profile.kind === "node-wasm" ? "wasm" : "native";
  return openLocalRunner({
    engine,
    threads,
    graphOptimizationLevel,
    ...o,
    ...localSettings(profile.kind === "node-wasm" ? "wasm" : "local", settings),
  });
}

/** The id or path of a profile, and the settings behind it: `desktop-x64:threads=2`. A colon may also be part of a path. */
function splitSettings(name: string): [profile: string, settings: string] {
  const match = /^(.*?):((?:\w+=[^:,]*|fallback)(?:,.*)?)$/.exec(name);
  return match ? [match[1], match[2]] : [name, ""];
}

/** What opening a device may need besides its name. */
export type ResolveOptions = Pick<LocalOptions, "log" | "onNote"> &
  Pick<PhoneOptions, "onInvite" | "signal" | "probe" | "purpose">;

/** Why this machine is not the profile's device, or null when it may be. */
export function differsFrom(profile: DeviceProfile, machine: Pick<DeviceFacts, "hardware" | "os">): string | null {
  if (profile.kind !== "node-cpu" && profile.kind !== "node-wasm") return `it is reached through ${profile.kind}`;
  for (const key of ["platform", "arch"] as const) {
    const wanted = profile.os[key];
    if (wanted !== null && wanted !== machine.os[key]) return `its ${key} is ${wanted}, here it is ${machine.os[key]}`;
  }
  const missing = profile.hardware.isa.find((isa) => !machine.hardware.isa.includes(isa));
  if (missing) return `its processor has ${missing}, this one has not`;
  const pattern = profile.match?.cpuPattern;
  if (pattern !== undefined && !new RegExp(pattern, "i").test(machine.hardware.cpu)) {
    return `its processor is ${profile.hardware.cpu ?? pattern}, here it is ${machine.hardware.cpu}`;
  }
  return null;
}
