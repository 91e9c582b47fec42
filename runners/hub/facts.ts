/** What a device said of itself when it joined, as the facts of a device. */
import type { DeviceFacts, GraphOptimizationLevel } from "../runner.js";
import type { Hello, PageHello } from "../web/hello.js";

/** Without a name the id is `phone-wasm-t1`, after provider and threads. */
export function factsOf(hello: Hello, graphOptimizationLevel: GraphOptimizationLevel, name = "phone"): DeviceFacts {
  const { page, machine, runtime, clockMs } = hello;
  if (page)
    return { ...pageFacts(hello, page, graphOptimizationLevel), id: `${name}-${page.provider}-t${page.threads}` };
  const { threads, ...facts } = machine!;
  return { ...facts, id: `${name}-t${threads}`, runtime: { ...runtime, threads, graphOptimizationLevel }, clockMs };
}

/** Browsers hide the processor: its name is that of system and model. */
function pageFacts(
  { runtime, clockMs }: Hello,
  page: PageHello,
  graphOptimizationLevel: GraphOptimizationLevel,
): Omit<DeviceFacts, "id"> {
  const [browser] = /(Edg|Firefox|Chrome|CriOS|FxiOS|Version)\/[\d.]+/.exec(page.userAgent) ?? ["unknown browser"];
  const gpu = page.provider === "webgpu" ? page.adapter : null;
  const system = systemOf(page.userAgent);
  return {
    kind: page.provider === "wasm" ? "web-wasm" : "web-webgpu",
    hardware: {
      cpu: gpu ? `${system}, GPU ${gpu.vendor} ${gpu.architecture}`.trimEnd() : system,
      cores: page.cores,
      isa: [],
      memoryBytes: page.memoryBytes,
    },
    os: { platform: platformOf(page.userAgent), arch: "unknown", release: browser },
    runtime: { ...runtime, threads: page.threads, graphOptimizationLevel },
    conditions: { governor: null, temperatureC: null, charging: page.charging ?? null },
    emulated: gpu?.isFallback ?? false,
    clockMs,
  };
}

/** What stands in the first parentheses: `Linux; Android 14; Pixel 8`. */
const systemOf = (userAgent: string): string => /\(([^)]*)\)/.exec(userAgent)?.[1] ?? "unknown system";

const platformOf = (userAgent: string): string =>
  (
    [
      [/android/i, "android"],
      [/iphone|ipad|ipod/i, "ios"],
      [/windows/i, "win32"],
      [/mac os/i, "darwin"],
      [/linux|cros/i, "linux"],
    ] as const
  ).find(([pattern]) => pattern.test(userAgent))?.[1] ?? "unknown";

/** A name for people and command lines, of small letters, digits and hyphens: `pixel-8`, `iphone`, `chrome-linux`. */
export function deviceName({ page, machine, device }: Hello): string {
  if (device?.name) return slug(device.name) || "device";
  if (machine) return slug(`${machine.os.platform}-${machine.os.arch}`);
  const agent = page!.userAgent;
  const android = /Android [\d.]+; ([^;)]+?)(?: Build\/[^;)]*)?[;)]/.exec(agent)?.[1];
  // Browsers that hide the model say "K".
  if (android && android !== "K") return slug(android);
  const apple = /\b(iPhone|iPad)\b/.exec(agent)?.[1];
  if (apple) return slug(apple);
  // Each browser names those that it wants to pass for as well.
  const browser = ["Edg", "Firefox", "Chrome", "Safari"].find((b) => agent.includes(`${b}/`)) ?? "browser";
  return slug(`${browser}-${platformOf(agent)}`);
}

/** A text as part of a name: lower-case letters, digits and single hyphens, 40 at most. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
