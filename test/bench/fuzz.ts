/**
 * Damaged files: none may crash, hang, allocate without bound, read outside its folder, or fail with anything but a
 * sentence for the user.
 *
 *   npx tsx test/bench/fuzz.ts [--files 20000] [--seed 1] [--workers 2] [--from 0]
 *   npx tsx test/bench/fuzz.ts --replay 1234 [--seed 1] [--save damaged.onnx]
 *
 * File i is made from (seed, i) alone: a sound model (built in code, or a third-party one where present), changed in its fields,
 * its structure and its bytes. It is then read, tidied, raised, its shapes inferred, its channels grouped and cut, written, and what
 * was written read again, in a process of its own kind. Limits: 2 s of processor time (20 s of waiting) and 1 GB per process.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { CaseResult } from "../support/fuzzCase.js";
import { head, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    files: { type: "string", default: "20000" },
    from: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    workers: { type: "string", default: "2" },
    replay: { type: "string" },
    save: { type: "string" },
  },
});

const CPU_LIMIT_MS = 2000;
const WALL_LIMIT_MS = 20_000;
const MEMORY_LIMIT_BYTES = 2 ** 30;

type Outcome = CaseResult["outcome"] | "crash" | "timeout" | "over memory";

interface Failure {
  index: number;
  outcome: Outcome;
  detail: string;
}

const root = mkdtempSync(join(tmpdir(), "edgefit-fuzz-"));
mkdirSync(join(root, "model"));
const seed = Number(flags.seed);

async function replay(index: number): Promise<void> {
  const { prepareFolder, makeCase, runCase } = await import("../support/fuzzCase.js");
  prepareFolder(root);
  const c = makeCase(seed, index);
  if (flags.save) writeFileSync(flags.save, c.bytes);
  const start = process.cpuUsage();
  const result = runCase(c, join(root, "model"));
  const { user, system } = process.cpuUsage(start);
  console.log({
    model: c.model,
    mutations: c.mutations,
    sizeBytes: c.bytes.length,
    ...result,
    cpuMs: (user + system) / 1000,
    peakMB: process.resourceUsage().maxRSS / 1000,
  });
}

/** Runs the files of one worker process after another until none is left. */
async function work(
  next: () => number | undefined,
  report: (index: number, outcome: Outcome, r: Partial<CaseResult>) => void,
): Promise<void> {
  let child: ChildProcess | undefined;
  for (let index = next(); index !== undefined; index = next()) {
    child ??= await start();
    const [outcome, result] = await one(child, index);
    report(index, outcome, result);
    if (outcome === "crash" || outcome === "timeout" || outcome === "over memory") {
      child.kill("SIGKILL");
      child = undefined;
    }
  }
  child?.disconnect();
}

/** A worker process that has loaded everything it needs. */
async function start(): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, "../support/fuzzWorker.ts"), [root, String(seed)], {
    execArgv: [...process.execArgv, "--max-old-space-size=900"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`a worker process ended with ${code} before its first file`)));
  });
  return child;
}

function one(child: ChildProcess, index: number): Promise<[Outcome, Partial<CaseResult>]> {
  return new Promise((resolve) => {
    let peakBytes = 0;
    const finish = (outcome: Outcome, r: Partial<CaseResult>): void => {
      clearInterval(watch);
      clearTimeout(limit);
      child.off("message", answered);
      child.off("exit", died);
      resolve([outcome, r]);
    };
    const answered = (m: CaseResult): void => {
      if (m.peakBytes > MEMORY_LIMIT_BYTES) finish("over memory", m);
      else if (m.cpuMs > CPU_LIMIT_MS && m.outcome !== "unhandled") finish("timeout", m);
      else finish(m.outcome, m);
    };
    const died = (code: number | null, signal: string | null): void =>
      finish(peakBytes > 0.8 * MEMORY_LIMIT_BYTES ? "over memory" : "crash", {
        detail: `exit ${code ?? signal}`,
        peakBytes,
      });
    const watch = setInterval(() => {
      const now = residentBytes(child.pid);
      peakBytes = Math.max(peakBytes, now);
      if (now > MEMORY_LIMIT_BYTES) finish("over memory", { peakBytes });
    }, 100);
    const limit = setTimeout(() => finish("timeout", { detail: "no answer" }), WALL_LIMIT_MS);
    child.on("message", answered);
    child.on("exit", died);
    child.send(index);
  });
}

/** Memory of a process now; 0 where the system does not say. */
function residentBytes(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === undefined) throw e;
    return 0;
  }
}

async function main(): Promise<void> {
  const files = Number(flags.files);
  const from = Number(flags.from);
  const counts = new Map<Outcome, number>();
  const codes = new Map<string, number>();
  const failures: Failure[] = [];
  let blamed = 0;
  let slowestMs = 0;
  let peakBytes = 0;
  let done = 0;
  let next = from;
  const report = (index: number, outcome: Outcome, r: Partial<CaseResult>): void => {
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    if (r.code) codes.set(r.code, (codes.get(r.code) ?? 0) + 1);
    if (r.blamed) blamed++;
    slowestMs = Math.max(slowestMs, r.cpuMs ?? 0);
    peakBytes = Math.max(peakBytes, r.peakBytes ?? 0);
    if ((outcome !== "accepted" && outcome !== "refused") || r.blamed)
      failures.push({ index, outcome, detail: r.detail ?? "" });
    if (++done % 1000 === 0) console.error(`${done} of ${files}; ${failures.length} to look at`);
  };
  await Promise.all(
    Array.from({ length: Number(flags.workers) }, () => work(() => (next < from + files ? next++ : undefined), report)),
  );
  const outcomes: Outcome[] = ["accepted", "refused", "crash", "unhandled", "timeout", "over memory"];
  console.log(
    `seed ${seed}, files ${from} to ${from + files - 1}; Node ${process.versions.node}; ${new Date().toISOString().slice(0, 10)}\n`,
  );
  console.log(head("files", ...outcomes, "refused as a bug of edgefit", "slowest, CPU s", "peak MB"));
  console.log(
    row(
      files,
      ...outcomes.map((o) => counts.get(o) ?? 0),
      blamed,
      (slowestMs / 1000).toFixed(2),
      Math.round(peakBytes / 1e6),
    ),
  );
  console.log(
    `\nrefusals by code: ${[...codes]
      .sort((a, b) => b[1] - a[1])
      .map(([c, n]) => `${c} ${n}`)
      .join(", ")}`,
  );
  const kinds = new Map<string, Failure[]>();
  for (const f of failures)
    kinds.set(`${f.outcome}: ${f.detail}`, [...(kinds.get(`${f.outcome}: ${f.detail}`) ?? []), f]);
  for (const [kind, list] of [...kinds].sort((a, b) => b[1].length - a[1].length))
    console.log(
      `${list.length} x ${kind}  (files ${list
        .slice(0, 5)
        .map((f) => f.index)
        .join(", ")})`,
    );
  if (failures.some((f) => f.outcome !== "refused")) process.exitCode = 1;
}

try {
  await (flags.replay === undefined ? main() : replay(Number(flags.replay)));
} finally {
  rmSync(root, { recursive: true, force: true });
}
