/**
 * The model zoo: every model of a corpus folder (made by test/corpus/export.py), all its groups cut to random widths, the written
 * file run in ONNX Runtime and compared with the masked net. Each model has a process of its own.
 *
 *   npx tsx test/bench/zoo.ts DIR [--only NAME …] [--seed 1] [--share 0.6] [--json zoo.json] [--verbose] [--peers peers.json]
 *
 * `--json` writes the results to a file, from which a later call takes those that are there. With the file that test/corpus/peers.py writes, the table is the one of docs/coverage.md: the peers beside us.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { passes, tryModel, type ZooResult, zooModels } from "../support/zoo.js";
import { head, percent, row } from "./header.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", multiple: true },
    seed: { type: "string", default: "1" },
    share: { type: "string", default: "0.6" },
    json: { type: "string" },
    verbose: { type: "boolean", default: false },
    peers: { type: "string" },
    child: { type: "string" },
  },
});
const [dir] = positionals;
if (!dir) throw new Error("which folder? npx tsx test/bench/zoo.ts DIR");

type Outcome = { name: string; result: ZooResult } | { name: string; failure: string };

/** The last `Error: …` line of a child that died, or how it ended. */
function failureOf(e: { stderr?: string; signal?: string | null; status?: number | null }): string {
  const lines = (e.stderr ?? "").split("\n").filter((l) => /(Error|Exception)\b.*:/.test(l));
  return lines[0]?.trim().slice(0, 300) ?? `ended with ${e.signal ?? `exit code ${e.status}`}`;
}

function inChild(name: string): Outcome {
  const args = ["--import", "tsx", import.meta.filename, dir, "--child", name];
  args.push("--seed", flags.seed, "--share", flags.share);
  try {
    const out = execFileSync(process.execPath, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 1 << 28,
      timeout: 300_000,
    });
    return { name, result: JSON.parse(out) };
  } catch (e) {
    return { name, failure: failureOf(e as { stderr?: string; signal?: string; status?: number }) };
  }
}

/** A figure of peers.py for one tool and one net. */
type Peer = { share: number; result: string; build_s?: number; prune_s?: number } | { failure: string };
const peers: Record<string, Record<string, Peer>> = flags.peers ? JSON.parse(readFileSync(flags.peers, "utf8")) : {};

function share(name: string, tool: string): string {
  const peer = peers[name]?.[tool];
  if (!peer) return "";
  if ("failure" in peer) return `fails: ${peer.failure.split(":")[0]}`;
  return percent(peer.share) + (peer.result === "runs" ? "" : ", cut net fails");
}

function seconds(name: string): string {
  const peer = peers[name]?.["torch-pruning"];
  if (!peer || "failure" in peer || peer.build_s === undefined) return "";
  return `${peer.build_s.toFixed(2)} + ${peer.prune_s?.toFixed(2) ?? "-"}`;
}

/** Reasons without names, most frequent first; the outputs of the net, frozen everywhere, are left out. */
function reasons(r: ZooResult): string {
  const counts = new Map<string, number>();
  for (const [reason, n] of Object.entries(r.frozen)) {
    if (reason.includes("graph output")) continue;
    const general = reason
      .replace(/ "[^"]*"/, "")
      .replaceAll(/"[^"]*"/g, "another value")
      .replace(/its \d+ channels/, "its channels");
    counts.set(general, (counts.get(general) ?? 0) + n);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([reason, n]) => `${n} x ${reason}`)
    .join("; ");
}

const columns = flags.peers
  ? [
      "model",
      "nodes",
      "groups",
      "ours %",
      "Torch-Pruning %",
      "onnxsim %",
      "result",
      "ours s",
      "Torch-Pruning s",
      "frozen",
    ]
  : ["model", "nodes", "groups", "prunable %", "error", "moved", "inspect s", "result", "frozen"];

function print(o: Outcome): void {
  if ("failure" in o) {
    console.log(row(o.name, ...columns.slice(1, -1).map(() => ""), `FAIL: ${o.failure}`));
    return;
  }
  const { result: r } = o;
  const result = passes(r) ? "pass" : "FAIL";
  const error = Math.max(r.error, r.errorOptimized).toExponential(1);
  const { read, groups, slice, write } = r.seconds;
  const own = [r.name, r.nodes, r.groups, percent(r.prunableShare)];
  console.log(
    flags.peers
      ? row(
          ...own,
          share(r.name, "torch-pruning"),
          share(r.name, "onnxsim"),
          `${result}, ${error}`,
          `${(read + groups).toFixed(2)} + ${(slice + write).toFixed(2)}`,
          seconds(r.name),
          reasons(r),
        )
      : row(...own, error, r.moved.toExponential(1), (read + groups).toFixed(2), result, reasons(r)),
  );
  if (!flags.verbose) return;
  for (const [reason, n] of Object.entries(r.frozen)) console.log(`    ${n} x ${reason}`);
  for (const name of r.uncuttable) console.log(`    uncut ${name}`);
}

if (flags.child) {
  const model = zooModels(dir).find((m) => m.name === flags.child);
  if (!model) throw new Error(`there is no model "${flags.child}" in ${dir}`);
  console.log(JSON.stringify(await tryModel(model.name, model.path, Number(flags.seed), Number(flags.share))));
} else {
  const models = zooModels(dir).filter((m) => !flags.only || flags.only.includes(m.name));
  console.log(head(...columns));
  const known = new Map<string, Outcome>();
  if (flags.json && existsSync(flags.json)) {
    for (const o of JSON.parse(readFileSync(flags.json, "utf8")) as Outcome[]) known.set(o.name, o);
  }
  const outcomes: Outcome[] = [];
  for (const { name } of models) {
    const before = known.get(name);
    const o = before && "result" in before && passes(before.result) ? before : inChild(name);
    outcomes.push(o);
    known.set(name, o);
    print(o);
    if (flags.json) writeFileSync(flags.json, JSON.stringify([...known.values()], null, 1));
  }
  const good = outcomes.filter((o) => "result" in o && passes(o.result)).length;
  console.log(`\n${good} of ${outcomes.length} pass`);
  process.exitCode = good === outcomes.length ? 0 : 1;
}
