import { execFileSync } from "node:child_process";
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { cloneGraph } from "../../toolkit/graph/graph.js";
import { byteLengthOf, piecesOf, storageOf, storedTensor } from "../../toolkit/graph/stored.js";
import { floats, type Tensor, toNumberArray } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModelFile, readSelfContained, writeModel, writeModelFile } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { takeAxis, withDims } from "../../toolkit/ops/layout.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { addModel, decode } from "../support/protos.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-external-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const wave = (n: number, scale = 1): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37) * scale);

/** A file of `sizeBytes`, zero but for some values. */
function sparseFile(name: string, sizeBytes: number, parts: { offset: number; values: Float32Array }[]): void {
  const path = join(folder, name);
  writeFileSync(path, "");
  truncateSync(path, sizeBytes);
  const file = openSync(path, "r+");
  for (const { offset, values } of parts) writeSync(file, bytesOf(values), 0, undefined, offset);
}

const external = (name: string, dims: readonly number[], location: string, offset: number) => ({
  name,
  dims: dims.map(BigInt),
  dataType: 1,
  dataLocation: 1 as const,
  externalData: Object.entries({ location, offset: String(offset) }).map(([key, value]) => ({ key, value })),
});

/** image -> MatMul(a) -> Relu -> MatMul(b) -> y, weights in `location`. */
function twoLayers(location: string, widths: [number, number, number], offsets: [number, number]): string {
  const path = join(folder, "m.onnx");
  const type = (length: number) => ({
    value: {
      case: "tensorType" as const,
      value: {
        elemType: 1,
        shape: { dim: [1, length].map((d) => ({ value: { case: "dimValue" as const, value: BigInt(d) } })) },
      },
    },
  });
  writeFileSync(
    path,
    addModel({
      input: [{ name: "x", type: type(widths[0]) }],
      output: [{ name: "y", type: type(widths[2]) }],
      initializer: [
        external("a", widths.slice(0, 2), location, offsets[0]),
        external("b", widths.slice(1), location, offsets[1]),
      ],
      node: [
        { name: "first", opType: "MatMul", input: ["x", "a"], output: ["h"] },
        { name: "relu", opType: "Relu", input: ["h"], output: ["r"] },
        { name: "second", opType: "MatMul", input: ["r", "b"], output: ["y"] },
      ],
    }),
  );
  return path;
}

test("weights beyond 2 GiB and 4 GiB of one file are read where they are, and cut there", async () => {
  const [a, b] = [wave(40 * 600), wave(600 * 30, 2)];
  const offsets: [number, number] = [2 ** 31 + 4096, 2 ** 32 + 8192];
  sparseFile("w.bin", 5 * 2 ** 30, [
    { offset: offsets[0], values: a },
    { offset: offsets[1], values: b },
  ]);
  const g = inferShapes(tidy(await readModelFile(twoLayers("w.bin", [40, 600, 30], offsets))));
  expect(g.initializers.get("a")!.data).toEqual(a);
  expect(g.initializers.get("b")!.data).toEqual(b);
  const groups = findGroups(g);
  expect(groups.prunable.map((e) => e.width)).toEqual([600]);
  const kept = Int32Array.from({ length: 200 }, (_, i) => 3 * i + 1);
  const sliced = sliceGraph(g, groups, new Map([[groups.prunable[0].id, kept]]));
  expect(storageOf(sliced.initializers.get("a")!)).toBeDefined();
  const inMemory = (t: Tensor, axis: number) => takeAxis({ ...t }, axis, kept).data;
  expect(sliced.initializers.get("a")!.data).toEqual(inMemory(g.initializers.get("a")!, 1));
  expect(sliced.initializers.get("b")!.data).toEqual(inMemory(g.initializers.get("b")!, 0));
});

test("weights read from beside a model stay beside it when they are large; the runtime reads the same from both", async () => {
  const widths: [number, number, number] = [8000, 9000, 2];
  const sizeBytes = 4 * (8000 * 9000 + 9000 * 2);
  const values = wave(100_000);
  sparseFile("w.bin", sizeBytes, [
    { offset: 12_345_678 * 4, values },
    { offset: 8000 * 9000 * 4, values: wave(18_000, 2) },
  ]);
  const g = await readModelFile(twoLayers("w.bin", widths, [0, 4 * 8000 * 9000]));
  const out = join(folder, "out.onnx");
  writeFileSync(join(folder, "out.onnx.0123456789abcdef.data"), "of an earlier model");
  writeFileSync(join(folder, "out.onnx.notes.data"), "not ours");
  await writeModelFile(out, g);
  const files = readdirSync(folder).sort();
  expect(files).toEqual([
    "m.onnx",
    "out.onnx",
    expect.stringMatching(/^out\.onnx\.[0-9a-f]{16}\.data$/),
    "out.onnx.notes.data",
    "w.bin",
  ]);
  const placed = decode(readFileSync(out)).graph!.initializer.map((t) =>
    Object.fromEntries(t.externalData.map((e) => [e.key, e.value])),
  );
  expect(placed).toEqual([
    { location: files[2], offset: "0", length: "288000000" },
    { location: files[2], offset: "288002048", length: "72000" },
  ]);
  const back = await readModelFile(out);
  for (const name of ["a", "b"]) {
    const [before, after] = [g, back].map((m) => [...piecesOf(storageOf(m.initializers.get(name)!)!)]);
    expect(after.length).toBe(before.length);
    expect(after.every(({ piece }, i) => Buffer.compare(piece, before[i].piece) === 0)).toBe(true);
  }
  expect(storageOf(back.initializers.get("a")!)!.read(12_345_678 * 4, 400_000)).toEqual(bytesOf(values));
});

test("a failed write leaves neither file", async () => {
  const read = (_: number, length: number): Uint8Array => {
    if (length < 4 * 2 ** 20) throw new Error("the disk went away");
    return new Uint8Array(length);
  };
  const b = new GraphBuilder();
  const big = storedTensor("float32", [68_000_000], { byteLength: 272_000_000, read });
  b.output(b.add(b.input("x", [1]), b.initializer("w", big), { out: "y" }));
  await expect(writeModelFile(join(folder, "out.onnx"), b.graph)).rejects.toMatchObject({ name: "ModelError" });
  expect(readdirSync(folder)).toEqual([]);
});

test("small external weights are written inside, as one file", async () => {
  sparseFile("w.bin", 200_000, [
    { offset: 0, values: wave(40 * 600) },
    { offset: 96_000, values: wave(600 * 30) },
  ]);
  const g = await readModelFile(twoLayers("w.bin", [40, 600, 30], [0, 96_000]));
  expect(storageOf(g.initializers.get("a")!)).toBeDefined();
  await writeModelFile(join(folder, "out.onnx"), g);
  expect(readdirSync(folder).sort()).toEqual(["m.onnx", "out.onnx", "w.bin"]);
  expect(decode(readFileSync(join(folder, "out.onnx"))).graph!.initializer.map((t) => t.dataLocation)).toEqual([0, 0]);
  const x = floats(wave(40), [1, 40]);
  const run = async (model: Uint8Array) => (await withSession(model, { threads: 1 }, (s) => s.run({ x }))).y.data;
  const inMemory = cloneGraph(g);
  for (const [name, t] of g.initializers) inMemory.initializers.set(name, { ...t });
  const expected = await run(writeModel(inMemory));
  expect((expected as Float32Array).some((v) => v > 0)).toBe(true);
  for (const name of ["m.onnx", "out.onnx"])
    expect(await run(await readSelfContained(join(folder, name)))).toEqual(expected);
});

test("a data file that is replaced after the model was read is not read", async () => {
  sparseFile("w.bin", 200_000, []);
  const g = await readModelFile(twoLayers("w.bin", [40, 600, 30], [0, 96_000]));
  rmSync(join(folder, "w.bin"));
  sparseFile("w.bin", 200_000, []);
  expect(() => g.initializers.get("a")!.data).toThrow(/"w.bin" was changed or replaced after the model was read/);
});

test("a weight that no memory holds is refused when its numbers are asked for", async () => {
  sparseFile("w.bin", 2 ** 41, []);
  const g = await readModelFile(twoLayers("w.bin", [2 ** 19, 2 ** 19, 2], [0, 2 ** 40]));
  expect(inferShapes(tidy(g)).valueTypes.get("h")!.dims).toEqual([1, 2 ** 19]);
  expect(() => g.initializers.get("a")!.data).toThrow(/takes 1099511627776 bytes, more than can be held in memory/);
});

test("pipes, and names with a NUL, are refused without opening them", async () => {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  for (const [location, message] of [
    ["pipe", /not a regular file/],
    ["w\0.bin", /outside its own folder/],
  ] as const)
    await expect(readModelFile(twoLayers(location, [4, 4, 4], [0, 64]))).rejects.toMatchObject({
      name: "ModelError",
      message: expect.stringMatching(message),
    });
  await expect(readModelFile(join(folder, "pipe"))).rejects.toMatchObject({
    message: expect.stringMatching(/device or pipe/),
  });
});

/** The same tensor, its bytes stored elsewhere. */
function stored(t: Tensor): Tensor {
  const bytes = bytesOf(t.data as Float32Array);
  return storedTensor(t.elemType, t.dims, { byteLength: bytes.length, read: (at, n) => bytes.slice(at, at + n) });
}

test("cutting stored tensors along any axes, whole or in parts, gives what cutting them in memory gives", () => {
  const cut = fc.record({ axis: fc.nat(2), keep: fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 8 }) });
  const property = fc.property(
    fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 3, maxLength: 3 }),
    fc.array(cut, { minLength: 1, maxLength: 3 }),
    fc.nat(1000),
    fc.nat(1000),
    (dims, cuts, from, length) => {
      let inMemory = floats(wave(dims[0] * dims[1] * dims[2]), dims);
      let later = stored(inMemory);
      for (const { axis, keep } of cuts) {
        const inside = [...new Set(keep.map((k) => k % inMemory.dims[axis]))].sort((a, b) => a - b);
        [inMemory, later] = [takeAxis(inMemory, axis, inside), takeAxis(later, axis, inside)];
      }
      expect(storageOf(later)).toBeDefined();
      expect(later.dims).toEqual(inMemory.dims);
      expect(later.data).toEqual(inMemory.data);
      const all = bytesOf(inMemory.data as Float32Array);
      const start = from % all.length;
      const n = length % (all.length - start + 1);
      expect([...storageOf(later)!.read(start, n)]).toEqual([...all.subarray(start, start + n)]);
    },
  );
  fc.assert(property, { numRuns: 200, seed: 3 });
});

test("an axis of many short blocks, longer than one piece, is cut right", () => {
  const dims = [2, 700_001, 3];
  const t = floats(wave(dims[0] * dims[1] * dims[2]), dims);
  const keep = Int32Array.from({ length: 400_000 }, (_, i) => (i < 300_000 ? i : i + 300_000));
  const [a, b] = [takeAxis(t, 1, keep), takeAxis(stored(t), 1, keep)];
  expect(Buffer.compare(bytesOf(a.data as Float32Array), bytesOf(b.data as Float32Array))).toBe(0);
});

test("a stored tensor keeps its place when it is only reshaped, and loses it when it is changed", () => {
  const t = stored(floats([1, 2, 3, 4], [2, 2]));
  expect(storageOf(withDims(t, [4]))).toBeDefined();
  expect(toNumberArray(withDims(t, [4]))).toEqual([1, 2, 3, 4]);
  expect(storageOf({ ...t, data: Float32Array.of(5, 6, 7, 8) })).toBeUndefined();
  expect(byteLengthOf(t)).toBe(16);
  expect(() => storedTensor("float32", [3], storageOf(t)!)).toThrow(/needs 12 bytes, but 16 are stored/);
});
