/** Files as other tools write them, on their whole way: read, tidied, shapes inferred, channels cut, written, run. */
import { TensorProto_DataType as DataType } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { type ElemType, floats, fromNumbers, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { type ChannelGroups, findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomFeeds, randomKeep, relativeError, runGraph } from "../support/graphs.js";
import { waves } from "../support/models.js";
import { addModel, decode, type GraphInit } from "../support/protos.js";
import { hasShared, sharedPath } from "../support/shared.js";

const understood = (bytes: Uint8Array): Graph => {
  const g = inferShapes(tidy(readModel(bytes)));
  checkGraph(g);
  return g;
};

/** Cuts at random, runs the written file, and compares with the masked net. */
async function expectCuttable(bytes: Uint8Array, tolerance = 1e-5, dynamic = 2): Promise<ChannelGroups> {
  const g = understood(bytes);
  const groups = findGroups(g);
  expect(groups.prunable.length).toBeGreaterThan(0);
  for (const seed of [1, 2]) {
    const keep = randomKeep(groups, seed);
    const sliced = sliceGraph(g, groups, keep);
    const feeds = randomFeeds(g, seed, [-1, 1], dynamic);
    const [a, b] = [
      await runGraph(readModel(writeModel(sliced)), feeds),
      await runGraph(maskGraph(g, groups, keep), feeds),
    ];
    for (const v of g.outputs) expect(relativeError(a[v.name], b[v.name])).toBeLessThan(tolerance);
  }
  return groups;
}

const typed = (elemType: ElemType, t: Tensor): Tensor =>
  fromNumbers(elemType, Array.from(t.data as Float32Array), t.dims);

/** x -> Conv(w1) -> Relu -> Conv(w2) -> y, with the weights that `weight` makes of two tensors. */
function twoConvs(
  weight: (b: GraphBuilder, name: string, t: Tensor) => Ref,
  elemType: ElemType = "float32",
  opset = 17,
  batch: number | string = 2,
): Uint8Array {
  const b = new GraphBuilder(emptyGraph("two", opset, 8));
  const x = b.input("x", [batch, 3, 5, 5], elemType);
  const h = b.relu(
    b.conv(x, weight(b, "w1", waves([8, 3, 3, 3], 0.5)), b.initializer("b1", typed(elemType, waves([8])))),
  );
  b.output(b.conv(h, weight(b, "w2", waves([4, 8, 1, 1], 0.5)), ""), { elemType });
  return writeModel(b.graph);
}

describe("half floats", () => {
  test("a float16 net is cut and gives what the masked one gives", async () => {
    const bytes = twoConvs((b, name, t) => b.initializer(name, typed("float16", t)), "float16");
    const groups = await expectCuttable(bytes, 4e-3);
    const g = understood(bytes);
    const keep = new Map([[groups.prunable[0].id, Int32Array.of(0, 5)]]);
    const sliced = sliceGraph(g, groups, keep);
    // Bits are moved, never rounded again.
    const [before, after] = [g, sliced].map((m) => m.initializers.get("w1")!);
    expect([after.elemType, after.dims]).toEqual(["float16", [2, 3, 3, 3]]);
    expect([...(after.data as Uint16Array)]).toEqual(
      [0, 5].flatMap((k) => [...(before.data as Uint16Array).subarray(27 * k, 27 * (k + 1))]),
    );
    expect(typeOf(sliced, sliced.outputs[0].name)?.elemType).toBe("float16");
  });

  test("bfloat16 weights are read, cut and written bit by bit", () => {
    const bytes = twoConvs((b, name, t) => b.initializer(name, typed("bfloat16", t)), "bfloat16", 22);
    const g = understood(bytes);
    const groups = findGroups(g);
    const sliced = readModel(writeModel(sliceGraph(g, groups, new Map([[groups.prunable[0].id, Int32Array.of(3)]]))));
    expect(sliced.initializers.get("w1")).toMatchObject({ elemType: "bfloat16", dims: [1, 3, 3, 3] });
    expect([...(sliced.initializers.get("w1")!.data as Uint16Array)]).toEqual([
      ...(g.initializers.get("w1")!.data as Uint16Array).subarray(81, 108),
    ]);
    const exact = toNumbers(fromNumbers("bfloat16", [1 / 3], [1]))[0];
    expect(Math.abs(exact - 1 / 3)).toBeLessThan(2 ** -10);
  });
});

describe("weights that hide", () => {
  const hidden: [string, (b: GraphBuilder, name: string, t: Tensor) => Ref][] = [
    ["Identity, twice", (b, name, t) => b.identity(b.identity(b.initializer(name, t)))],
    [
      "Cast from float16",
      (b, name, t) => b.emit("Cast", [b.initializer(name, typed("float16", t))], { to: attr.int(1) }),
    ],
    [
      "Cast from float64",
      (b, name, t) => b.emit("Cast", [b.initializer(name, typed("float64", t))], { to: attr.int(1) }),
    ],
    [
      "Transpose",
      (b, name, t) => {
        const [o, i, h, w] = t.dims;
        return b.transpose(b.initializer(name, { ...t, dims: [i, h, w, o] }), [3, 0, 1, 2]);
      },
    ],
    ["Reshape", (b, name, t) => b.reshape(b.initializer(name, { ...t, dims: [t.data.length] }), t.dims)],
    [
      "Constant, Reshape, Transpose and Cast in a chain",
      (b, name, t) => {
        const [o, i, h, w] = t.dims;
        const c = b.emit(
          "Constant",
          [],
          { value: attr.tensor(typed("float16", { ...t, dims: [t.data.length] })) },
          { out: name },
        );
        return b.emit("Cast", [b.transpose(b.reshape(c, [i, h, w, o]), [3, 0, 1, 2])], { to: attr.int(1) });
      },
    ],
    [
      "Squeeze and Unsqueeze",
      (b, name, t) => b.emit("Squeeze", [b.emit("Unsqueeze", [b.initializer(name, t), b.ints([0])]), b.ints([0])]),
    ],
    [
      "Constant value_floats",
      (b, name, t) =>
        b.reshape(
          b.emit("Constant", [], { value_floats: attr.floats([...(t.data as Float32Array)]) }, { out: name }),
          t.dims,
        ),
    ],
    [
      "Concat of two halves",
      (b, name, t) => {
        const half = t.data.length / 2;
        const [n, ...rest] = t.dims;
        const part = (k: number) =>
          b.initializer(
            `${name}${k}`,
            floats((t.data as Float32Array).slice(k * half, (k + 1) * half), [n / 2, ...rest]),
          );
        return b.concat([part(0), part(1)], 0);
      },
    ],
  ];

  test.each(hidden)("behind %s become initializers and are cut", async (_, weight) => {
    const bytes = twoConvs(weight);
    const groups = await expectCuttable(bytes);
    expect(groups.prunable.map((e) => e.width)).toEqual([8]);
    expect(understood(bytes).nodes.map((n) => n.opType)).toEqual(["Conv", "Relu", "Conv"]);
  });

  test("a large weight is folded too: one of 5 million elements behind a Transpose", () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1, 2000]);
    const h = b.matmul(x, b.transpose(b.initializer("w", floats(new Float32Array(2500 * 2000), [2500, 2000])), [1, 0]));
    b.output(b.matmul(h, b.initializer("v", waves([2500, 2]))));
    const g = understood(writeModel(b.graph));
    expect(g.nodes.map((n) => n.opType)).toEqual(["MatMul", "MatMul"]);
    expect(findGroups(g).prunable.map((e) => e.width)).toEqual([2500]);
  });

  test("behind DequantizeLinear are cut with their scales and zero points", async () => {
    const bytes = twoConvs((b, name, t) => {
      const q = fromNumbers(
        "int8",
        Array.from(t.data as Float32Array, (v) => Math.round(v * 100)),
        t.dims,
      );
      const scales = floats(Float32Array.from({ length: t.dims[0] }, (_, i) => 0.01 + 0.001 * i));
      const zeros = fromNumbers(
        "int8",
        Array.from({ length: t.dims[0] }, (_, i) => i),
        [t.dims[0]],
      );
      return b.emit(
        "DequantizeLinear",
        [b.initializer(name, q), b.initializer(`${name}_scale`, scales), b.initializer(`${name}_zero`, zeros)],
        { axis: attr.int(0) },
      );
    });
    const groups = await expectCuttable(bytes);
    const g = understood(bytes);
    const sliced = sliceGraph(g, groups, new Map([[groups.prunable[0].id, Int32Array.of(1, 2, 7)]]));
    const lengths = ["w1", "w1_scale", "w1_zero"].map((name) => sliced.initializers.get(name)?.dims[0]);
    expect(lengths).toEqual([3, 3, 3]);
    expect([...(sliced.initializers.get("w1_zero")!.data as Int8Array)]).toEqual([1, 2, 7]);
  });
});

describe("sparse, shared and repeated constants", () => {
  /** The dense values that are not zero, as a sparse initializer. */
  function sparse(name: string, t: Tensor, coordinates: boolean) {
    const data = t.data as Float32Array;
    const at = [...data.keys()].filter((i) => data[i] !== 0);
    const strides = t.dims.map((_, k) => t.dims.slice(k + 1).reduce((a, d) => a * d, 1));
    const indices = coordinates ? at.flatMap((i) => strides.map((s, k) => Math.floor(i / s) % t.dims[k])) : at;
    const raw = (a: ArrayBufferView) => new Uint8Array(a.buffer as ArrayBuffer, a.byteOffset, a.byteLength);
    return {
      dims: t.dims.map(BigInt),
      values: {
        name,
        dims: [BigInt(at.length)],
        dataType: DataType.FLOAT,
        rawData: raw(Float32Array.from(at, (i) => data[i])),
      },
      indices: {
        dims: (coordinates ? [at.length, t.dims.length] : [at.length]).map(BigInt),
        dataType: DataType.INT64,
        rawData: raw(BigInt64Array.from(indices, BigInt)),
      },
    };
  }
  /** Every third value only. */
  const thin = (t: Tensor): Tensor =>
    floats(
      (t.data as Float32Array).map((v, i) => (i % 3 === 1 ? v : 0)),
      t.dims,
    );

  /** The net of `twoConvs` with its first weight sparse. */
  function sparseModel(coordinates: boolean): Uint8Array {
    const model = decode(twoConvs((b, name, t) => b.initializer(name, thin(t))));
    const graph = model.graph!;
    graph.initializer = graph.initializer.filter((t) => t.name !== "w1");
    return addModel(
      {
        node: graph.node,
        input: graph.input,
        output: graph.output,
        initializer: graph.initializer,
        sparseInitializer: [sparse("w1", thin(waves([8, 3, 3, 3], 0.5)), coordinates)],
      } as GraphInit,
      { opsetImport: model.opsetImport },
    );
  }

  test.each([false, true])(
    "a sparse weight is read as what it stands for and cut (coordinates: %s)",
    async (coordinates) => {
      const bytes = sparseModel(coordinates);
      expect(understood(bytes).initializers.get("w1")!.data).toEqual(thin(waves([8, 3, 3, 3], 0.5)).data);
      await expectCuttable(bytes);
      // Untouched, it is written as it was.
      expect(decode(writeModel(readModel(bytes))).graph!.sparseInitializer).toEqual(
        decode(bytes).graph!.sparseInitializer,
      );
      const g = understood(bytes);
      const groups = findGroups(g);
      const cut = decode(writeModel(sliceGraph(g, groups, new Map([[groups.prunable[0].id, Int32Array.of(0, 1)]]))))
        .graph!;
      expect([cut.sparseInitializer.length, cut.initializer.find((t) => t.name === "w1")?.dims]).toEqual([
        0,
        [2n, 3n, 3n, 3n],
      ]);
    },
  );

  const indices = (values: bigint[], dims: bigint[]) => ({ dims, dataType: DataType.INT64, int64Data: values });
  const sparseOf = (dims: bigint[], i: ReturnType<typeof indices>) =>
    addModel({
      sparseInitializer: [
        { dims, values: { name: "s", dims: [2n], dataType: DataType.FLOAT, floatData: [1, 2] }, indices: i },
      ],
    } as GraphInit);
  const wrong: [string, Uint8Array, RegExp][] = [
    ["an index beyond the end", sparseOf([3n], indices([0n, 3n], [2n])), /at 3, beyond its 3 elements/],
    ["a negative index", sparseOf([3n], indices([-1n, 2n], [2n])), /at -1/],
    ["indices out of order", sparseOf([3n], indices([2n, 1n], [2n])), /out of order/],
    ["an index twice", sparseOf([3n], indices([1n, 1n], [2n])), /twice/],
    ["too few indices", sparseOf([3n], indices([1n], [1n])), /indices do not match/],
    [
      "coordinates of another rank",
      sparseOf([3n, 3n], indices([0n, 0n, 0n, 1n, 1n, 1n], [2n, 3n])),
      /indices do not match/,
    ],
  ];
  test.each(wrong)("%s is refused", (_, bytes, message) => {
    expect(() => readModel(bytes)).toThrow(message);
  });

  test("a sparse constant of 2^40 elements takes no memory and is carried", () => {
    const bytes = sparseOf([2n ** 20n, 2n ** 20n], indices([0n, 5n], [2n]));
    const g = readModel(bytes);
    expect(g.initializers.get("s")).toMatchObject({ elemType: "other", dims: [2 ** 20, 2 ** 20] });
    expect(decode(writeModel(g)).graph!.sparseInitializer).toEqual(decode(bytes).graph!.sparseInitializer);
  });

  test("one weight that two layers share, and two that are equal, are cut each in its own right", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", [2, 3, 5, 5]);
    const w = b.initializer("shared", waves([6, 3, 1, 1]));
    const twin = b.initializer("twin", waves([6, 3, 1, 1]));
    const sum = b.add(b.add(b.conv(x, w, ""), b.conv(b.neg(x), w, "")), b.conv(x, twin, ""));
    b.output(b.conv(b.relu(sum), b.initializer("out", waves([2, 6, 1, 1])), ""));
    const groups = await expectCuttable(writeModel(b.graph));
    expect(groups.prunable.map((e) => e.width)).toEqual([6]);
  });
});

describe("names", () => {
  const odd = ["a b/c\\d", "ключ", "名前", "🦊", "", "constructor", "__proto__", "#2", 'a\nb\t"q"', "x".repeat(3000)];

  test("values and nodes of any name are cut, written and run", async () => {
    const b = new GraphBuilder();
    let y = b.input("вход 入力/0", ["пакет", 3, 4, 4]);
    odd.forEach((name, i) => {
      y = b.conv(
        y,
        b.initializer(`${name}/вес ${i}`, waves([i === odd.length - 1 ? 2 : 4, i === 0 ? 3 : 4, 1, 1])),
        "",
        {},
        { name, out: name || "unnamed" },
      );
      if (name === "") b.graph.nodes.push({ ...b.graph.nodes.pop()!, name: "" });
    });
    b.output(b.identity(y, { out: "выход" }));
    const bytes = writeModel(b.graph);
    const groups = await expectCuttable(bytes);
    expect(groups.prunable.length).toBe(odd.length - 1);
    const names = understood(bytes).nodes.map((n) => n.name);
    expect(new Set(names).size).toBe(odd.length + 1);
    expect(names).toEqual(expect.arrayContaining(odd.filter((name) => name !== "")));
  });

  test("nodes without names, and with one name for all, get names of their own", () => {
    for (const name of ["", "same"]) {
      const g = readModel(twoConvs((b, n, t) => b.initializer(n, t)));
      const anonymous = writeModel({ ...g, nodes: g.nodes.map((n) => ({ ...n, name })) });
      expect(new Set(understood(anonymous).nodes.map((n) => n.name)).size).toBe(3);
    }
  });
});

describe("types that edgefit does not compute with", () => {
  test("four-bit and eight-bit float weights go through a cut of the rest untouched, and what they touch stays whole", async () => {
    const b = new GraphBuilder(emptyGraph("narrow", 21, 10));
    const x = b.input("x", [2, 3, 5, 5]);
    const h = b.relu(b.conv(x, b.initializer("w1", waves([8, 3, 3, 3])), ""));
    const wide = b.relu(b.conv(h, b.initializer("w2", waves([6, 8, 1, 1])), ""));
    const q = b.emit("DequantizeLinear", ["q", b.const(0.1)]);
    b.output(b.conv(wide, q, ""), { elemType: "float32" });
    const message = decode(
      writeModel({
        ...b.graph,
        initializers: new Map([
          ...b.graph.initializers,
          ["q", { elemType: "int8", dims: [4, 6, 1, 1], data: new Int8Array(24) }],
        ]),
      }),
    );
    const t = message.graph!.initializer.find((e) => e.name === "q")!;
    t.dataType = DataType.INT4;
    t.rawData = Uint8Array.from({ length: 12 }, (_, i) => 16 * i + 3);
    const bytes = addModel(
      {
        node: message.graph!.node,
        input: message.graph!.input,
        output: message.graph!.output,
        initializer: message.graph!.initializer,
      } as GraphInit,
      { opsetImport: message.opsetImport, irVersion: 10n },
    );
    const g = understood(bytes);
    const groups = findGroups(g);
    expect(groups.prunable.map((e) => e.width)).toEqual([8]);
    expect(groups.groups.find((e) => e.width === 6)?.frozen).toBe('parameter "q" is of type int4, which is not cut');
    const cut = decode(writeModel(sliceGraph(g, groups, randomKeep(groups, 1)))).graph!;
    expect(cut.initializer.find((e) => e.name === "q")).toMatchObject({ dataType: DataType.INT4, rawData: t.rawData });
    await expectCuttable(bytes);
  });
});

describe("operator sets and dynamic batches", () => {
  test.each(Array.from({ length: 17 }, (_, i) => 7 + i))("operator set %i", async (opset) => {
    const bytes = twoConvs((b, name, t) => b.initializer(name, t), "float32", opset);
    await expectCuttable(bytes);
  });

  test.each([3, 4, 5, 6, 7, 8, 9, 10])("IR version %i", async (irVersion) => {
    const model = decode(twoConvs((b, name, t) => b.initializer(name, t), "float32", 9));
    const graph = model.graph!;
    const type = (dims: bigint[]) => ({
      value: {
        case: "tensorType" as const,
        value: { elemType: 1, shape: { dim: dims.map((value) => ({ value: { case: "dimValue" as const, value } })) } },
      },
    });
    // Before version 4 constants are inputs as well.
    const listed = irVersion < 4 ? graph.initializer.map((t) => ({ name: t.name, type: type(t.dims) })) : [];
    const bytes = addModel(
      {
        node: graph.node,
        input: [...graph.input, ...listed],
        output: graph.output,
        initializer: graph.initializer,
      } as GraphInit,
      { opsetImport: model.opsetImport, irVersion: BigInt(irVersion) },
    );
    await expectCuttable(bytes);
    expect(readModel(writeModel(readModel(bytes))).model.irVersion).toBe(irVersion);
  });

  test("a batch that is a name, and one that is not known, stay so", async () => {
    const bytes = twoConvs((b, name, t) => b.initializer(name, t), "float32", 17, "N");
    await expectCuttable(bytes, 1e-5, 3);
    const g = understood(bytes);
    const groups = findGroups(g);
    const sliced = sliceGraph(g, groups, randomKeep(groups, 1));
    expect(sliced.inputs[0].type.dims?.[0]).toBe("N");
    expect(sliced.outputs[0].type.dims?.[0]).toBe("N");
  });
});

describe.skipIf(!hasShared)("com.microsoft", () => {
  test("the nodes that ONNX Runtime fused are as cuttable as the plain ones", async () => {
    const load = async (file: string) =>
      inferShapes(tidy(await readModelFile(sharedPath(`models/openseeface/${file}`))));
    const [fused, plain] = [await load("lm_model0_opt.onnx"), await load("lm_model0_opt-plain.onnx")];
    expect(fused.nodes.some((n) => n.domain === "com.microsoft")).toBe(true);
    const widths = (g: Graph) =>
      findGroups(g)
        .prunable.map((e) => e.width)
        .sort((a, b) => a - b);
    expect(widths(fused)).toEqual(widths(plain));
    expect(findGroups(fused).groups.filter((e) => e.frozen?.includes("no rule"))).toEqual([]);
  });
});
