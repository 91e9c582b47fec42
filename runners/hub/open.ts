/** A device of a hub as a runner: held, set up as asked, and found again when it was lost. */
import { DeviceError } from "../errors.js";
import { fingerprint } from "../fingerprint.js";
import { goldenCheck } from "../golden.js";
import type { DeviceRunner, Feeds, GraphOptimizationLevel, WireTensor } from "../runner.js";
import { median } from "../stats.js";
import type { Hello, WebProvider } from "../web/hello.js";
import { factsOf } from "./facts.js";
import { isLoss, openLastingRunner } from "./lasting.js";
import { kinOf, type Lease, type Wanted } from "./registry.js";

/** Where devices are held: this process's own hub, or one in another process. */
export interface Source {
  lease(wanted: Wanted, o: { signal?: AbortSignal; onWait?(why: string): void }): Promise<Lease>;
}

/** A model by which the faster of two providers is found. */
export interface Probe {
  model: Uint8Array;
  feeds: Feeds;
}

export interface HubDeviceOptions {
  /** Default: whichever is free first. */
  name?: string;
  /** `auto`: WebAssembly and WebGPU are both timed on the probe, and the faster one is taken. Default `auto`. */
  provider?: WebProvider | "auto";
  /** Default 1. */
  threads?: number;
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** How long a lost device may take to come back. Default two minutes. */
  patienceMs?: number;
  purpose?: string;
  probe?: () => Probe;
  signal?: AbortSignal;
  /** Told, in a sentence, what is waited for and what was chosen. */
  onNote?(text: string): void;
}

const PATIENCE_MS = 120_000;

/** Waits for the device. Throws DeviceError, and the signal's reason. */
export async function openHubDevice(source: Source, o: HubDeviceOptions = {}): Promise<DeviceRunner> {
  const { graphOptimizationLevel = "all", threads = 1, patienceMs = PATIENCE_MS, signal } = o;
  const note = o.onNote ?? (() => {});
  let first: Lease | undefined;
  let provider = o.provider ?? "auto";

  const factsFor = (l: Lease) => fingerprint(factsOf(l.hello, graphOptimizationLevel));

  async function setUp(lease: Lease): Promise<Lease> {
    if (!lease.hello.page) return lease;
    if (provider === "auto") {
      try {
        provider = await fasterOf(lease, o.probe?.(), threads, note);
      } catch (error) {
        if (!isLoss(error) || lease.hello.page.adapter === null) throw error;
        note(`${lease.name} went while WebGPU was tried: WebAssembly is taken`);
        provider = "wasm";
        await lease.link.close();
        return setUp(await again(lease, error));
      }
    }
    await configure(lease, provider, threads);
    const { page } = lease.hello;
    if (page.threads < threads)
      note(
        `${lease.name} runs ${page.threads} thread(s), not ${threads}: its page is not cross-origin isolated (see edgefit hub --https)`,
      );
    return lease;
  }

  async function again(held: Lease, lost: DeviceError): Promise<Lease> {
    const patience = AbortSignal.timeout(patienceMs);
    try {
      const both = signal ? AbortSignal.any([signal, patience]) : patience;
      return await source.lease({ kin: kinOf(held.hello), purpose: o.purpose }, { signal: both });
    } catch (error) {
      signal?.throwIfAborted();
      if (!patience.aborted) throw error;
      const seconds = Math.round(patienceMs / 1000);
      throw new DeviceError(
        lost.code,
        `${held.name}: ${lost.message}; neither it nor another of its kind came back within ${seconds} s`,
        { hint: lost.hint, cause: lost },
      );
    }
  }

  const attach = async (lost?: DeviceError): Promise<Lease> => {
    if (!lost || !first) {
      const wanted = { name: o.name, purpose: o.purpose };
      first = await setUp(await source.lease(wanted, { signal, onWait: (why) => note(`${why}; waiting`) }));
      return first;
    }
    const lease = await setUp(await again(first, lost));
    if (factsFor(lease) === factsFor(first)) return lease;
    await lease.link.close();
    throw new DeviceError("device-changed", `${lease.name} came back as another device than it was`, {
      hint: "its browser was updated or lost its isolation; start again, nothing measured before can be compared",
    });
  };
  return openLastingRunner({
    attach,
    graphOptimizationLevel,
    onLost: (reason) =>
      note(
        `${first?.name}: ${reason.message}. Waiting for it, or another of its kind, for ${Math.round(patienceMs / 1000)} s`,
      ),
  });
}

async function configure(lease: Lease, provider: WebProvider, threads: number): Promise<void> {
  const { page } = lease.hello;
  if (page?.provider === provider && (page.threads === threads || !page.isolated)) return;
  if (provider === "webgpu" && page && !page.adapter) {
    throw new DeviceError("provider-missing", `${lease.name} has no WebGPU`, {
      hint: page.secure ? "its browser or its GPU does not offer it" : "WebGPU needs https: edgefit hub --https",
    });
  }
  lease.hello = (await lease.link.ask<"configure">({ type: "configure", provider, threads })) as Hello;
}

/** WebGPU must win by more than this share, so that two that are as fast do not change places from run to run. */
const MARGIN = 0.05;

/**
 * WebAssembly, unless WebGPU computes the same and is faster on the probe. Not tried on iOS, whose WebGPU takes pages down after some
 * hundred calls (onnxruntime#26827), nor on an adapter in software, whose times are nobody's.
 */
async function fasterOf(
  lease: Lease,
  probe: Probe | undefined,
  threads: number,
  note: (text: string) => void,
): Promise<WebProvider> {
  const { page } = lease.hello;
  const ios = factsOf(lease.hello, "all").os.platform === "ios";
  if (!probe || !page?.adapter || page.adapter.isFallback || ios) return "wasm";
  const wasm = await tryOut(lease, "wasm", threads, probe);
  let gpu: Tried;
  try {
    gpu = await tryOut(lease, "webgpu", threads, probe);
  } catch (error) {
    if (isLoss(error)) throw error;
    note(`${lease.name}: WebGPU cannot run the model (${(error as Error).message}); WebAssembly is taken`);
    return "wasm";
  }
  const { ok, failure } = goldenCheck(gpu.outputs, wasm.outputs, { absolute: 1e-3, relative: 1e-3 });
  const chosen = ok && gpu.ms < wasm.ms * (1 - MARGIN) ? "webgpu" : "wasm";
  const times = `WebAssembly ${wasm.ms.toPrecision(3)} ms, WebGPU ${gpu.ms.toPrecision(3)} ms`;
  note(
    ok
      ? `${lease.name}: ${times}; ${chosen === "wasm" ? "WebAssembly" : "WebGPU"} is taken`
      : `${lease.name}: WebGPU computes something else (${failure}); WebAssembly is taken`,
  );
  return chosen;
}

interface Tried {
  ms: number;
  outputs: Record<string, WireTensor>;
}

async function tryOut(lease: Lease, provider: WebProvider, threads: number, { model, feeds }: Probe): Promise<Tried> {
  await configure(lease, provider, threads);
  const { id } = await lease.link.ask<"load">({
    type: "load",
    bytes: model,
    threads: lease.hello.page!.threads,
    graphOptimizationLevel: "all",
    profiling: false,
  });
  const sent = Object.fromEntries(Object.entries(feeds).map(([k, t]) => [k, { ...t, dims: [...t.dims] }]));
  const outputs = await lease.link.ask<"run">({ type: "run", model: id, feeds: sent });
  const [row] = await lease.link.ask<"measure">({
    type: "measure",
    models: [{ id, feeds: sent }],
    warmup: 3,
    minSamples: 10,
    minTimeMs: 500,
    maxTimeMs: 10_000,
  });
  await lease.link.ask<"unload">({ type: "unload", model: id });
  return { ms: median(row.samplesMs), outputs };
}
