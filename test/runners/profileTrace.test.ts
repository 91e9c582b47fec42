import { expect, test } from "vitest";
import { readTrace } from "../../runners/profileTrace.js";

const run = (ts: number, dur: number) => ({ cat: "Session", name: "model_run", ts, dur, ph: "X", args: {} });
const node = (name: string, index: number, ts: number, dur: number, extra = {}) => ({
  cat: "Node",
  name: `${name}_kernel_time`,
  ts,
  dur,
  ph: "X",
  args: {
    op_name: "Conv",
    provider: "CPUExecutionProvider",
    node_index: String(index),
    input_type_shape: [{ float: [1, 3, 8, 8] }, { float: [4, 3, 3, 3] }],
    output_type_shape: [{ float: [1, 4, 6, 6] }],
    ...extra,
  },
});

const three = [
  { cat: "Session", name: "session_initialization", ts: 0, dur: 50, ph: "X", args: {} },
  node("conv", 0, 101, 40),
  node("conv_token_1", 1, 145, 9),
  run(100, 60),
  node("conv", 0, 201, 30),
  node("conv_token_1", 1, 235, 8),
  run(200, 50),
  node("conv", 0, 301, 31),
  node("conv_token_1", 1, 335, 7),
  run(300, 45),
];

test("drops warm-ups and keeps calls in order", () => {
  const p = readTrace(JSON.stringify(three), 2, 1);
  expect(p.callsUs).toEqual(Float64Array.of(50, 45));
  expect(p.nodes.map((n) => n.name)).toEqual(["conv", "conv_token_1"]);
  expect(p.nodes.map((n) => n.durationsUs)).toEqual([Float64Array.of(30, 31), Float64Array.of(8, 7)]);
  expect(p.nodes[0]).toMatchObject({
    opType: "Conv",
    provider: "CPUExecutionProvider",
    inputDims: [
      [1, 3, 8, 8],
      [4, 3, 3, 3],
    ],
    outputDims: [[1, 4, 6, 6]],
  });
});

test("does not count on the order of events in the file", () => {
  expect(readTrace(JSON.stringify([...three].reverse()), 2, 1)).toEqual(readTrace(JSON.stringify(three), 2, 1));
});

test("stops after the asked number of calls", () => {
  expect(readTrace(JSON.stringify(three), 1, 1).nodes[0].durationsUs).toEqual(Float64Array.of(30));
});

test("adds up a node that runs several times in a call, and keeps nodes of one name apart by index", () => {
  const events = [run(0, 100), node("body", 3, 1, 10), node("body", 3, 20, 11), node("body", 4, 40, 5)];
  const p = readTrace(JSON.stringify(events), 1, 0);
  expect(p.nodes.map((n) => n.durationsUs[0])).toEqual([21, 5]);
});

test.each([
  ["profile-truncated", JSON.stringify(three.slice(0, 4)), /1 calls of 3/],
  ["profile-empty", JSON.stringify([run(0, 1), run(2, 1), run(4, 1)]), /no node/],
  ["profile-unreadable", "[{", /not JSON/],
  ["profile-unreadable", "{}", /not a list/],
])("refuses with %s", (code, text, message) => {
  expect(() => readTrace(text, 2, 1)).toThrow(expect.objectContaining({ name: "DeviceError", code }));
  expect(() => readTrace(text, 2, 1)).toThrow(message);
});
