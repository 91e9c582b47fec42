/** The model zoo of test/corpus, where EDGEFIT_ZOO names the folder that its exporter filled. */
import { describe, expect, test } from "vitest";
import { tolerance, tryModel, zooModels } from "../support/zoo.js";

const dir = process.env.EDGEFIT_ZOO;

describe.skipIf(!dir)("model zoo (EDGEFIT_ZOO)", () => {
  const models = dir ? zooModels(dir) : [{ name: "no folder given", path: "" }];

  test.each(models)("$name: cut at random, the written file computes what the masked net does", async (m) => {
    const r = await tryModel(m.name, m.path);
    expect(r.groups).toBeGreaterThan(0);
    expect(r.error).toBeLessThanOrEqual(tolerance);
    expect(r.errorOptimized).toBeLessThanOrEqual(tolerance);
    expect(r.moved).toBeGreaterThan(10 * tolerance);
  });
});
