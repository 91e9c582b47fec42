/**
 * Values on their way from TFLite to ONNX. One TFLite tensor may lie in memory in several layouts, as stored integers and
 * as the real numbers that they stand for; each form is made when an operator first asks for it, and only then.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { attr } from "../graph/graph.js";
import { allocate, type ElemType, floats, fromNumbers, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { asInFile, between, type Layout, movesOnlyUnits, permute, physical, sameLayout } from "./layout.js";
import type { Quantization } from "./model.js";

export interface Value {
  name: string;
  /** Sizes in the order of the file. */
  dims: readonly number[];
  /** Of the stored elements. */
  elemType: ElemType;
  /** Present on integers that stand for real numbers. */
  quantization?: Quantization;
  /** In the order of the file. */
  constant?: Tensor;
  /** The constant came from a value's shape, so that it holds the batch of the file. */
  fromShape?: boolean;
  /** Stored elements, by layout. */
  forms: { layout: Layout; ref: Ref }[];
  /** Real numbers, by layout; for quantised values only. */
  reals: { layout: Layout; ref: Ref }[];
  /** Of a constant: forms without leading axes of size 1, ready to be broadcast. */
  operands?: Map<string, Ref>;
  /** This value is another one with all axes but the batch made one, and no form of it was needed yet. */
  flattened?: Value;
  /** This value is another one with zeros around its height and width: [top, left, bottom, right]. */
  padded?: { of: Value; pads: readonly number[] };
}

/** The real numbers that stored integers stand for, as float32. */
export function dequantized(t: Tensor, q: Quantization): Tensor {
  const stored = toNumbers(t);
  const data = new Float32Array(stored.length);
  const inner = q.axis === undefined ? stored.length : sizeOf(t.dims.slice(q.axis + 1));
  for (let i = 0; i < data.length; i++) {
    const k = Math.floor(i / inner) % q.scales.length;
    data[i] = q.scales[k] * (stored[i] - q.zeroPoints[k]);
  }
  return floats(data, t.dims);
}

/** Type and grid of a value as a graph of integers has them. */
export type Facts = Pick<Value, "elemType" | "quantization">;

/**
 * The same real numbers as unsigned bytes, for values that pass from operator to operator: ONNX Runtime's integer kernels for
 * x64 take no signed ones, and it turns only some signed values into unsigned ones by itself.
 */
export function unsigned({ elemType, quantization: q }: Facts): Facts {
  if (elemType !== "int8" || !q || q.axis !== undefined) return { elemType, ...(q ? { quantization: q } : {}) };
  return { elemType: "uint8", quantization: { ...q, zeroPoints: q.zeroPoints.map((z) => z + 128) } };
}

/** A constant for use beside such values. Weights of convolutions and matrix products stay signed. */
export function unsignedConstant(v: Value): Value {
  const facts = unsigned(v);
  if (!v.constant || facts.elemType === v.elemType) return v;
  const data = Uint8Array.from(v.constant.data as Int8Array, (q) => q + 128);
  return { ...v, ...facts, constant: { ...v.constant, elemType: "uint8", data }, forms: [], reals: [] };
}

/** Whether two values stand on the same grid of real numbers. */
export const sameGrid = (a: Facts, b: Facts) =>
  a.elemType === b.elemType && JSON.stringify(a.quantization) === JSON.stringify(b.quantization);

/** Bytes of constants that may be made from a file of the given length; more means one constant read over and over. */
const constantBudget = (fileBytes: number): number => 16_000_000 + 32 * fileBytes;

/** Makes forms of values, and the constants behind them. */
export class Values {
  private readonly parameters = new Map<string, Ref>();
  private left: number;
  /** Name of a constant that holds the batch of the file and is computed with. */
  batchIn?: string;

  /** Without `integers`, quantised constants become float32 ones, and no other value is quantised. */
  constructor(
    readonly b: GraphBuilder,
    readonly integers: boolean,
    fileBytes: number,
  ) {
    this.left = constantBudget(fileBytes);
  }

  /** A constant of the graph. */
  initializer(name: string, t: Tensor): Ref {
    this.spend(t.data.length);
    return this.b.initializer(name, t);
  }

  private spend(elements: number): void {
    this.left -= 4 * elements;
    if (this.left < 0)
      throw new ModelError(
        "too-large",
        "the operators read the file's constants so often that the model would grow without bound",
      );
  }

  /** A value that is computed, in one layout. */
  computed(name: string, dims: readonly number[], like: Facts, forms: Value["forms"]): Value {
    const { elemType, quantization } = like;
    return { name, dims, elemType, ...(quantization ? { quantization } : {}), forms, reals: [] };
  }

  /** The stored elements in the wanted layout. */
  stored(v: Value, layout: Layout): Ref {
    const known = v.forms.find((f) => sameLayout(f.layout, layout));
    if (known) return known.ref;
    const ref = v.constant ? this.constantForm(v, v.constant, layout) : this.moved(v, layout);
    v.forms.push({ layout, ref });
    return ref;
  }

  private constantForm(v: Value, constant: Tensor, layout: Layout): Ref {
    if (v.fromShape) this.batchIn = v.name;
    return this.initializer(v.name, permute(this.plain(v, constant), layout));
  }

  /** A constant as the graph has it: integers with a scale become float32 ones where the graph has no integers. */
  plain(v: Pick<Value, "quantization">, constant: Tensor): Tensor {
    return v.quantization && !this.integers ? dequantized(constant, v.quantization) : constant;
  }

  private moved(v: Value, layout: Layout): Ref {
    const { dims, name } = v;
    if (v.flattened && v.forms.length === 0) {
      const source = this.stored(v.flattened, asInFile(v.flattened.dims.length));
      const plain = asInFile(dims.length);
      v.forms.push({ layout: plain, ref: this.reshape(source, v.flattened.dims, dims, name) });
      return this.stored(v, layout);
    }
    const near = v.forms.find((f) => movesOnlyUnits(dims, f.layout, layout));
    if (near) return this.reshape(near.ref, physical(dims, near.layout), physical(dims, layout), name);
    const [first] = v.forms;
    return this.b.transpose(first.ref, between(first.layout, layout), { out: name, name: `${name}/Transpose` });
  }

  /** Reshape that leaves the batch open where it stays in front. */
  reshape(x: Ref, before: readonly number[], after: readonly number[], name: string): Ref {
    if (before.join() === after.join()) return x;
    const dims = before[0] === after[0] && before.length > 0 ? [0, ...after.slice(1)] : after;
    return this.b.reshape(x, dims, { out: name, name: `${name}/Reshape` });
  }

  /** The real numbers in the wanted layout. */
  real(v: Value, layout: Layout): Ref {
    if (!v.quantization || !this.integers) return this.stored(v, layout);
    const known = v.reals.find((f) => sameLayout(f.layout, layout));
    if (known) return known.ref;
    const { axis } = v.quantization;
    const at = axis === undefined ? undefined : layout.indexOf(axis);
    const ref = this.dequantize(this.stored(v, layout), v, at);
    v.reals.push({ layout, ref });
    return ref;
  }

  /** A constant in a form of its own; `axis` is where the scales lie along in it. */
  parameter(name: string, t: Tensor, v: Pick<Value, "elemType" | "quantization">, axis?: number): Ref {
    if (!v.quantization) return this.initializer(name, t);
    const q = { ...v.quantization, ...(axis === undefined ? {} : { axis }) };
    if (!this.integers) return this.initializer(name, dequantized(t, q));
    return this.dequantize(this.initializer(name, t), { name, elemType: v.elemType, quantization: q }, axis);
  }

  /** A float32 constant from integers. */
  float(name: string, t: Tensor, q: Quantization): Ref {
    return this.initializer(name, dequantized(t, q));
  }

  /** DequantizeLinear on the grid of `v`. */
  dequantize(x: Ref, v: Pick<Value, "name" | "elemType" | "quantization">, axis?: number): Ref {
    return this.b.emit("DequantizeLinear", [x, ...this.grid(v)], axis === undefined ? {} : { axis: attr.int(axis) }, {
      out: `${v.name}/real`,
      name: `${v.name}/DequantizeLinear`,
    });
  }

  /** QuantizeLinear on the grid of `v`. */
  quantize(x: Ref, v: Pick<Value, "name" | "elemType" | "quantization">): Ref {
    return this.b.emit("QuantizeLinear", [x, ...this.grid(v)], {}, { out: v.name, name: `${v.name}/QuantizeLinear` });
  }

  /** Scale and zero point; equal ones are shared. */
  private grid(v: Pick<Value, "name" | "elemType" | "quantization">): [Ref, Ref] {
    const { scales, zeroPoints, axis } = v.quantization!;
    const dims = axis === undefined ? [] : [scales.length];
    const make = (kind: string, t: Tensor): Ref => {
      const key = `${t.elemType}:${t.dims.join()}:${(t.data as Float32Array).join()}`;
      const ref = this.parameters.get(key) ?? this.initializer(`${v.name}/${kind}`, t);
      this.parameters.set(key, ref);
      return ref;
    };
    return [make("scale", floats(scales, dims)), make("zero_point", fromNumbers(v.elemType, zeroPoints, dims))];
  }

  /** A stored zero: what real 0 is on the grid of `v`. */
  zero(v: Value): Tensor {
    const data = allocate(v.elemType, 1);
    if (v.quantization && this.integers) (data as Int8Array)[0] = v.quantization.zeroPoints[0];
    return { elemType: v.quantization && !this.integers ? "float32" : v.elemType, dims: [], data };
  }
}
