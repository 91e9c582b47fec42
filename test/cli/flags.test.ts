import { describe, expect, test } from "vitest";
import { dimValues, optionalNumber, preprocessOption } from "../../toolkit/cli/flags.js";

describe("preprocessing flags", () => {
  test("become numbers and sizes", () => {
    expect(
      preprocessOption({ mean: "0.5, 0.25,0", std: [1, 2, 3], scale: "1/255", size: "24x32", order: "bgr" }),
    ).toEqual({
      flags: { mean: [0.5, 0.25, 0], std: [1, 2, 3], scale: 1 / 255, size: { height: 24, width: 32 }, order: "bgr" },
    });
    expect(preprocessOption({ size: 32 })).toEqual({ flags: { size: { height: 32, width: 32 } } });
    expect(preprocessOption({ preprocess: "p.json" })).toEqual({ file: "p.json" });
    expect(preprocessOption({})).toBeUndefined();
  });

  test.each([
    [{ mean: "0.5;0.5" }, "--mean 0.5;0.5"],
    [{ std: "" }, "--std "],
    [{ scale: "1/0" }, "--scale 1/0"],
    [{ scale: "1/2/3" }, "--scale 1/2/3"],
    [{ scale: "0" }, "--scale 0"],
    [{ size: "0" }, "--size 0"],
    [{ size: "32x" }, "--size 32x"],
    [{ size: "big" }, "--size big"],
  ])("%j is refused with its place", (flags, where) => {
    expect(() => preprocessOption(flags)).toThrow(expect.objectContaining({ code: "flag-value", exit: 1, where }));
  });
});

test("dimensions are NAME=VALUE pairs", () => {
  expect(dimValues(["N=1", "height=320"])).toEqual({ N: 1, height: 320 });
  expect(dimValues("N=2")).toEqual({ N: 2 });
  expect(dimValues(undefined)).toBeUndefined();
  for (const bad of ["N", "N=", "N=0", "N=1.5", "=3"]) {
    expect(() => dimValues([bad])).toThrow(expect.objectContaining({ code: "flag-value" }));
  }
});

test("whole numbers are checked against their least value", () => {
  expect(optionalNumber("--limit", "5", 1)).toBe(5);
  expect(optionalNumber("--limit", 5, 1)).toBe(5);
  expect(optionalNumber("--limit", undefined, 1)).toBeUndefined();
  for (const bad of ["0", "-1", "1.5", "two", "", "1e400"]) {
    expect(() => optionalNumber("--limit", bad, 1)).toThrow("whole number of at least 1");
  }
});
