/** Whether a node has the inputs, outputs and attributes that its operator takes: rules rely on it and need not ask again. */
import { ModelError } from "../graph/errors.js";
import { type Attribute, at, type OpNode } from "../graph/graph.js";
import { signatures } from "./signatures.js";

interface Signature {
  since: number;
  inputs: string;
  outputs: string;
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
      inputs: inputs === "-" ? "" : inputs,
      outputs: outputs === "-" ? "" : outputs,
      attributes: attributes.map((a) => {
        const [name, kind] = a.split(":");
        return { name, kind: kind[0] as Kind, required: kind.endsWith("!") };
      }),
    });
    out.set(opType, list);
  }
  return out;
}

/**
 * Throws ModelError `malformed` for a node of the default domain that lacks a required input, output or attribute, has
 * more of them than its operator takes, or has one of the wrong kind. Operators that the specification does not know pass.
 * Source: the operator schemas of the ONNX specification.
 */
export function checkSignature(n: OpNode, opset: number): void {
  if (n.domain !== "") return;
  table ??= tableOf();
  const signature = table.get(n.opType)?.find((s) => s.since <= opset);
  if (!signature) return;
  checkSlots(n, "input", n.inputs, signature.inputs);
  checkSlots(n, "output", n.outputs, signature.outputs);
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

function checkSlots(n: OpNode, what: string, names: readonly string[], slots: string): void {
  const most = slots.includes("v") ? Number.POSITIVE_INFINITY : slots.length;
  if (names.length > most) throw malformed(n, `has ${names.length} ${what}s; its operator takes at most ${most}`);
  for (let i = 0; i < slots.length; i++)
    if (slots[i] === "r" && !names[i]) throw malformed(n, `lacks its ${what} ${i}`);
}

const malformed = (n: OpNode, what: string): ModelError =>
  new ModelError("malformed", `${at(n)} ${what}`, {
    where: at(n),
    hint: "the file may be damaged, or written for another operator set",
  });
