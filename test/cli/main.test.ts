/** The program itself, in a process of its own, on bad input. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { hasShared, sharedPath } from "../support/shared.js";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "edgefit-main-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = { ...process.env, NO_COLOR: "1", XDG_CACHE_HOME: join(folder, "cache") };

function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", join(root, "toolkit/cli/main.ts"), ...args], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const text = { stdout: "", stderr: "" };
  child.stdout!.on("data", (d) => (text.stdout += d));
  child.stderr!.on("data", (d) => (text.stderr += d));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, ...text }));
  });
}

const run = (...args: string[]): Promise<Outcome> => outcomeOf(start(args));

/** A file in the test's folder. */
function file(name: string, bytes: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Relu of an image, as an ONNX file. */
function tinyModel(): Uint8Array {
  const b = new GraphBuilder();
  const x = b.input("image", [1, 3, 8, 8]);
  b.output(b.emit("Relu", [x]), { elemType: "float32", dims: [1, 3, 8, 8] });
  return writeModel(b.graph);
}

/** One line that starts with the program's name, no stack, and the wanted status. */
function expectOneSentence({ status, stderr }: Outcome, wanted: number, ...parts: string[]): void {
  expect(stderr).toMatch(/^edgefit: .+\n$/);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(stderr).not.toMatch(/\n\s+at /);
  for (const part of parts) expect(stderr).toContain(part);
  expect(status).toBe(wanted);
}

describe("bad input ends with one sentence and exit status 1:", () => {
  test.each([
    ["inspect", []],
    ["fit", ["--budget", "60%", "--out", join(folder, "never")]],
  ])("%s of a model that is not there, of text, of a truncated file", async (command, flags) => {
    const missing = join(folder, "missing.onnx");
    const text = file(`${command}-notes.onnx`, "these are notes, not a model\n");
    const cut = file(`${command}-cut.onnx`, tinyModel());
    truncateSync(cut, 60);
    const outcomes = await Promise.all([missing, text, cut].map((path) => run(command, path, ...flags)));
    for (const [i, name] of ["missing.onnx", "notes.onnx", "cut.onnx"].entries())
      expectOneSentence(outcomes[i], 1, name);
    expect(existsSync(join(folder, "never"))).toBe(false);
  });

  test.each([
    ["0ms", "above zero"],
    ["soon", "not a latency budget"],
  ])("a budget of %s", async (budget, what) => {
    const model = file("tiny.onnx", tinyModel());
    const out = join(folder, "out-budget");
    expectOneSentence(
      await run("fit", model, "--budget", budget, "--out", out),
      1,
      `--budget ${budget}`,
      what,
      "30fps",
    );
    expect(existsSync(out)).toBe(false);
  });

  test("a device that does not exist", async () => {
    const model = file("tiny.onnx", tinyModel());
    const out = join(folder, "out-device");
    expectOneSentence(
      await run("fit", model, "--budget", "50%", "--device", "toaster", "--out", out),
      1,
      "toaster",
      "local",
    );
    expect(existsSync(out)).toBe(false);
  });

  test("an output folder that is a file", async () => {
    const model = file("tiny.onnx", tinyModel());
    const out = file("taken", "mine");
    const lines = [["fit", model, "--budget", "50%"], ["demo"], ["train"]];
    const outcomes = await Promise.all(lines.map((line) => run(...line, "--out", out)));
    for (const outcome of outcomes) expectOneSentence(outcome, 1, out, "it is a file");
  });

  test("a flag that does not exist, as JSON", async () => {
    const { status, stdout, stderr } = await run("inspect", "m.onnx", "--frobnicate", "--json");
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: "unknown-argument",
        message: "there is no such flag",
        where: "--frobnicate",
        hint: "see edgefit inspect --help",
      },
    });
    expect(stderr).toContain("--frobnicate");
  });
});

describe("the program", () => {
  test("inspects a model, for people and for programs", async () => {
    const model = file("tiny.onnx", tinyModel());
    const text = await run("inspect", model);
    expect(text).toMatchObject({ status: 0, stderr: "" });
    expect(text.stdout).toContain("image float32 [1, 3, 8, 8]");
    const json = await run("inspect", model, "--json");
    expect(json).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(json.stdout).nodes).toMatchObject([{ op: "Relu", outputDims: [1, 3, 8, 8] }]);
  });

  test("lists its commands, and each command its flags and examples", async () => {
    const all = await run("--help");
    expect(all.status).toBe(0);
    const names = [...all.stdout.matchAll(/^ {2}edgefit (\w+)/gm)].map((m) => m[1]);
    expect(names).toEqual(
      expect.arrayContaining(["fit", "inspect", "profile", "validate", "train", "demo", "completion"]),
    );
    for (const name of ["fit", "validate"]) {
      const one = await run(name, "--help");
      expect(one.status).toBe(0);
      expect(one.stdout).toMatch(new RegExp(`Examples:\\n {2}# .+\\n {2}edgefit ${name} `));
      expect(one.stdout).toContain("--json");
    }
  });

  test("prints its version and a completion script", async () => {
    expect((await run("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run("completion")).stdout).toContain("edgefit");
  });

  test("Ctrl-C ends it with status 130 and leaves nothing half-written", async () => {
    const out = join(folder, "interrupted");
    const child = start(["demo", "--out", out]);
    child.stderr!.once("data", () => child.kill("SIGINT"));
    const { status, stdout, stderr } = await outcomeOf(child);
    expect({ status, stdout }).toEqual({ status: 130, stdout: "" });
    expect(stderr).toContain("edgefit: interrupted");
    expect(existsSync(out)).toBe(false);
    const rendered = join(folder, "cache/edgefit/eyes");
    expect(existsSync(rendered) ? readdirSync(rendered).filter((f) => !f.endsWith(".rgb")) : []).toEqual([]);
  });

  test.skipIf(!hasShared || process.platform !== "linux")(
    "Ctrl-C while it measures leaves no worker behind",
    async () => {
      const model = sharedPath("models/resnet-cifar10/resnet20-cifar10.onnx");
      const child = start(["profile", model, "--int8", "off"]);
      let workers: number[] = [];
      // The first word of progress comes once the device works.
      child.stderr!.once("data", () => {
        const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
        workers = children.trim().split(/\s+/).map(Number);
        child.kill("SIGINT");
      });
      const { status, stdout } = await outcomeOf(child);
      expect({ status, stdout }).toEqual({ status: 130, stdout: "" });
      expect(workers.length).toBeGreaterThan(0);
      for (const pid of workers) expect(existsSync(`/proc/${pid}`)).toBe(false);
    },
  );
});
