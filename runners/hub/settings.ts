/** What may stand behind the name of a device that is reached through a page or a hub: `phone:port=8080,threads=2`. */
import { DeviceError } from "../errors.js";
import type { GraphOptimizationLevel } from "../runner.js";
import type { WebProvider } from "../web/hello.js";

export interface HubSettings {
  threads?: number;
  graphOptimizationLevel?: GraphOptimizationLevel;
  provider?: WebProvider | "auto";
  host?: string;
  port?: number;
}

const LEVELS: readonly string[] = ["disabled", "basic", "extended", "layout", "all"] satisfies GraphOptimizationLevel[];

/** Which settings there are, by kind of device, as hints show them. */
const KNOWN = {
  browser: ["threads=N", `level=${LEVELS.join("|")}`, "provider=wasm|webgpu"],
  phone: ["threads=N", `level=${LEVELS.join("|")}`, "provider=auto|wasm|webgpu", "host=ADDRESS", "port=N"],
  hub: ["threads=N", `level=${LEVELS.join("|")}`, "provider=auto|wasm|webgpu"],
} as const;

/** Throws DeviceError `device-setting`, naming the part and the choices. */
export function hubSettings(device: keyof typeof KNOWN, parts: readonly string[]): HubSettings {
  const settings: HubSettings = {};
  for (const part of parts.filter(Boolean)) {
    const [key, value = ""] = part.split("=");
    const known = KNOWN[device].some((k) => k.startsWith(`${key}=`));
    if (key === "threads" && /^[1-9]\d{0,3}$/.test(value)) settings.threads = Number(value);
    else if (key === "level" && LEVELS.includes(value))
      settings.graphOptimizationLevel = value as GraphOptimizationLevel;
    else if (
      key === "provider" &&
      (value === "wasm" || value === "webgpu" || (value === "auto" && device !== "browser"))
    )
      settings.provider = value;
    else if (known && key === "port" && /^\d{1,5}$/.test(value) && Number(value) < 65536) settings.port = Number(value);
    else if (known && key === "host" && value) settings.host = value;
    else {
      throw new DeviceError("device-setting", `"${part}" is no setting of device ${device}`, {
        where: "--device",
        hint: `use ${KNOWN[device].join(" and ")}, e.g. ${device}:threads=2,level=extended`,
      });
    }
  }
  return settings;
}

/** A device of a hub, as `--device` names it. */
export interface HubDeviceName {
  /** Absent: any device. */
  name?: string;
  /** Absent: the hub that runs for this user on this machine. */
  address?: { url: string; controlToken: string };
  settings: HubSettings;
}

/**
 * `hub`, `hub:NAME`, `hub:NAME,threads=2`, `hub:http://192.168.1.5:8717#TOKEN`, `hub:http://192.168.1.5:8717/NAME#TOKEN,threads=2`.
 * Throws DeviceError `device-setting`.
 */
export function parseHubName(text: string): HubDeviceName {
  const [first = "", ...parts] = text.replace(/^hub:?/, "").split(",");
  if (!/^https?:\/\//.test(first)) {
    const named = first !== "" && !first.includes("=");
    return { ...(named ? { name: first } : {}), settings: hubSettings("hub", named ? parts : [first, ...parts]) };
  }
  const url = URL.canParse(first) ? new URL(first) : undefined;
  const token = url?.hash.slice(1);
  if (!url || !token) {
    throw new DeviceError("device-setting", `"${first}" is no address of a hub`, {
      where: "--device",
      hint: "write hub:http://ADDRESS:PORT#TOKEN as edgefit hub shows it",
    });
  }
  const name = decodeURIComponent(url.pathname.slice(1));
  return {
    ...(name ? { name } : {}),
    address: { url: url.origin, controlToken: token },
    settings: hubSettings("hub", parts),
  };
}
