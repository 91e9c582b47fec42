import { describe, expect, it } from "vitest";
import {
  type LatencyTable,
  latencyModel,
  lookup,
  mergeTables,
  parseTable,
  refuseStale,
  TABLE_VERSION,
} from "../../toolkit/latency/index.js";

const table = (changes: Partial<LatencyTable> = {}): LatencyTable => ({
  schemaVersion: TABLE_VERSION,
  device: {
    id: "fake-t1",
    kind: "node-cpu",
    fingerprint: "aa",
    cpu: "abacus",
    cores: 1,
    arch: "x64",
    isa: [],
    emulated: false,
  },
  runtime: {
    package: "onnxruntime-node",
    version: "1.30.0",
    provider: "CPUExecutionProvider",
    threads: 1,
    graphOptimizationLevel: "all",
  },
  date: "2026-01-02T03:04:05.000Z",
  basis: "p50",
  seed: 1,
  rows: [{ key: "k", widths: [8, 16], precision: "fp32", us: 10, launches: 1, n: 1, spread: 0 }],
  nets: [],
  corrections: { fp32: { scale: 1, perLaunchUs: 0, perCallUs: 0 } },
  quality: {},
  reference: { fp32: 1 },
  ...changes,
});

describe("latency tables", () => {
  it("survive a trip through JSON", () => {
    expect(parseTable(JSON.stringify(table()), "t.json")).toEqual(table());
  });

  it.each([
    ["no JSON", "{", "is not JSON"],
    ["a negative time", JSON.stringify(table({ rows: [{ ...table().rows[0], us: -1 }] })), "rows.0.us"],
    ["another version", JSON.stringify({ ...table(), schemaVersion: 99 }), "schemaVersion"],
    [
      "emulated times",
      JSON.stringify({ ...table(), device: { ...table().device, emulated: true } }),
      "device.emulated",
    ],
  ])("refuse %s, naming the place", (_, text, what) => {
    expect(() => parseTable(text, "t.json")).toThrow(
      expect.objectContaining({ code: "table-malformed", where: "t.json", message: expect.stringContaining(what) }),
    );
  });

  it("are stale for another runtime version or device, in a sentence with both", () => {
    const now = { fingerprint: "aa", runtime: { package: "onnxruntime-node", version: "1.31.0" } };
    expect(() => refuseStale(table(), now, "t.json")).toThrow(/onnxruntime-node 1\.30\.0.*onnxruntime-node 1\.31\.0/);
    expect(() => refuseStale(table(), { ...now, fingerprint: "bb", runtime: table().runtime }, "t.json")).toThrow(
      /aa.*bb/,
    );
    expect(() => refuseStale(table(), { fingerprint: "aa", runtime: table().runtime }, "t.json")).not.toThrow();
  });

  it("are found by key, widths and precision", () => {
    expect(lookup(table(), "k", [8, 16], "fp32")?.us).toBe(10);
    expect(lookup(table(), "k", [16, 8], "fp32")).toBeUndefined();
    expect(lookup(table(), "k", [8, 16], "int8")).toBeUndefined();
  });

  it("merge rows by the number of observations and keep the rest of both", () => {
    const [row] = table().rows;
    const other = table({
      rows: [
        { ...row, us: 16, n: 3 },
        { ...row, precision: "int8", us: 4 },
      ],
      corrections: { int8: { scale: 0.9, perLaunchUs: -1, perCallUs: 3 } },
    });
    const merged = mergeTables(table(), other);
    expect(lookup(merged, "k", [8, 16], "fp32")).toMatchObject({ us: 14.5, n: 4 });
    // Standard deviation of {10, 16, 16, 16} over their mean.
    expect(lookup(merged, "k", [8, 16], "fp32")!.spread).toBeCloseTo(Math.sqrt((4.5 ** 2 + 3 * 1.5 ** 2) / 4) / 14.5);
    expect(lookup(merged, "k", [8, 16], "int8")?.us).toBe(4);
    expect(Object.keys(merged.corrections)).toEqual(["fp32", "int8"]);
  });

  it("do not merge across devices, nor serve a model that they were not measured for", () => {
    const elsewhere = table({ device: { ...table().device, fingerprint: "bb" } });
    expect(() => mergeTables(table(), elsewhere)).toThrow(expect.objectContaining({ code: "table-stale" }));
    const kernel = {
      id: "conv",
      nodes: [],
      ops: ["Conv"],
      inputs: [],
      output: "y",
      made: [],
      key: "other",
      widths: [],
      signature: () => ({ key: "other", widths: [] }),
    };
    expect(() => latencyModel(table(), [kernel])).toThrow(expect.objectContaining({ code: "table-mismatch" }));
    expect(() => latencyModel(table({ corrections: {} }), [])).toThrow(
      expect.objectContaining({ code: "table-mismatch" }),
    );
  });
});
