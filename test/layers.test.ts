/** The order of the house, checked on every import of every source file; type imports and `import()` count. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

interface Import {
  from: string;
  /** Path of a file of this repository, or the name of a package. */
  to: string;
  local: boolean;
  typeOnly: boolean;
}

const sources = ["toolkit", "runners", "device-profiles", "samples"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".ts"))
    .map((f) => join(folder, f).replaceAll("\\", "/")),
);

/** Imports of one file's text. Statements are found by their keywords; a comment with one in it would count, which errs on the strict side. */
function importsOf(from: string, text: string): Import[] {
  const statement =
    /\b(import|export)\s+(type\s+)?(?:[\w*{][^"';]*?\sfrom\s*)?["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)/g;
  return [...text.matchAll(statement)].map((m) => {
    const name = m[3] ?? m[4];
    const local = name.startsWith(".");
    const to = local
      ? relative(root, resolve(root, dirname(from), name))
          .replaceAll("\\", "/")
          .replace(/\.js$/, ".ts")
      : name;
    return { from, to, local, typeOnly: m[2] !== undefined };
  });
}

/** `toolkit/graph/x.ts` -> `graph`; files directly in toolkit are `floor` (options and the like), `api` or `story`. */
function layerOf(file: string): string {
  const [top, next, ...rest] = file.split("/");
  if (top !== "toolkit") return top;
  if (rest.length > 0) return next;
  if (next === "index.ts") return "api";
  return ["options.ts", "budget.ts", "version.ts"].includes(next) ? "floor" : "story";
}

const base = ["graph"];
const middle = [...base, "onnx", "ops", "runtime"];
const passes = [...middle, "latency", "prune", "train", "quantize"];
const stories = [...passes, "tflite", "zoo", "methods", "data", "report", "floor", "runners", "device-profiles"];

/** Which other layers a layer may import; its own it always may. */
const allowed: Record<string, readonly string[]> = {
  graph: [],
  onnx: base,
  tflite: base,
  ops: base,
  runtime: [...base, "onnx"],
  latency: middle,
  prune: middle,
  train: middle,
  quantize: middle,
  zoo: ["graph", "ops"],
  methods: passes,
  data: base,
  report: base,
  floor: ["graph", "data", "runners"],
  story: stories,
  fleet: [...stories, "story"],
  api: [...stories, "story"],
  "device-profiles": [],
  runners: ["device-profiles"],
  samples: [...stories, "story"],
  cli: [...stories, "story", "samples", "fleet"],
};

/** Interfaces that the passes may see, as types only: what a device and a data set are. */
const interfaces: Record<string, readonly string[]> = {
  "runners/runner.ts": ["latency"],
  "toolkit/data/dataset.ts": ["latency", "prune", "train", "quantize", "methods"],
};

function mayImport(i: Import): boolean {
  const [from, to] = [layerOf(i.from), layerOf(i.to)];
  if (from === to) return true;
  if (interfaces[i.to]?.includes(from)) return i.typeOnly;
  return allowed[from]?.includes(to) ?? false;
}

/** Every import cycle among files, each as the path that closes it. */
function cyclesOf(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const i of imports) if (i.local) targets.set(i.from, [...(targets.get(i.from) ?? []), i.to]);
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (file: string, path: string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    state.set(file, "open");
    for (const t of targets.get(file) ?? []) visit(t, [...path, file]);
    state.set(file, "done");
  };
  for (const file of targets.keys()) visit(file, []);
  return cycles;
}

const textOf = (file: string): string => readFileSync(join(root, file), "utf8");
const imports = sources.flatMap((file) => importsOf(file, textOf(file)));
const arrows = (list: readonly Import[]): string[] => list.map((i) => `${i.from} -> ${i.to}`);

describe("the layers of the source", () => {
  test("no file imports upwards or sideways", () => {
    expect(arrows(imports.filter((i) => i.local && !mayImport(i)))).toEqual([]);
  });

  test("no file imports itself by way of others", () => {
    expect(cyclesOf(imports)).toEqual([]);
  });

  test("every layer is in the table", () => {
    expect(sources.map(layerOf).filter((l) => !(l in allowed))).toEqual([]);
  });

  test.each([
    ["@bufbuild/protobuf", /^toolkit\/onnx\//],
    ["onnx-buf", /^toolkit\/onnx\//],
    ["flatbuffers", /^toolkit\/tflite\//],
    ["onnxruntime-node", /^(toolkit\/runtime|runners\/node)\//],
    ["bullmq", /^(runners|toolkit)\/fleet\//],
    ["ioredis", /^runners\/fleet\//],
    ["yargs", /^toolkit\/cli\//],
    ["picocolors", /^toolkit\/cli\//],
    ["cli-progress", /^toolkit\/cli\//],
    ["cli-table3", /^toolkit\/cli\//],
  ])("%s is imported in one place", (name, place) => {
    const uses = imports.filter((i) => i.to === name || i.to.startsWith(`${name}/`));
    expect(arrows(uses.filter((i) => !place.test(i.from)))).toEqual([]);
  });

  test("only cli/ writes to the terminal", () => {
    const writers = sources.filter((f) => /\bconsole\.\w+\(|\bprocess\.std(out|err)\.write\b/.test(textOf(f)));
    // The sample's training script is a command of its own.
    const commands = /^toolkit\/cli\/|^samples\/driver-monitoring\/train\.ts$/;
    expect(writers.filter((f) => !commands.test(f))).toEqual([]);
  });
});

describe("the check itself", () => {
  const one = (from: string, text: string) => importsOf(from, text)[0];

  test("sees imports of values, of types, re-exports, side effects and import()", () => {
    const text = [
      'import { a } from "../graph/a.js";',
      "import type {\n  B,\n} from '../graph/b.js';",
      'export * from "./c.js";',
      'import "./d.js";',
      'const e = await import("../cli/e.js");',
      'type F = import("yargs").Argv;',
    ].join("\n");
    expect(importsOf("toolkit/ops/x.ts", text).map((i) => [i.to, i.typeOnly])).toEqual([
      ["toolkit/graph/a.ts", false],
      ["toolkit/graph/b.ts", true],
      ["toolkit/ops/c.ts", false],
      ["toolkit/ops/d.ts", false],
      ["toolkit/cli/e.ts", false],
      ["yargs", false],
    ]);
  });

  test.each([
    ["toolkit/graph/x.ts", "../ops/index.js"],
    ["toolkit/tflite/x.ts", "../onnx/index.js"],
    ["toolkit/prune/x.ts", "../train/index.js"],
    ["toolkit/quantize/x.ts", "../latency/table.js"],
    ["toolkit/train/x.ts", "../fit.js"],
    ["toolkit/fit.ts", "./cli/fit.js"],
    ["toolkit/report/x.ts", "../fit.js"],
    ["runners/x.ts", "../toolkit/graph/tensor.js"],
    ["toolkit/options.ts", "./fit.js"],
  ])("refuses %s importing %s", (from, to) => {
    expect(mayImport(one(from, `import type { x } from "${to}";`))).toBe(false);
  });

  test("the interfaces of devices and data sets may be seen, as types only", () => {
    expect(mayImport(one("toolkit/latency/x.ts", 'import type { D } from "../../runners/runner.js";'))).toBe(true);
    expect(mayImport(one("toolkit/train/x.ts", 'import type { B } from "../data/dataset.js";'))).toBe(true);
    expect(mayImport(one("toolkit/latency/x.ts", 'import { D } from "../../runners/runner.js";'))).toBe(false);
  });

  test("finds a cycle of three files", () => {
    const ring = [
      ["a", "b"],
      ["b", "c"],
      ["c", "a"],
    ].flatMap(([from, to]) => importsOf(`toolkit/graph/${from}.ts`, `import type { x } from "./${to}.js";`));
    expect(cyclesOf(ring)).toEqual([
      "toolkit/graph/a.ts -> toolkit/graph/b.ts -> toolkit/graph/c.ts -> toolkit/graph/a.ts",
    ]);
  });
});
