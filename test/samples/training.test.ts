import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainEyeState } from "../../samples/driver-monitoring/index.js";
import { readModelFile } from "../../toolkit/onnx/index.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-eyes-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("training the eye-state model", () => {
  test("lowers the loss within a few steps and writes the model that it returns", async () => {
    const out = join(folder, "trained.onnx");
    const { graph, history } = await trainEyeState({ train: 512, test: 64, epochs: 4, seed: 5, cacheDir: folder, out });
    expect(history).toHaveLength(4);
    expect(history[3].loss).toBeLessThan(history[0].loss - 0.03);
    const written = await readModelFile(out);
    expect(written.initializers).toEqual(graph.initializers);
  });

  test("gives the same model twice", async () => {
    const run = () => trainEyeState({ train: 256, test: 64, epochs: 1, seed: 5, cacheDir: folder });
    const [first, second] = [await run(), await run()];
    expect(second.graph.initializers).toEqual(first.graph.initializers);
    expect(second.evaluation).toEqual(first.evaluation);
  });

  test("stops when asked to and writes nothing", async () => {
    const stop = new AbortController();
    const out = join(folder, "stopped.onnx");
    const running = trainEyeState({
      train: 512,
      test: 128,
      epochs: 4,
      seed: 5,
      cacheDir: folder,
      out,
      signal: stop.signal,
      onProgress: ({ stage, done }) => {
        if (stage === "training" && done === 2) stop.abort(new Error("asked to stop"));
      },
    });
    await expect(running).rejects.toThrow("asked to stop");
    expect(existsSync(out)).toBe(false);
  });
});
