/**
 * A run of jobs while workers, the server of blobs and Redis are killed at random: every result must come, none twice.
 *
 *   npx tsx test/bench/fleetKills.ts [--jobs 500] [--kills 20] [--seed 1]
 *
 * Needs redis-server. A kill is SIGKILL, as a power cut; what was killed is started again a second later.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import {
  classQueue,
  httpBlobs,
  jobAnswerSchema,
  openRedis,
  PREFIX,
  parseQueue,
  Submitter,
} from "../../runners/fleet/index.js";
import { freePort, startRedis } from "../support/redis.js";
import { type FleetProcess, measurementJobs, recordDelays, startProcess } from "./fleetParts.js";

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "500" },
    kills: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
  },
});
const WORKERS = 6;
const DOWN_MS = 1_000;
const random = xoroshiro128plus(Number(values.seed));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const folder = mkdtempSync(join(tmpdir(), "edgefit-kills-"));
const server = await startRedis();
const shared = { queue: server.url, blobs: folder, port: await freePort(), token: "kills-token" };
const delays = (await recordDelays(20)).map((d) => d.toFixed(1)).join();
const start = (i: number): Promise<FleetProcess> =>
  i === 0 ? startProcess({ ...shared, role: "blobs" }) : startProcess({ ...shared, first: i, devices: 1, delays });
const nameOf = (victim: number): keyof typeof killed =>
  victim > WORKERS ? "Redis" : victim === 0 ? "server of blobs" : "worker";
const killed = { worker: 0, "server of blobs": 0, Redis: 0 };
const fleet: FleetProcess[] = [];
try {
  for (let i = 0; i <= WORKERS; i++) fleet[i] = await start(i);
  const blobs = httpBlobs(`http://127.0.0.1:${shared.port}`, shared.token);
  const submitter = await Submitter.open(parseQueue(server.url), classQueue("simulated"));
  const jobs = await measurementJobs(blobs, "kills", Number(values.jobs));
  const results = new Map<number, string[]>();
  const began = performance.now();
  const all = Promise.all(
    jobs.map(async (job) => {
      const { answer } = jobAnswerSchema.parse(await submitter.ask(job));
      results.set(job.step, [...(results.get(job.step) ?? []), answer]);
    }),
  );
  // Evenly over the run, so that each finds work to break.
  for (let k = 0; k < Number(values.kills); k++) {
    while (results.size < (jobs.length * (k + 1)) / (Number(values.kills) + 1)) await pause(20);
    const victim = uniformInt(random, 0, WORKERS + 1);
    console.error(`kill ${k + 1} at ${results.size} of ${jobs.length} results: ${nameOf(victim)}`);
    killed[nameOf(victim)]++;
    if (victim > WORKERS) {
      await server.kill();
      await pause(DOWN_MS);
      await server.start();
    } else {
      fleet[victim].child.kill("SIGKILL");
      await pause(DOWN_MS);
      fleet[victim] = await start(victim);
    }
  }
  await all;
  const redis = await openRedis(parseQueue(server.url));
  const completed = await redis.zcard(`${PREFIX}:${classQueue("simulated")}:completed`);
  const open = await redis.llen(`${PREFIX}:${classQueue("simulated")}:wait`);
  redis.disconnect();
  await submitter.close();
  const twice = [...results.values()].filter((r) => r.length !== 1).length;
  console.log(
    `${jobs.length} jobs; killed ${Object.entries(killed)
      .map(([what, n]) => `${what} ${n} times`)
      .join(", ")}: ${results.size} results, ${jobs.length - results.size} lost, ${twice} twice; ` +
      `the queue counts ${completed} done and ${open} waiting; ${((performance.now() - began) / 1000).toFixed(0)} s`,
  );
  if (results.size !== jobs.length || twice > 0 || completed !== jobs.length || open > 0) process.exitCode = 1;
} finally {
  for (const p of fleet) p?.child.kill("SIGKILL");
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
