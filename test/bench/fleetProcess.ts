/**
 * One process of a simulated fleet: devices that answer a measurement after a recorded delay, or the server of blobs. Started by
 * fleet.ts and fleetKills.ts; writes `ready` and, on SIGTERM, its processor time since then in milliseconds.
 */
import { parseArgs } from "node:util";
import fastify from "fastify";
import {
  cachedBlobs,
  folderBlobs,
  httpBlobs,
  offerBlobs,
  openDeviceWorker,
  openRedis,
  parseQueue,
  serveBlobs,
} from "../../runners/fleet/index.js";
import type { DeviceRunner } from "../../runners/index.js";
import { measurement } from "../runners/fakeDevice.js";

const { values } = parseArgs({
  options: {
    role: { type: "string" },
    queue: { type: "string" },
    blobs: { type: "string" },
    port: { type: "string" },
    token: { type: "string" },
    first: { type: "string" },
    devices: { type: "string" },
    delays: { type: "string" },
  },
});
const address = parseQueue(values.queue!);
const redis = await openRedis(address);
const closers: (() => Promise<unknown>)[] = [];

if (values.role === "blobs") {
  const app = fastify({ logger: false, forceCloseConnections: true });
  await serveBlobs(app, folderBlobs(values.blobs!), values.token!);
  await app.listen({ host: "127.0.0.1", port: Number(values.port) });
  await offerBlobs(redis, { url: `http://127.0.0.1:${values.port}`, token: values.token! });
  closers.push(() => app.close());
} else {
  const blobs = cachedBlobs(
    values.token ? httpBlobs(`http://127.0.0.1:${values.port}`, values.token) : folderBlobs(values.blobs!),
  );
  const delays = values.delays!.split(",").map(Number);
  for (let i = 0; i < Number(values.devices); i++) {
    const id = `simulated-${Number(values.first) + i}`;
    const worker = await openDeviceWorker({
      address,
      redis,
      runner: simulated(id, delays),
      blobs,
      id,
      class: "simulated",
      version: "bench",
    });
    closers.push(() => worker.close());
  }
}
const atReady = process.cpuUsage();
process.on("SIGTERM", async () => {
  const { user, system } = process.cpuUsage(atReady);
  console.log(`cpu ${(user + system) / 1000}`);
  await Promise.allSettled(closers.map((close) => close()));
  process.exit(0);
});
console.log("ready");

/** A device that computes nothing: it waits as long as a real one took for the job with this seed. */
function simulated(id: string, delays: readonly number[]): DeviceRunner {
  let last = 0;
  return {
    describe: async () => ({
      id,
      kind: "node-cpu",
      hardware: { cpu: "none", cores: 1, isa: [], memoryBytes: null },
      os: { platform: "none", arch: "none", release: null },
      runtime: { package: "none", version: "0", provider: "none", threads: 1, graphOptimizationLevel: "all" },
      conditions: { governor: null, temperatureC: null, charging: null },
      emulated: true,
      clockMs: 0.001,
    }),
    load: async () => ({ id: ++last, initMs: 0, inputs: [], outputs: [], residentBytes: null }),
    run: async () => ({}),
    async measure({ models, seed = 0 }) {
      const ms = delays[seed % delays.length];
      await new Promise((resolve) => setTimeout(resolve, ms));
      return models.map(({ id }) => measurement(id, [ms]));
    },
    profile: async () => ({ nodes: [], callsUs: new Float64Array() }),
    unload: async () => {},
    close: async () => {},
  };
}
