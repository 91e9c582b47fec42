/** A Redis server of its own for a test: append-only file on, in a scratch folder, on a free port, ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { hasProgram, needsPackages } from "./debian.js";

const missing = needsPackages(["redis-server"], () => hasProgram("redis-server"));
export const hasRedis = missing === null;
/** For the name of a skipped test. */
export const NEEDS_REDIS = missing === null ? "" : ` (${missing})`;

export interface TestRedis {
  url: string;
  /** Ends the process at once, as a power cut would. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Of the running process. */
  pid(): number;
  close(): Promise<void>;
}

/** Starts a server; `password` is asked of everyone when given. */
export async function startRedis(o: { password?: string } = {}): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), "edgefit-redis-"));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const url = `redis://${o.password ? `:${o.password}@` : ""}127.0.0.1:${port}`;
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGKILL");
    await ended;
  };
  const start = async (): Promise<void> => {
    const settings = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
    const lasting = ["--appendonly", "yes", "--appendfsync", "always"];
    const secret = o.password ? ["--requirepass", o.password] : [];
    child = spawn("redis-server", [...settings, ...lasting, ...secret], { stdio: "ignore" });
    const probe = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
    probe.on("error", () => {});
    while ((await probe.ping().catch(() => "loading")) !== "PONG") await new Promise((r) => setTimeout(r, 50));
    probe.disconnect();
  };
  await start();
  return {
    url,
    kill,
    start,
    pid: () => child!.pid!,
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A port that nobody listens on. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
