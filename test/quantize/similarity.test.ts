import { expect, test } from "vitest";
import { chooseMixedPrecision, floatOrder } from "../../toolkit/quantize/mixed.js";
import { agreement, argmaxRows, cosine, Similarity, sqnrDb } from "../../toolkit/quantize/similarity.js";

test("the ratio is ten decibels per factor ten of noise power", () => {
  expect(sqnrDb([10, 0], [10, 1])).toBeCloseTo(20, 10);
  expect(sqnrDb([1, 2], [1, 2])).toBe(Number.POSITIVE_INFINITY);
  const parts = new Similarity();
  parts.add([10], [10]);
  parts.add([0], [1]);
  expect(parts.sqnrDb).toBeCloseTo(20, 10);
  expect(() => sqnrDb([1], [1, 2])).toThrow(RangeError);
});

test("cosine ignores length and knows zero vectors", () => {
  expect(cosine([1, 2], [2, 4])).toBeCloseTo(1, 12);
  expect(cosine([1, 0], [0, 1])).toBe(0);
  expect(cosine([0, 0], [0, 0])).toBe(1);
  expect(cosine([0, 0], [1, 0])).toBe(0);
});

test("agreement counts rows with the same winner", () => {
  expect([...argmaxRows([1, 3, 2, 9, 9, 0], 3)]).toEqual([1, 0]);
  expect(agreement([1, 3, 2, 9, 1, 0], [0, 1, 0, 0, 1, 0], 3)).toBe(0.5);
  expect(() => argmaxRows([1, 2, 3], 2)).toThrow(RangeError);
});

const layers = [
  { node: "noisy", sqnrDb: 10 },
  { node: "clean", sqnrDb: 50 },
  { node: "slow", sqnrDb: 60 },
  { node: "middling", sqnrDb: 25 },
];
const gain = (node: string): number => (node === "slow" ? -0.1 : 1);
/** Noise powers add up: the model that the choice assumes, here as the measurement. */
const additive = async (keepFloat: ReadonlySet<string>): Promise<number> =>
  -10 * Math.log10(layers.reduce((sum, l) => sum + (keepFloat.has(l.node) ? 0 : 10 ** (-l.sqnrDb / 10)), 0));

test("nodes that gain nothing go first, then those with most noise per millisecond", () => {
  expect(floatOrder(layers, gain)).toEqual(["slow", "noisy", "middling", "clean"]);
  expect(floatOrder(layers, (n) => (n === "noisy" ? 1000 : 1))).toEqual(["middling", "noisy", "clean", "slow"]);
});

test("mixed precision keeps as few nodes float as the floor allows", async () => {
  const choice = await chooseMixedPrecision(layers, { gainMs: gain, floorDb: 24, measure: additive });
  expect([...choice.keepFloat]).toEqual(["slow", "noisy"]);
  expect(choice.reasons).toEqual(
    new Map([
      ["slow", "not-faster"],
      ["noisy", "not-safe"],
    ]),
  );
  expect(choice.meetsFloor).toBe(true);
  expect(choice.sqnrDb).toBeCloseTo(await additive(new Set(["slow", "noisy"])), 10);
});

test("a measurement worse than predicted takes more nodes, and an impossible floor is admitted", async () => {
  let calls = 0;
  const choice = await chooseMixedPrecision(layers, {
    gainMs: gain,
    floorDb: 24,
    measure: async (k) => {
      calls++;
      return k.size < 3 ? 20 : 30;
    },
  });
  expect(choice.keepFloat.size).toBe(3);
  expect(calls).toBe(2);
  const never = await chooseMixedPrecision(layers, { gainMs: gain, floorDb: 24, measure: async () => 5 });
  expect(never.meetsFloor).toBe(false);
  expect(never.keepFloat.size).toBe(4);
});
