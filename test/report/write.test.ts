import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkOutputFolder, writeFitOutput } from "../../toolkit/report/write.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-write-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const files = [
  { name: "model.onnx", bytes: Uint8Array.of(1, 2, 3) },
  { name: "report.json", bytes: "{}\n" },
];
const failure = { code: "output-folder", exit: 1 };

describe("writeFitOutput", () => {
  test("makes the folder and writes every file, nothing else", async () => {
    const out = join(folder, "a/b");
    await writeFitOutput(out, files);
    expect(readdirSync(out).sort()).toEqual(["model.onnx", "report.json"]);
    expect([...readFileSync(join(out, "model.onnx"))]).toEqual([1, 2, 3]);
  });

  test("replaces earlier results and leaves strangers alone", async () => {
    writeFileSync(join(folder, "model.onnx"), "old");
    writeFileSync(join(folder, "notes.txt"), "mine");
    await writeFitOutput(folder, files);
    expect(readdirSync(folder).sort()).toEqual(["model.onnx", "notes.txt", "report.json"]);
    expect(readFileSync(join(folder, "model.onnx")).length).toBe(3);
  });

  test("keeps every earlier result when one file cannot be put in place", async () => {
    writeFileSync(join(folder, "model.onnx"), "old");
    mkdirSync(join(folder, "report.json"));
    await expect(writeFitOutput(folder, files)).rejects.toMatchObject({
      ...failure,
      where: join(folder, "report.json"),
    });
    expect(readFileSync(join(folder, "model.onnx"), "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["model.onnx", "report.json"]);
  });

  test("undoes the renames when a later one fails", async () => {
    writeFileSync(join(folder, "model.onnx"), "old");
    // The second name is the first one's: by the time it is renamed, its new file is gone.
    const twice = [files[0], files[0]];
    await expect(writeFitOutput(folder, twice)).rejects.toMatchObject(failure);
    expect(readFileSync(join(folder, "model.onnx"), "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["model.onnx"]);
  });

  test("writes nothing when aborted", async () => {
    const controller = new AbortController();
    controller.abort(new Error("stop"));
    await expect(writeFitOutput(join(folder, "new"), files, controller.signal)).rejects.toThrow("stop");
    expect(existsSync(join(folder, "new"))).toBe(false);
  });

  test.each(["", "/deeper"])("refuses a file in the folder's place%s", async (below) => {
    const file = join(folder, "file");
    writeFileSync(file, "x");
    await expect(writeFitOutput(file + below, files)).rejects.toMatchObject({ ...failure, where: file + below });
    expect(readFileSync(file, "utf8")).toBe("x");
  });
});

describe("checkOutputFolder", () => {
  test("leaves no trace", async () => {
    await checkOutputFolder(join(folder, "a/b"));
    await checkOutputFolder(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("keeps an empty folder that was there", async () => {
    mkdirSync(join(folder, "mine"));
    await checkOutputFolder(join(folder, "mine"));
    expect(existsSync(join(folder, "mine"))).toBe(true);
  });

  test("refuses a file in the folder's place", async () => {
    writeFileSync(join(folder, "file"), "x");
    await expect(checkOutputFolder(join(folder, "file"))).rejects.toMatchObject(failure);
  });

  test.skipIf(process.getuid?.() === 0 || process.platform === "win32")(
    "refuses a folder without permission",
    async () => {
      chmodSync(folder, 0o500);
      await expect(checkOutputFolder(join(folder, "new"))).rejects.toMatchObject(failure);
      chmodSync(folder, 0o700);
    },
  );
});
