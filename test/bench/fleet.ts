/**
 * Measurement jobs over simulated devices, on a real Redis: throughput against the ideal, processor time per job.
 *
 *   npx tsx test/bench/fleet.ts [--jobs 1000] [--devices 8,1,64,256]
 *
 * Needs redis-server. Up to eight devices are a process each, more share eight processes. The ideal is the sum of the devices'
 * delays over their number: nothing but waiting.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { classQueue, folderBlobs, jobAnswerSchema, parseQueue, Submitter } from "../../runners/fleet/index.js";
import { openLocalRunner } from "../../runners/index.js";
import { startRedis } from "../support/redis.js";
import { measurementJobs, recordDelays, startProcess } from "./fleetParts.js";
import { head, header, row } from "./header.js";

const { values } = parseArgs({
  options: { jobs: { type: "string", default: "1000" }, devices: { type: "string", default: "8,1,64,256" } },
});
const MOST_PROCESSES = 8;

const runner = await openLocalRunner();
const delays = await recordDelays(20);
console.log(
  header(
    await runner.describe(),
    `Redis with an append-only file, fsync always; ${delays.length} recorded delays, ${Math.min(...delays).toFixed(0)} to ${Math.max(...delays).toFixed(0)} ms`,
  ),
);
await runner.close();
console.log(
  head(
    "devices",
    "processes",
    "jobs",
    "seconds",
    "ideal",
    "throughput of the ideal",
    "devices' CPU per job, ms",
    "asking CPU per job, ms",
    "Redis' CPU per job, ms",
  ),
);

for (const devices of values.devices.split(",").map(Number)) {
  const jobs = devices === 8 ? Number(values.jobs) : Math.min(Number(values.jobs), Math.max(50, 8 * devices));
  const folder = mkdtempSync(join(tmpdir(), "edgefit-fleet-"));
  const server = await startRedis();
  try {
    const blobs = folderBlobs(folder);
    const processes = Math.min(devices, MOST_PROCESSES);
    const fleet = await Promise.all(
      Array.from({ length: processes }, (_, p) => {
        const first = Math.floor((p * devices) / processes);
        return startProcess({
          queue: server.url,
          blobs: folder,
          first,
          devices: Math.floor(((p + 1) * devices) / processes) - first,
          delays: delays.map((d) => d.toFixed(1)).join(),
        });
      }),
    );
    const submitter = await Submitter.open(parseQueue(server.url), classQueue("simulated"));
    const asked = await measurementJobs(blobs, "bench", jobs);
    const redisBefore = cpuMsOf(server.pid());
    const own = process.cpuUsage();
    const start = performance.now();
    const answers = await Promise.all(asked.map(async (job) => jobAnswerSchema.parse(await submitter.ask(job))));
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(own);
    const redisMs = cpuMsOf(server.pid()) - redisBefore;
    await submitter.close();
    let deviceMs = 0;
    for (const p of fleet) deviceMs += await p.stop();
    const ideal = asked.reduce((s, j) => s + delays[j.step % delays.length], 0) / 1000 / devices;
    const busy = new Set(answers.map((a) => a.by)).size;
    if (busy < devices) console.log(`${devices - busy} of ${devices} devices had no job`);
    console.log(
      row(
        devices,
        processes,
        jobs,
        seconds.toFixed(2),
        ideal.toFixed(2),
        `${((100 * ideal) / seconds).toFixed(1)} %`,
        (deviceMs / jobs).toFixed(1),
        ((user + system) / 1000 / jobs).toFixed(1),
        (redisMs / jobs).toFixed(1),
      ),
    );
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Processor time of a process in ms, as Linux tells it. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
