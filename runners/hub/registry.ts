/**
 * The devices of a hub: their names, who works on which, and who waits for one. A device serves one host at a time: two would
 * spoil each other's times.
 */
import { DeviceError } from "../errors.js";
import type { Answers, Request, RequestOf } from "../protocol.js";
import type { Link } from "../remote.js";
import type { DeviceFacts } from "../runner.js";
import { type Beat, CLOSED, type Hello, type Note } from "../web/hello.js";
import { deviceName, factsOf } from "./facts.js";
import type { JoinedDevice } from "./joined.js";

/** A device as lists show it. */
export interface DeviceState {
  name: string;
  facts: DeviceFacts;
  /** What a page may use; null for programs. */
  page: Pick<NonNullable<Hello["page"]>, "isolated" | "secure" | "adapter"> | null;
  /** What is done on it; null while it is free. */
  busy: string | null;
  /** Its last sign of life while it works. */
  beat: Beat | null;
  /** ISO 8601. */
  since: string;
}

export interface Wanted {
  /** Default: any. */
  name?: string;
  /** Only a device of this kin: see `kinOf`. */
  kin?: string;
  /** For people: what the device is taken for. */
  purpose?: string;
}

/** A device that is held by one host. */
export interface Lease {
  readonly name: string;
  hello: Hello;
  link: Link;
  tell(note: Note): void;
  gone: Promise<DeviceError>;
}

export interface RegistryEvent {
  event: "joined" | "left" | "taken" | "freed";
  device: DeviceState;
  /** Why it left. */
  reason?: string;
}

/** What two devices share of which one may go on where the other stopped: the same model, system, browser and runtime. */
export function kinOf(hello: Hello): string {
  const wasm = hello.page ? { ...hello, page: { ...hello.page, provider: "wasm" as const } } : hello;
  const { hardware, os, runtime, emulated } = factsOf(wasm, "all");
  const { cpu, cores, isa } = hardware;
  return JSON.stringify([
    cpu,
    cores,
    isa,
    os.platform,
    os.arch,
    os.release,
    runtime.package,
    runtime.version,
    emulated,
  ]);
}

interface Entry {
  name: string;
  device: JoinedDevice;
  busy: string | null;
  beat: Beat | null;
  since: string;
  /** Until the device's last host has left it clean. */
  cleaning: boolean;
}

/** A held device that does not stop within this time is dismissed. */
const RELEASE_MS = 15_000;

export class Registry {
  private readonly entries = new Map<string, Entry>();
  /** Names given before, by device id, so that a reloaded page has its old one. */
  private readonly names = new Map<string, string>();
  private readonly listeners = new Set<(e: RegistryEvent) => void>();
  private readonly waiters = new Set<() => void>();

  /** Calls `listener` from now on; returns a function that ends it. */
  watch(listener: (e: RegistryEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  list(): DeviceState[] {
    return [...this.entries.values()].map(stateOf);
  }

  /** A greeted device; one with the same id that is still here is replaced. */
  add(device: JoinedDevice): void {
    const id = device.hello.device?.id;
    const name = this.nameFor(device.hello);
    const former = this.entries.get(name);
    if (former) {
      const why = new DeviceError(
        "device-lost",
        "the device has gone: it joined again, in another tab or after a reload",
      );
      this.remove(former, why);
      former.device.dismiss(why, CLOSED.replaced);
    }
    if (id) this.names.set(id, name);
    const entry: Entry = { name, device, busy: null, beat: null, since: new Date().toISOString(), cleaning: false };
    this.entries.set(name, entry);
    device.onBeat = (beat) => {
      entry.beat = beat;
    };
    device.named(name);
    void device.gone.then((reason) => this.remove(entry, reason));
    this.tell({ event: "joined", device: stateOf(entry) });
    this.wake();
  }

  /**
   * The wanted device for this host alone, as soon as it is here and free. `onWait` is told, in a few words, why it is not.
   * Aborting ends the wait with the signal's reason.
   */
  async lease(wanted: Wanted, o: { signal?: AbortSignal; onWait?(why: string): void } = {}): Promise<Lease> {
    let told = "";
    for (;;) {
      o.signal?.throwIfAborted();
      const fitting = [...this.entries.values()].filter((e) => fits(e, wanted));
      const free = fitting.find((e) => e.busy === null && !e.cleaning);
      if (free) return this.take(free, wanted.purpose ?? "work");
      const why = fitting.length
        ? `${fitting[0].name} is busy: ${fitting[0].busy ?? "finishing"}`
        : wanted.name === undefined
          ? "no device has joined"
          : `${wanted.name} has not joined`;
      if (why !== told) o.onWait?.(why);
      told = why;
      await this.change(o.signal);
    }
  }

  private take(entry: Entry, purpose: string): Lease {
    const { device, name } = entry;
    entry.busy = purpose;
    this.tell({ event: "taken", device: stateOf(entry) });
    device.tell({ title: purpose, stage: "", done: 0, total: 0 });
    const loaded = new Set<number>();
    const stop = new AbortController();
    let open = 0;
    const ask = async <T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]> => {
      stop.signal.throwIfAborted();
      const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      open++;
      try {
        const answer = await device.link.ask<T>(request, both);
        if (request.type === "load") loaded.add((answer as Answers["load"]).id);
        if (request.type === "configure") {
          loaded.clear();
          device.hello = answer as Hello;
        }
        return answer;
      } finally {
        const asked: Request = request;
        if (asked.type === "unload" || asked.type === "profile") loaded.delete(asked.model);
        open--;
      }
    };
    let released: Promise<void> | undefined;
    const release = async (): Promise<void> => {
      entry.cleaning = true;
      const patience = setTimeout(() => {
        const why = new DeviceError("device-silent", "the device did not stop when its host had left it");
        device.dismiss(why, CLOSED.silent);
      }, RELEASE_MS);
      patience.unref();
      stop.abort(new DeviceError("runner-closed", "the device runner was closed"));
      const here = () => this.entries.get(name) === entry;
      // Stopping takes until the end of the call that runs; only then is it free of what it was given.
      while (open > 0 && here()) await new Promise((r) => setTimeout(r, 20));
      for (const id of loaded) await device.link.ask<"unload">({ type: "unload", model: id }).catch(() => undefined);
      clearTimeout(patience);
      entry.busy = entry.beat = null;
      device.tell({ title: "", stage: "", done: 0, total: 0 });
      entry.cleaning = false;
      if (here()) this.tell({ event: "freed", device: stateOf(entry) });
      this.wake();
    };
    return {
      name,
      hello: device.hello,
      gone: device.gone,
      tell: device.tell,
      link: {
        ask,
        close: () => {
          released ??= release();
          return released;
        },
      },
    };
  }

  private remove(entry: Entry, reason: DeviceError): void {
    if (this.entries.get(entry.name) !== entry) return;
    this.entries.delete(entry.name);
    this.tell({ event: "left", device: stateOf(entry), reason: reason.message });
    this.wake();
  }

  private nameFor(hello: Hello): string {
    const known = hello.device && this.names.get(hello.device.id);
    if (known) return known;
    const base = deviceName(hello);
    const taken = (name: string) => this.entries.has(name) || [...this.names.values()].includes(name);
    let name = base;
    for (let n = 2; taken(name); n++) name = `${base}-${n}`;
    return name;
  }

  private tell(e: RegistryEvent): void {
    for (const listener of this.listeners) listener(e);
  }

  private change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.waiters.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      this.waiters.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }
}

const fits = (e: Entry, w: Wanted): boolean =>
  (w.name === undefined || e.name === w.name) && (w.kin === undefined || kinOf(e.device.hello) === w.kin);

function stateOf({ name, device, busy, beat, since }: Entry): DeviceState {
  const { hello } = device;
  const page = hello.page
    ? { isolated: hello.page.isolated, secure: hello.page.secure, adapter: hello.page.adapter }
    : null;
  return { name, facts: factsOf(hello, "all", name), page, busy, beat, since };
}
