/**
 * The node test cases of the `onnx` package, where EDGEFIT_NODE_TESTS names their folder (test/corpus/nodeTests.py writes it).
 * They are not part of this repository.
 */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  caseNames,
  type DynamicVerdict,
  judgeDynamic,
  judgeRaised,
  judgeShapes,
  judgeValues,
  type RaisedVerdict,
  readCase,
  type ShapeVerdict,
  type ValueVerdict,
} from "../support/nodeCases.js";
import { picksByValue } from "../support/operators.js";

const folder = process.env.EDGEFIT_NODE_TESTS ?? "";
const names = existsSync(folder) ? caseNames(folder) : ["(EDGEFIT_NODE_TESTS names no folder)"];

/** The runtime's own deviations from the specification; its constants are what the model would compute. */
const deviations = /^test_(maxunpool_export_with_output_shape|resize_downsample_scales_(cubic|linear)_align_corners)$/;

const mistake = (v: ShapeVerdict | DynamicVerdict | RaisedVerdict | ValueVerdict): string =>
  v.state === "wrong" ? v.detail : "";

describe.skipIf(!existsSync(folder))("ONNX node tests", () => {
  test.each(names)("%s", async (name) => {
    const c = readCase(folder, name);
    expect(mistake(judgeShapes(c, picksByValue))).toBe("");
    expect(mistake(judgeDynamic(c))).toBe("");
    expect(mistake(await judgeRaised(c))).toBe("");
    const value = mistake(await judgeValues(c));
    if (!deviations.test(name)) expect(value).toBe("");
  });
});
