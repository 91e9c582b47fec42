import { expect, test } from "vitest";
import { assertGolden, goldenCheck } from "../../runners/golden.js";
import type { DeviceRunner, WireTensor } from "../../runners/runner.js";
import { wire } from "./models.js";

test("equal outputs pass with no difference", () => {
  const y = wire([1, -2, 3]);
  expect(goldenCheck({ y }, { y })).toEqual({ ok: true, maxAbs: 0, maxRel: 0, cosine: 1 });
});

test("reports the largest differences and the smallest cosine", () => {
  const got = { a: wire([1, 2.5]), b: wire([0, 1]) };
  const expected = { a: wire([1, 2]), b: wire([1, 0]) };
  const r = goldenCheck(got, expected);
  expect(r.ok).toBe(false);
  expect(r.maxAbs).toBe(1);
  expect(r.maxRel).toBe(1);
  expect(r.cosine).toBe(0);
  expect(r.failure).toMatch(/^output "a": 1 of 2 elements differ, by up to 0\.500/);
});

test("the tolerance is absolute plus relative, element by element", () => {
  const expected = { y: wire([100, 0]) };
  expect(goldenCheck({ y: wire([100.9, 0]) }, expected, { absolute: 0, relative: 0.01 }).ok).toBe(true);
  expect(goldenCheck({ y: wire([101.1, 0]) }, expected, { absolute: 0, relative: 0.01 }).ok).toBe(false);
  expect(goldenCheck({ y: wire([100, 0.5]) }, expected, { absolute: 0.1, relative: 0.01 }).ok).toBe(false);
});

test("a cosine bound admits single rounding steps but no other direction", () => {
  const expected = { y: wire([10, 20, 30, 40]) };
  const step = { y: wire([10, 20, 30, 41]) };
  expect(goldenCheck(step, expected).ok).toBe(false);
  expect(goldenCheck(step, expected, { minCosine: 0.999 }).ok).toBe(true);
  expect(goldenCheck({ y: wire([40, 30, 20, 10]) }, expected, { minCosine: 0.999 }).ok).toBe(false);
});

test.each([
  ["NaN for a number", [Number.NaN], [1], false],
  ["a number for NaN", [1], [Number.NaN], false],
  ["NaN for NaN", [Number.NaN], [Number.NaN], true],
  ["infinity for a number", [Number.POSITIVE_INFINITY], [1], false],
  ["the same infinity", [Number.POSITIVE_INFINITY], [Number.POSITIVE_INFINITY], true],
  ["all zeros for all zeros", [0], [0], true],
])("%s", (_, got, expected, ok) => {
  expect(goldenCheck({ y: wire(got) }, { y: wire(expected) }, { minCosine: 0.9 }).ok).toBe(ok);
});

test("a missing, extra or differently shaped output fails by name", () => {
  const y = wire([1, 2]);
  expect(goldenCheck({}, { y }).failure).toMatch(/"y" is missing/);
  expect(goldenCheck({ y, z: y }, { y }).failure).toMatch(/"z" is not one/);
  expect(goldenCheck({ y: wire([1, 2], [2, 1]) }, { y }).failure).toMatch(/dims \[2,1\], expected \[2\]/);
});

test("compares int64", () => {
  const y = (...v: bigint[]): WireTensor => ({ elemType: "int64", dims: [v.length], data: BigInt64Array.from(v) });
  expect(goldenCheck({ y: y(1n, 2n) }, { y: y(1n, 2n) }).ok).toBe(true);
  expect(goldenCheck({ y: y(1n, 3n) }, { y: y(1n, 2n) }).maxAbs).toBe(1);
});

test("a device that computes something else is refused before it is timed", async () => {
  const device = { run: async () => ({ y: wire([5]) }) } as unknown as DeviceRunner;
  await expect(assertGolden(device, 1, {}, { y: wire([5]) })).resolves.toMatchObject({ ok: true });
  await expect(assertGolden(device, 1, {}, { y: wire([6]) })).rejects.toEqual(
    expect.objectContaining({
      name: "DeviceError",
      code: "golden-mismatch",
      message: expect.stringMatching(/"y": 1 of 1/),
    }),
  );
});
