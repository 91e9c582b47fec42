/**
 * The model zoo: every model of a corpus folder (made by test/corpus/export.py), all its groups cut to random widths, the written
 * file run in ONNX Runtime and compared with the masked net. Each model has a process of its own.
 *
 *   npx tsx test/bench/zoo.ts DIR [--only NAME …] [--seed 1] [--share 0.6] [--json] [--verbose]
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { passes, tryModel, type ZooResult, zooModels } from "../support/zoo.js";
import { head, percent, row } from "./header.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", multiple: true },
    seed: { type: "string", default: "1" },
    share: { type: "string", default: "0.6" },
    json: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
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

function print(o: Outcome): void {
  if ("failure" in o) {
    console.log(row(o.name, "", "", "", "", "", "", `FAIL: ${o.failure}`, ""));
    return;
  }
  const { result: r } = o;
  const inspect = r.seconds.read + r.seconds.groups;
  const reasons = Object.entries(r.frozen).map(([reason, n]) => `${n} x ${reason}`);
  console.log(
    row(
      r.name,
      r.nodes,
      r.groups,
      percent(r.prunableShare),
      Math.max(r.error, r.errorOptimized).toExponential(1),
      r.moved.toExponential(1),
      inspect.toFixed(2),
      passes(r) ? "pass" : "FAIL",
      flags.verbose ? reasons.join("; ") : `${reasons.length} reasons`,
    ),
  );
  if (flags.verbose) for (const name of r.uncuttable) console.log(`    uncut ${name}`);
}

if (flags.child) {
  const model = zooModels(dir).find((m) => m.name === flags.child);
  if (!model) throw new Error(`there is no model "${flags.child}" in ${dir}`);
  console.log(JSON.stringify(await tryModel(model.name, model.path, Number(flags.seed), Number(flags.share))));
} else {
  const models = zooModels(dir).filter((m) => !flags.only || flags.only.includes(m.name));
  if (!flags.json) {
    console.log(head("model", "nodes", "groups", "prunable %", "error", "moved", "inspect s", "result", "frozen"));
  }
  const outcomes: Outcome[] = [];
  for (const { name } of models) {
    const o = inChild(name);
    outcomes.push(o);
    if (!flags.json) print(o);
  }
  const good = outcomes.filter((o) => "result" in o && passes(o.result)).length;
  console.log(flags.json ? JSON.stringify(outcomes, null, 1) : `\n${good} of ${outcomes.length} pass`);
  process.exitCode = good === outcomes.length ? 0 : 1;
}
