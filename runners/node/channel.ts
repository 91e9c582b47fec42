/**
 * The host's end of a worker process: starts it, asks, and turns its end, however it comes, into DeviceErrors.
 * The worker never keeps the host alive: while nothing is asked, its handles do not hold the event loop.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { DeviceError, fromErrorData } from "../errors.js";
import { type Answers, type FromWorker, PROTOCOL_VERSION, type Ready, type RequestOf } from "../protocol.js";
import { Requests } from "../requests.js";
import type { EngineName } from "./engineOptions.js";
import type { ProviderName } from "./providers.js";

const KEPT_LINES = 20;
const CLOSE_GRACE_MS = 2000;

/** What the worker's process runs. */
export interface WorkerOptions {
  engine: EngineName;
  threads: number;
  provider: ProviderName;
  allowFallback: boolean;
  /** Receives what the runtime writes; without it only errors are asked for. */
  log?: (line: string) => void;
}

export class WorkerChannel {
  private readonly child: ChildProcess;
  private readonly folder = mkdtempSync(join(tmpdir(), "edgefit-runner-"));
  private readonly requests = new Requests(
    // A failed send means the process is going; its end then rejects what is open.
    (message) => this.child.connected && this.child.send(message, () => {}),
    (busy) => this.hold(busy),
  );
  private readonly lines: string[] = [];
  private readonly ended: Promise<void>;
  private greet: { resolve: (ready: Ready) => void; reject: (reason: DeviceError) => void } | null = null;
  private closing: Promise<void> | null = null;
  private started!: Ready;

  /** Starts the worker and waits until it can be asked. Throws DeviceError when the runtime cannot be loaded. */
  static async open(o: WorkerOptions): Promise<WorkerChannel> {
    const channel = new WorkerChannel(o);
    try {
      channel.started = await channel.greeting();
    } catch (error) {
      await channel.close();
      throw error;
    }
    channel.hold(false);
    return channel;
  }

  private constructor(private readonly o: WorkerOptions) {
    const { log, engine, threads, provider, allowFallback } = o;
    const here = fileURLToPath(import.meta.url);
    const fromSource = here.endsWith(".ts");
    const tsx = () => pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const worker = join(here, `../worker.${fromSource ? "ts" : "js"}`);
    this.child = fork(
      worker,
      [
        this.folder,
        log ? "verbose" : "quiet",
        engine,
        String(threads),
        provider,
        allowFallback ? "allow-fallback" : "strict",
      ],
      {
        // Under an emulator, the program of this process cannot be started as it is.
        ...(process.env.EDGEFIT_NODE && { execPath: process.env.EDGEFIT_NODE }),
        serialization: "advanced",
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        execArgv: fromSource ? ["--import", tsx()] : [],
      },
    );
    this.listen(this.child.stdout);
    this.listen(this.child.stderr);
    this.child.on("message", (m: FromWorker) => this.receive(m));
    this.child.on("error", (cause) => {
      this.finish(new DeviceError("runtime-process", `the runtime's process failed: ${cause.message}`, { cause }));
    });
    const exited = new Promise<void>((resolve) => {
      this.child.on("exit", () => resolve());
      if (this.child.pid === undefined) resolve(); // it never started, and `error` tells why
    });
    // Not the child's `close` event: it never comes once this side has disconnected.
    this.ended = Promise.all([exited, ended(this.child.stdout), ended(this.child.stderr)]).then(() => {
      this.finish(this.crash(this.child.exitCode, this.child.signalCode));
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  /** What the worker said of itself when it started. */
  get ready(): Ready {
    return this.started;
  }

  /** Process id of the worker. */
  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Sends a request and waits for its answer. Aborting rejects with the signal's reason once the worker has stopped. */
  ask<T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]> {
    return this.requests.ask(request, signal);
  }

  /** Ends the worker and removes its folder; later and concurrent calls wait for the same end. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const busy = this.requests.size > 0;
    this.finish(new DeviceError("runner-closed", "the device runner was closed"));
    this.hold(true);
    if (this.child.connected) this.child.disconnect();
    // A call into the runtime cannot be interrupted, only its process can.
    if (busy) this.child.kill("SIGKILL");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), CLOSE_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  private async greeting(): Promise<Ready> {
    const ready = await new Promise<Ready>((resolve, reject) => {
      this.greet = { resolve, reject };
    });
    if (ready.protocol === PROTOCOL_VERSION) return ready;
    throw new DeviceError(
      "protocol-version",
      `the device speaks protocol ${ready.protocol}, this edgefit ${PROTOCOL_VERSION}`,
      {
        hint: "run the same version of edgefit on both sides",
      },
    );
  }

  private receive(m: FromWorker): void {
    if (!("ready" in m)) this.requests.receive(m);
    else if (m.ready) this.greet?.resolve(m);
    else {
      const { code, message } = m.error;
      const hint = "edgefit runs where onnxruntime-node has a binary: Linux x64/arm64 (glibc), macOS arm64, Windows";
      const missing = new DeviceError(
        "runtime-missing",
        `ONNX Runtime could not be started: ${message.split("\n")[0]}`,
        { hint },
      );
      this.greet?.reject(code === "provider-missing" ? fromErrorData(m.error) : missing);
    }
  }

  private finish(reason: DeviceError): void {
    this.greet?.reject(reason);
    this.requests.end(reason);
    if (this.child.exitCode !== null || this.child.signalCode !== null)
      rmSync(this.folder, { recursive: true, force: true });
  }

  private crash(code: number | null, signal: string | null): DeviceError {
    const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
    const last = this.lines
      .filter((l) => l.trim() !== "")
      .slice(-3)
      .join(" | ");
    return new DeviceError(
      "runtime-crashed",
      `the process of ONNX Runtime ${how}${last ? `; its last words: ${last}` : ""}`,
      {
        hint:
          signal === "SIGKILL"
            ? "the system may have run out of memory"
            : "the model may use an operator in a way the runtime does not survive",
      },
    );
  }

  private listen(stream: NodeJS.ReadableStream | null): void {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) {
        this.lines.push(line);
        if (this.lines.length > KEPT_LINES) this.lines.shift();
        this.o.log?.(line);
      }
    });
  }

  /** Whether the worker's handles keep the host's event loop alive. */
  private hold(on: boolean): void {
    for (const handle of [
      this.child,
      this.child.channel,
      this.child.stdout as Socket | null,
      this.child.stderr as Socket | null,
    ]) {
      if (on) handle?.ref();
      else handle?.unref();
    }
  }
}

/** Settles when the stream has given all it had. */
const ended = (stream: NodeJS.ReadableStream | null): Promise<void> =>
  new Promise((resolve) => {
    if (stream) stream.once("close", resolve);
    else resolve();
  });
