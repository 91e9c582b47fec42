import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { toNumberArray } from "../../toolkit/graph/tensor.js";
import { readModelFile, writeModel, writeModelFile } from "../../toolkit/onnx/index.js";
import { smallNet } from "../support/models.js";
import { addModel } from "../support/protos.js";

let root: string;
let folder: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "edgefit-files-"));
  folder = join(root, "model");
  mkdirSync(folder);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const numbers = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer);

/** Writes a model whose `w`, three floats, is external, and returns its path. */
function externalModel(entries: Record<string, string>): string {
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  const path = join(folder, "m.onnx");
  writeFileSync(
    path,
    addModel({ initializer: [{ name: "w", dims: [3n], dataType: 1, dataLocation: 1, externalData }] }),
  );
  return path;
}

test("a written file is read back, and nothing else is left in the folder", async () => {
  const path = join(folder, "net.onnx");
  await writeModelFile(path, smallNet());
  expect([...readFileSync(path)]).toEqual([...writeModel(smallNet())]);
  expect((await readModelFile(path)).nodes.map((n) => n.opType)).toEqual(smallNet().nodes.map((n) => n.opType));
  expect(readdirSync(folder)).toEqual(["net.onnx"]);
});

test("an old file is replaced as a whole", async () => {
  const path = join(folder, "net.onnx");
  writeFileSync(path, "old");
  await writeModelFile(path, smallNet());
  expect((await readModelFile(path)).nodes.length).toBe(smallNet().nodes.length);
});

test("a write that fails leaves nothing behind", async () => {
  const taken = join(folder, "taken");
  mkdirSync(join(taken, "inside"), { recursive: true });
  await expect(writeModelFile(taken, smallNet())).rejects.toMatchObject({ name: "ModelError", where: taken });
  expect(readdirSync(folder)).toEqual(["taken"]);
});

test("a graph that cannot be written leaves the old file as it was", async () => {
  const path = join(folder, "net.onnx");
  writeFileSync(path, "old");
  const g = smallNet();
  g.initializers.set("broken", { elemType: "float32", dims: [2], data: new Float32Array(3) });
  await expect(writeModelFile(path, g)).rejects.toMatchObject({ name: "ModelError", code: "tensor-data" });
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(folder)).toEqual(["net.onnx"]);
});

test("a folder that does not exist is named", async () => {
  const path = join(folder, "no", "net.onnx");
  await expect(writeModelFile(path, smallNet())).rejects.toMatchObject({
    message: expect.stringMatching(/does not exist/),
    where: path,
  });
  await expect(readModelFile(path)).rejects.toMatchObject({
    message: expect.stringMatching(/does not exist/),
    where: path,
  });
});

test("a path below a file, and a folder instead of a file, are named", async () => {
  writeFileSync(join(folder, "file"), "x");
  await expect(writeModelFile(join(folder, "file", "net.onnx"), smallNet())).rejects.toMatchObject({
    message: expect.stringMatching(/not a folder/),
  });
  await expect(readModelFile(folder)).rejects.toMatchObject({
    message: expect.stringMatching(/folder, not a model file/),
    where: folder,
  });
});

// The super-user may write anywhere.
test.skipIf(process.getuid?.() === 0)("a folder without permission is named", async () => {
  mkdirSync(join(folder, "locked"), { mode: 0o500 });
  await expect(writeModelFile(join(folder, "locked", "net.onnx"), smallNet())).rejects.toMatchObject({
    message: expect.stringMatching(/permission denied/),
  });
});

test("external data is read by offset, also from a folder below", async () => {
  mkdirSync(join(folder, "weights"));
  writeFileSync(join(folder, "weights", "w.bin"), numbers(9, 9, 1, 2, 3, 9));
  const g = await readModelFile(externalModel({ location: "weights/w.bin", offset: "8", length: "12" }));
  expect(toNumberArray(g.initializers.get("w")!)).toEqual([1, 2, 3]);
});

test("external data without offset and length starts at 0, and is written inside", async () => {
  writeFileSync(join(folder, "w.bin"), numbers(4, 5, 6));
  const out = join(root, "elsewhere.onnx");
  await writeModelFile(out, await readModelFile(externalModel({ location: "w.bin" })));
  expect(toNumberArray((await readModelFile(out)).initializers.get("w")!)).toEqual([4, 5, 6]);
});

test.each([
  "../secret.bin",
  "weights/../../secret.bin",
  "/etc/passwd",
  "C:\\secret.bin",
  "\\\\host\\secret.bin",
  "..\\secret.bin",
])("the path %s is refused", async (location) => {
  writeFileSync(join(root, "secret.bin"), numbers(1, 2, 3));
  await expect(readModelFile(externalModel({ location }))).rejects.toMatchObject({
    code: "external-data",
    message: expect.stringMatching(/outside its own folder/),
  });
});

test("a link that leads outside is refused, for a file and for a folder", async () => {
  writeFileSync(join(root, "secret.bin"), numbers(1, 2, 3));
  symlinkSync(join(root, "secret.bin"), join(folder, "link.bin"));
  symlinkSync(root, join(folder, "up"));
  for (const location of ["link.bin", "up/secret.bin"]) {
    await expect(readModelFile(externalModel({ location }))).rejects.toMatchObject({
      message: expect.stringMatching(/link that leads outside/),
    });
  }
});

test("a link inside the folder, and a model reached through a link, are fine", async () => {
  writeFileSync(join(folder, "w.bin"), numbers(1, 2, 3));
  symlinkSync("w.bin", join(folder, "same.bin"));
  externalModel({ location: "same.bin" });
  symlinkSync(folder, join(root, "alias"));
  expect(toNumberArray((await readModelFile(join(root, "alias", "m.onnx"))).initializers.get("w")!)).toEqual([1, 2, 3]);
});

const broken: [string, Record<string, string>, RegExp][] = [
  ["a missing file", { location: "gone.bin" }, /"gone.bin", which is not beside it/],
  ["no file name", { offset: "0" }, /does not say in which file/],
  ["a folder", { location: "." }, /not beside it|not a regular file|leads outside/],
  [
    "more than the file holds",
    { location: "w.bin", offset: "4" },
    /needs bytes 4 to 16 of "w.bin", which is only 12 bytes long/,
  ],
  [
    "an offset beyond 2^53",
    { location: "w.bin", offset: "99999999999999999999" },
    /gives "99999999999999999999" as the offset/,
  ],
  ["a negative offset", { location: "w.bin", offset: "-4" }, /gives "-4" as the offset/],
  [
    "a length that is not that of the dims",
    { location: "w.bin", length: "8" },
    /needs 12 bytes for its dims, but the model gives 8/,
  ],
];

test.each(broken)("external data with %s: one clear sentence", async (_, entries, message) => {
  writeFileSync(join(folder, "w.bin"), numbers(1, 2, 3));
  const path = externalModel(entries);
  await expect(readModelFile(path)).rejects.toMatchObject({
    name: "ModelError",
    where: path,
    message: expect.stringMatching(message),
  });
});

test("constants that overlap in one file are refused; the same one twice is shared", async () => {
  writeFileSync(join(folder, "w.bin"), numbers(1, 2, 3));
  const path = join(folder, "m.onnx");
  const constant = (name: string, count: bigint, offset: string) => ({
    name,
    dims: [count],
    dataType: 1,
    dataLocation: 1 as const,
    externalData: [
      { key: "location", value: "w.bin" },
      { key: "offset", value: offset },
    ],
  });
  writeFileSync(path, addModel({ initializer: [constant("w", 3n, "0"), constant("w2", 3n, "0")] }));
  expect((await readModelFile(path)).initializers.size).toBe(2);
  writeFileSync(path, addModel({ initializer: [constant("w", 3n, "0"), constant("w2", 2n, "4")] }));
  await expect(readModelFile(path)).rejects.toMatchObject({ message: expect.stringMatching(/overlap/) });
  expect(existsSync(path)).toBe(true);
});
