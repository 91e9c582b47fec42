import { expect, test } from "vitest";
import { toNumbers } from "../../toolkit/graph/tensor.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { keepLast, normScores, orderByScore, scaleScores, taylorScores } from "../../toolkit/prune/importance.js";
import { residualNet } from "./residualNet.js";

const net = residualNet(11);
const groups = findGroups(net);
const values = (name: string): Float64Array => toNumbers(net.initializers.get(name)!);
const rows = (name: string, c: number): number[] => {
  const v = values(name);
  const length = v.length / net.initializers.get(name)!.dims[0];
  return [...v.subarray(c * length, (c + 1) * length)];
};
const sum = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);

test("norms are those of the rows that make a channel, summed over all producers of a tied stream", () => {
  const inner = normScores(net, groups, groups.group("inner"), 1);
  const stream = normScores(net, groups, groups.group("stem"), 2);
  for (let c = 0; c < 6; c++) {
    expect(inner[c]).toBeCloseTo(sum(rows("inner.weight", c).map(Math.abs)), 5);
    expect(stream[c]).toBeCloseTo(sum([...rows("stem.weight", c), ...rows("outer.weight", c)].map((w) => w * w)), 5);
  }
});

test("batch-norm scores are the scales' magnitudes", () => {
  const inner = scaleScores(net, groups, groups.group("inner"))!;
  const stream = scaleScores(net, groups, groups.group("stem"))!;
  for (let c = 0; c < 6; c++) {
    expect(inner[c]).toBeCloseTo(Math.abs(values("inner.bn.scale")[c]), 6);
    expect(stream[c]).toBeCloseTo(Math.abs(values("stem.bn.scale")[c]) + Math.abs(values("outer.bn.scale")[c]), 6);
  }
});

test("Taylor scores add weight times gradient over producers, norms and readers before the absolute value", () => {
  const gradients = new Map(
    [...net.initializers].map(([name, t]) => [
      name,
      Float32Array.from(toNumbers(t), (_, i) => Math.sin(i + name.length)),
    ]),
  );
  const got = taylorScores(net, groups, groups.group("inner"), gradients);
  const product = (name: string, index: number): number => values(name)[index] * gradients.get(name)![index];
  for (let c = 0; c < 6; c++) {
    let expected = 0;
    for (let i = 0; i < 54; i++) expected += product("inner.weight", c * 54 + i);
    for (const p of ["scale", "bias", "mean", "var"]) expected += product(`inner.bn.${p}`, c);
    for (let o = 0; o < 6; o++) for (let t = 0; t < 9; t++) expected += product("outer.weight", o * 54 + c * 9 + t);
    expect(got[c]).toBeCloseTo(Math.abs(expected), 4);
  }
});

test("orders go from the least score up, ties by position, and the last of the order are kept", () => {
  const order = orderByScore([3, 1, 2, 1]);
  expect([...order]).toEqual([1, 3, 2, 0]);
  expect([...keepLast(order, 2)]).toEqual([0, 2]);
});
