/** Whether a node has the inputs, outputs and attributes that its operator takes: rules rely on it and need not ask again. */
import { ModelError } from "../graph/errors.js";
import { type Attribute, at, type OpNode } from "../graph/graph.js";
import type { ElemType } from "../graph/tensor.js";
import { signatures } from "./signatures.js";

interface Slot {
  kind: "r" | "o" | "v";
  /** Slots with the same letter hold the same element type. */
  type?: string;
}

interface Signature {
  since: number;
  inputs: readonly Slot[];
  outputs: readonly Slot[];
  attributes: readonly { name: string; kind: Kind; required: boolean }[];
}

/** Kinds of attributes by the letters of the table; the others come from the reader as `opaque`. */
const kinds = {
  f: { type: "float", words: "a number" },
  i: { type: "int", words: "an integer" },
  s: { type: "string", words: "a string" },
  t: { type: "tensor", words: "a tensor" },
  g: { type: "graph", words: "a graph" },
  F: { type: "floats", words: "a list of numbers" },
  I: { type: "ints", words: "a list of integers" },
  S: { type: "strings", words: "a list of strings" },
} as const;
type Kind = keyof typeof kinds | "T" | "G" | "p" | "P" | "x" | "X";

let table: Map<string, Signature[]> | undefined;

function tableOf(): Map<string, Signature[]> {
  const out = new Map<string, Signature[]>();
  for (const line of signatures.trim().split("\n")) {
    const [opType, since, inputs, outputs, ...attributes] = line.split(" ");
    const list = out.get(opType) ?? [];
    list.unshift({
      since: Number(since),
      inputs: slotsOf(inputs),
      outputs: slotsOf(outputs),
      attributes: attributes.map((a) => {
        const [name, kind] = a.split(":");
        return { name, kind: kind[0] as Kind, required: kind.endsWith("!") };
      }),
    });
    out.set(opType, list);
  }
  return out;
}

const slotsOf = (text: string): Slot[] =>
  [...text.matchAll(/([rov])(\d?)/g)].map(([, kind, type]) => ({
    kind: kind as Slot["kind"],
    ...(type === "" ? {} : { type }),
  }));

/**
 * Throws ModelError `malformed` for a node of the default domain that lacks a required input, output or attribute, has
 * more of them than its operator takes, or has one of the wrong kind, and `elem-type` for inputs of different types where
 * they must have one. `elemTypeOf` tells the type of input `i`, where it is known. Operators that the specification does not
 * know pass. Source: the operator schemas of the ONNX specification.
 */
export function checkSignature(n: OpNode, opset: number, elemTypeOf: (i: number) => ElemType | undefined): void {
  if (n.domain !== "") return;
  table ??= tableOf();
  const signature = table.get(n.opType)?.find((s) => s.since <= opset);
  if (!signature) return;
  checkSlots(n, "input", n.inputs, signature.inputs);
  checkSlots(n, "output", n.outputs, signature.outputs);
  checkElemTypes(n, signature.inputs, elemTypeOf);
  for (const { name, kind, required } of signature.attributes) {
    const a = n.attributes[name];
    if (!a && required) throw malformed(n, `lacks its attribute "${name}"`);
    if (a && !isOfKind(a, kind)) throw malformed(n, `has an attribute "${name}" that is not ${wordsOf(kind)}`);
  }
}

const wordsOf = (kind: Kind): string => (kind in kinds ? kinds[kind as keyof typeof kinds].words : "what it should be");

/** Strings that are no text, and references to attributes of a function, come as `opaque`: nothing is known of their kind. */
const isOfKind = (a: Attribute, kind: Kind): boolean =>
  a.type === "opaque" || (kind in kinds && a.type === kinds[kind as keyof typeof kinds].type);

function checkSlots(n: OpNode, what: string, names: readonly string[], slots: readonly Slot[]): void {
  const most = slots.some((s) => s.kind === "v") ? Number.POSITIVE_INFINITY : slots.length;
  if (names.length > most) throw malformed(n, `has ${names.length} ${what}s; its operator takes at most ${most}`);
  slots.forEach(({ kind }, i) => {
    if (kind === "r" && !names[i]) throw malformed(n, `lacks its ${what} ${i}`);
  });
}

function checkElemTypes(n: OpNode, slots: readonly Slot[], elemTypeOf: (i: number) => ElemType | undefined): void {
  const bound = new Map<string, { elemType: ElemType; i: number }>();
  n.inputs.forEach((name, i) => {
    const { type } = slots[Math.min(i, slots.length - 1)];
    const elemType = name === "" || type === undefined ? undefined : elemTypeOf(i);
    if (type === undefined || elemType === undefined || elemType === "other") return;
    const first = bound.get(type);
    if (!first) bound.set(type, { elemType, i });
    else if (first.elemType !== elemType)
      throw new ModelError(
        "elem-type",
        `${at(n)} has a ${first.elemType} as input ${first.i} and a ${elemType} as input ${i}`,
        {
          where: at(n),
          hint: "its operator wants one type for both",
        },
      );
  });
}

const malformed = (n: OpNode, what: string): ModelError =>
  new ModelError("malformed", `${at(n)} ${what}`, {
    where: at(n),
    hint: "the file may be damaged, or written for another operator set",
  });
