/** Models of TensorFlow's converter against its interpreter, where EDGEFIT_TFLITE_CASES names a folder of test/corpus/tfliteCases.py. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { importTflite } from "../../toolkit/tflite/index.js";
import { caseBytes, differenceTo, type TfliteCase, tfliteCases } from "../support/tfliteCases.js";

const folder = process.env.EDGEFIT_TFLITE_CASES ?? "";
const there = existsSync(join(folder, "index.json"));
const cases: [string, TfliteCase | undefined][] = there
  ? tfliteCases(folder).map((c) => [`${c.name}, ${c.mode}`, c])
  : [["(EDGEFIT_TFLITE_CASES names no folder)", undefined]];

/**
 * Floats agree to 1e-5. Integers are rounded after every operator, and TFLite rounds its multipliers too: one operator is
 * within a step, a few in a row within two. Weights of "dynamic" models stay exact here; the interpreter rounds the activations.
 */
const limits = { float: 1e-5, float16: 1e-5, dynamic: 0.02, int8: 2 };

describe.skipIf(!there)("models of TensorFlow's converter", () => {
  test.each(cases.filter(([, c]) => c?.kind !== "network"))("%s", async (_, c) => {
    const g = importTflite(caseBytes(folder, c!), { where: c!.file });
    for (const level of ["disabled", "all"] as const)
      expect(await differenceTo(folder, c!, g, level), level).toBeLessThanOrEqual(limits[c!.mode]);
  });
});
