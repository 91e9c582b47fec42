import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluateEyeState, eyeStateModelPath, openEyeStateDataset } from "../../samples/driver-monitoring/index.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { openSession } from "../../toolkit/runtime/session.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-eyes-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the committed eye-state model", () => {
  test("is small, reads `image` [N, 3, 32, 32] and gives `logits` [N, 2]", async () => {
    expect(statSync(eyeStateModelPath()).size).toBeLessThan(500_000);
    const g = await readModelFile(eyeStateModelPath());
    expect(g.nodes.some((n) => n.opType === "BatchNormalization")).toBe(true);
    const session = await openSession(g, { threads: 1 });
    expect(session.inputs.map(({ name, dims }) => [name, ...dims])).toEqual([["image", "N", 3, 32, 32]]);
    expect(session.outputs.map(({ name, dims }) => [name, ...dims])).toEqual([["logits", "N", 2]]);
    await session.dispose();
  });

  test("tells open from closed in at least 99 % of crops that no training or published test has used", async () => {
    const fresh = await openEyeStateDataset({ train: 1, test: 768, seed: 20_001, cacheDir: folder });
    const { accuracy } = await evaluateEyeState(await readModelFile(eyeStateModelPath()), fresh.test, { threads: 1 });
    expect(accuracy).toBeGreaterThanOrEqual(0.99);
  });
});
