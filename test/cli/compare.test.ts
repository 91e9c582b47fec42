/** `edgefit compare` and `fit --method`, from the command line to the files. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { dump } from "npyjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compare, settingsOf } from "../../toolkit/cli/compare.js";
import { fit } from "../../toolkit/cli/fit.js";
import { methods } from "../../toolkit/methods/index.js";
import { writeModelFile } from "../../toolkit/onnx/index.js";
import { comparisonSchema } from "../../toolkit/report/index.js";
import { resnetCifar } from "../../toolkit/zoo/index.js";
import { SIDE, stripes } from "../train/nets.js";
import { runLine } from "./surroundings.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-compare-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = join(folder, "tiny.onnx");
const data = join(folder, "stripes.npz");

beforeAll(async () => {
  const net = { layers: 8, widthMultiplier: 0.25, inputSize: SIDE, inputChannels: 1, classes: 2 };
  await writeModelFile(model, resnetCifar(net));
  const arrays: Record<string, Uint8Array> = {};
  for (const [part, count, seed] of [
    ["train", 120, 3],
    ["test", 60, 8],
  ] as const) {
    const { data: x, labels } = await stripes(count, seed).batch(Array.from({ length: count }, (_, i) => i));
    arrays[`x_${part}.npy`] = new Uint8Array(dump(x, [count, 1, SIDE, SIDE]));
    arrays[`y_${part}.npy`] = new Uint8Array(dump(labels!, [count]));
  }
  writeFileSync(data, zipSync(arrays));
});

const ways = [
  "--data",
  data,
  "--cost",
  "macs",
  "--budget",
  "50%",
  "--epochs",
  "1",
  "--batch",
  "32",
  "--training-threads",
  "1",
];

describe("compare", { timeout: 120_000 }, () => {
  test("writes nets, page and figures, and keeps the runs", async () => {
    const out = join(folder, "out");
    const line = [
      "compare",
      model,
      ...ways,
      "--methods",
      "uniform,l2",
      "--set",
      "l2.scope=global",
      "--out",
      out,
      "--json",
    ];
    const { status, stdout } = await runLine(line, [compare]);
    expect(status).toBe(0);
    const r = comparisonSchema.parse(JSON.parse(stdout));
    expect(r.methods.map((m) => m.method)).toEqual(["uniform", "l2"]);
    expect(r.methods[1].settings).toEqual({ scope: "global" });
    expect(readdirSync(out).sort()).toEqual([
      "compare.html",
      "compare.json",
      "runs",
      "tiny.l2.onnx",
      "tiny.uniform.onnx",
    ]);
    expect(readdirSync(join(out, "runs"))).toHaveLength(2);
    expect(JSON.parse(readFileSync(join(out, "compare.json"), "utf8"))).toEqual(r);
    // The same again finds both, and `fit --method` finds its own.
    const text = await runLine(["fit", model, ...ways, "--method", "uniform", "--out", out], [fit]);
    expect(text.status).toBe(0);
    expect(text.stdout).toMatch(/uniform scaling keeps \d/);
    expect(readdirSync(join(out, "runs"))).toHaveLength(2);
  });

  test("lists the methods with their papers and settings", async () => {
    const { status, stdout } = await runLine(["compare", "--list"], [compare]);
    expect(status).toBe(0);
    for (const m of methods) expect(stdout).toContain(m.title);
    expect(stdout).toContain("l1.rounds");
  });

  test.each<[string, string[], RegExp]>([
    ["no methods", ["compare", model, "--budget", "50%"], /--methods must be given/],
    ["no budget", ["compare", model, "--methods", "l1"], /--budget must be given/],
    ["no data", ["compare", model, "--methods", "l1", "--budget", "50%"], /--data must be given/],
    ["an unknown method", ["compare", model, ...ways, "--methods", "magic"], /no pruning method "magic".*slimming/s],
    [
      "a setting without a value",
      ["compare", model, ...ways, "--methods", "l1", "--set", "l1.rounds"],
      /METHOD\.NAME=VALUE/,
    ],
    [
      "fit's own flag beside a method",
      ["fit", model, ...ways, "--method", "l1", "--finetune", "2"],
      /--finetune.*edgefit's own/s,
    ],
    ["a method's flag without one", ["fit", model, "--budget", "50%", "--epochs", "2"], /--epochs.*--method/s],
  ])("refuses %s", async (_, line, message) => {
    const { status, stderr } = await runLine(line, [compare, fit]);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
  });

  test("reads settings as numbers, words and switches", () => {
    expect(settingsOf(["l1.rounds=4", "l1.schedule=cyclic", "dmcp.distill=false"])).toEqual({
      l1: { rounds: 4, schedule: "cyclic" },
      dmcp: { distill: false },
    });
  });
});
