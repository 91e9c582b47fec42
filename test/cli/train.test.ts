/** `edgefit train` on a model and a data set, from the command line to the files. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { dump } from "npyjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { augmentOption } from "../../toolkit/cli/augmentFlag.js";
import { sparkline } from "../../toolkit/cli/summarizeTraining.js";
import { train } from "../../toolkit/cli/train.js";
import { readModelFile, writeModelFile } from "../../toolkit/onnx/index.js";
import type { TrainingReport } from "../../toolkit/report/index.js";
import { resnetCifar } from "../../toolkit/zoo/index.js";
import { accuracy, SIDE, stripes } from "../train/nets.js";
import { type Outcome, runLine } from "./surroundings.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-train-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = join(folder, "tiny.onnx");
const data = join(folder, "stripes.npz");
const held = stripes(200, 8);

beforeAll(async () => {
  const net = { layers: 8, widthMultiplier: 0.25, inputSize: SIDE, inputChannels: 1, classes: 2 };
  await writeModelFile(model, resnetCifar(net));
  const arrays: Record<string, ArrayBuffer> = {};
  for (const [part, count, seed] of [
    ["train", 400, 3],
    ["test", 200, 8],
  ] as const) {
    const { data: x, labels } = await stripes(count, seed).batch(Array.from({ length: count }, (_, i) => i));
    arrays[`x_${part}`] = dump(x, [count, 1, SIDE, SIDE]);
    arrays[`y_${part}`] = dump(labels!, [count]);
  }
  writeFileSync(
    data,
    zipSync(Object.fromEntries(Object.entries(arrays).map(([k, v]) => [`${k}.npy`, new Uint8Array(v)]))),
  );
});

const run = (out: string, flags: readonly string[], signal?: AbortSignal): Promise<Outcome> =>
  runLine(
    ["train", model, "--data", data, "--out", join(folder, out), "--threads", "1", "--batch", "32", ...flags],
    [train],
    { signal },
  );

describe("train", () => {
  test("trains a model and writes it with its curves", async () => {
    const flags = ["--epochs", "4", "--augment", "flip", "--ema", "0.9", "--quiet"];
    const { status, stdout, stderr } = await run("plain", flags);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/tiny\.onnx: 4 epochs on 380 images/);
    expect(stdout).toMatch(/loss +[▁-█]{4} {2}\d\.\d{4} to \d\.\d{4}/);
    const out = join(folder, "plain");
    expect(readdirSync(out).sort()).toEqual(["checkpoint.onnx", "tiny.trained.onnx", "training.html", "training.json"]);
    const report = JSON.parse(readFileSync(join(out, "training.json"), "utf8")) as TrainingReport;
    const trained = await readModelFile(join(out, "tiny.trained.onnx"));
    expect(report.accuracy.after).toBe(await accuracy(trained, held));
    expect(report.accuracy.after).toBeGreaterThan(0.95);
    expect(report.accuracy.before).toBeLessThan(0.8);
    expect(report.history.map((h) => h.epoch)).toEqual([1, 2, 3, 4]);
    expect(report.data).toMatchObject({ images: 380, heldOut: 20, test: 200 });
    const page = readFileSync(join(out, "training.html"), "utf8");
    expect(page.match(/<polyline points="(\S+ ){3}\S+"/g)).toHaveLength(2);
    expect(page).not.toMatch(/https?:\/\//);
  });

  test("learns a teacher's answers on blended images", async () => {
    await run("teacher", ["--epochs", "4"]);
    const teacher = join(folder, "teacher", "tiny.trained.onnx");
    const flags = [
      "--teacher",
      teacher,
      "--augment",
      "flip,mixup=1",
      "--epochs",
      "4",
      "--optimizer",
      "adamw",
      "--json",
      "--limit",
      "150",
    ];
    const { status, stdout } = await run("student", flags);
    expect(status).toBe(0);
    const report = JSON.parse(stdout) as TrainingReport;
    expect(report.recipe).toMatchObject({ loss: "distillation", optimizer: "adamw" });
    expect(report.teacher).toBe("tiny.trained.onnx");
    expect(report.data.test).toBe(150);
    expect(report.accuracy.after).toBeGreaterThan(0.95);
  });

  test("saves when it is interrupted, and goes on to the same model", async () => {
    const flags = ["--epochs", "2", "--schedule", "one-cycle", "--augment", "crop=1,mixup"];
    await run("whole", flags);
    const controller = new AbortController();
    const checkpoint = join(folder, "broken", "checkpoint.onnx");
    const watch = setInterval(() => {
      if (existsSync(checkpoint)) controller.abort(new Error("interrupted"));
    }, 1);
    const broken = await run("broken", flags, controller.signal);
    clearInterval(watch);
    expect(broken.status).toBe(130);
    expect(broken.stderr).toContain(`interrupted; the run is in ${checkpoint}, and --resume goes on with it.`);
    expect(readdirSync(join(folder, "broken"))).toEqual(["checkpoint.onnx"]);
    expect((await run("broken", [...flags, "--resume"])).status).toBe(0);
    const bytes = (name: string) => readFileSync(join(folder, name, "tiny.trained.onnx"));
    expect(bytes("broken").equals(bytes("whole"))).toBe(true);
  });

  test.each([
    [["--augment", "flip,spin"], "spin"],
    [["--lr", "fast"], "--lr fast"],
    [["--loss", "distillation"], "teacher"],
    [["--loss", "hinge"], "hinge"],
    [["--test", "100"], "--test"],
  ])("refuses %j in one sentence", async (flags, word) => {
    const { status, stdout, stderr } = await run("refused", flags);
    expect(status).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain(word);
  });

  test("leaves the sample's recipe alone", async () => {
    const { status, stderr } = await runLine(["train", "--lr", "0.1", "--out", join(folder, "no")], [train]);
    expect(status).toBe(1);
    expect(stderr).toContain("--lr");
  });

  test("wants data", async () => {
    const { status, stderr } = await runLine(["train", model, "--out", join(folder, "no")], [train]);
    expect(status).toBe(1);
    expect(stderr).toContain("--data must be given");
  });
});

describe("--augment", () => {
  test("names changes with or without amounts", () => {
    expect(augmentOption("flip, crop=2,colour=0.1,cutout,mixup=1")).toEqual({
      flip: true,
      cropPadding: 2,
      colour: { brightness: 0.1, contrast: 0.1, saturation: 0.1 },
      cutout: 8,
      mixup: 1,
    });
    expect(augmentOption("none")).toEqual({});
    expect(augmentOption(undefined)).toBeUndefined();
  });
});

describe("a curve in one line", () => {
  test("goes from the lowest block to the highest", () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe("▁▂▃▄▅▆▇█");
    expect(sparkline([3, 3])).toBe("▄▄");
    const long = sparkline(Array.from({ length: 600 }, (_, i) => i));
    expect(long).toHaveLength(60);
    expect(long.at(-1)).toBe("█");
  });
});
