/** ValueInfoProto and TypeProto <-> Value and ValueType. Types that are no dense tensor are carried whole. */
import type { Dim, Value, ValueType } from "../graph/graph.js";
import { make, revise, type TypeProto, TypeProtoSchema, type ValueInfoProto, ValueInfoProtoSchema } from "./proto.js";
import { dataTypeOf, elemTypeOf } from "./tensorData.js";

/** Type of a value; sequences, maps, optionals and sparse tensors become `other` without dims. */
export function typeFromProto(p: TypeProto | undefined): ValueType {
  if (p?.value.case !== "tensorType") return { elemType: "other" };
  const { elemType, shape } = p.value.value;
  if (!shape) return { elemType: elemTypeOf(elemType) };
  const dims = shape.dim.map((d): Dim => {
    if (d.value.case === "dimValue")
      return d.value.value < 0n || d.value.value > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(d.value.value);
    return d.value.case === "dimParam" && d.value.value !== "" ? d.value.value : null;
  });
  return { elemType: elemTypeOf(elemType), dims };
}

/** A named value with what the file said about it. */
export function valueFromProto(p: ValueInfoProto): Value {
  return { name: p.name, type: typeFromProto(p.type), extras: p };
}

/** The message for a value. What `extras` carries stays: doc strings, denotations, and the whole type if it did not change. */
export function valueToProto(v: Value): ValueInfoProto {
  const kept = v.extras as ValueInfoProto | undefined;
  const base = kept?.$typeName === "onnx.ValueInfoProto" ? kept : make(ValueInfoProtoSchema, {});
  if (sameType(typeFromProto(base.type), v.type)) return revise(base, { name: v.name });
  return revise(base, { name: v.name, type: typeToProto(v.type, base.type) });
}

function typeToProto(t: ValueType, before: TypeProto | undefined): TypeProto | undefined {
  const old = before?.value.case === "tensorType" ? before.value.value : undefined;
  // A kind without a name of its own keeps the code that the file gave it.
  const elemType = t.elemType === "other" ? old?.elemType : dataTypeOf(t.elemType);
  if (elemType === undefined) return before;
  const dim = (d: Dim, i: number) => ({
    value:
      typeof d === "number"
        ? { case: "dimValue" as const, value: BigInt(d) }
        : d === null
          ? { case: undefined }
          : { case: "dimParam" as const, value: d },
    denotation: old?.shape?.dim[i]?.denotation || undefined,
  });
  return make(TypeProtoSchema, {
    value: { case: "tensorType", value: { elemType, shape: t.dims && { dim: t.dims.map(dim) } } },
    denotation: before?.denotation || undefined,
  });
}

function sameType(a: ValueType, b: ValueType): boolean {
  if (a.elemType !== b.elemType || a.dims?.length !== b.dims?.length) return false;
  return a.dims?.every((d, i) => d === b.dims?.[i]) ?? true;
}
