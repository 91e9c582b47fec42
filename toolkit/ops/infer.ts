/**
 * The shape engine: walks the nodes once, asks each rule for its output types, and folds what is known without running
 * the net. Names no operator.
 */

import { namer, removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { at, cloneGraph, type Dim, type Graph, type OpNode, opsetOf, type ValueType } from "../graph/graph.js";
import { branchOf, inlineBranch } from "../graph/inline.js";
import { readsOf } from "../graph/scope.js";
import { ints, sizeOf, type Tensor, toNumberArray } from "../graph/tensor.js";
import { ruleFor } from "./index.js";
import type { OpRule, ShapeContext } from "./rule.js";
import { checkSignature } from "./signature.js";

export interface InferOptions {
  /** Shapes of graph inputs, by name; overrides what the file says. */
  inputs?: Readonly<Record<string, readonly number[]>>;
  /** Values of dynamic dimensions, by name: `--dim N=1`; one without a name is called after its place, `image.0`. */
  dims?: Readonly<Record<string, number>>;
  /** Types of the outputs of an operator without a rule. Default: ModelError. */
  unknown?: (n: OpNode, inputs: (ValueType | undefined)[]) => ValueType[];
}

/** Constants larger than this many elements, and than what they are made of, are not computed here. */
const FOLD_LIMIT = 1 << 22;
/** Elements that are read and made for all constants together, besides a few times those of the file. */
const FOLD_BUDGET = 1 << 24;
const FOLDS_OF_FILE = 4;

/** Bounds what constants may cost: a few bytes of a file can ask for one large tensor after another. */
class FoldBudget {
  private left: number;

  constructor(initializers: Iterable<Tensor>) {
    this.left = FOLD_BUDGET;
    for (const t of initializers) this.left += FOLDS_OF_FILE * sizeOf(t.dims);
  }

  /** Whether outputs of the given dims may be computed; takes what they cost. Dims that are not known may not. */
  allows(inputs: readonly (Tensor | undefined)[], outputs: readonly (readonly Dim[] | undefined)[]): boolean {
    const lists = [...inputs.flatMap((t) => (t ? [t.dims] : [])), ...outputs];
    let cost = 0;
    for (const dims of lists) {
      // An axis of length zero hides any length of the others.
      if (!dims || dims.some((d) => typeof d !== "number" || d > MAX_FOLDED)) return false;
      cost += sizeOf(dims as number[]);
    }
    const read = Math.max(FOLD_LIMIT, ...inputs.map((t) => (t ? sizeOf(t.dims) : 0)));
    if (outputs.some((dims) => sizeOf(dims as number[]) > Math.min(read, MAX_FOLDED)) || cost > this.left) return false;
    this.left -= cost;
    return true;
  }
}

/** However large the constants of the file are. */
const MAX_FOLDED = 1 << 26;

/** Symbolic dimensions inside a shape vector are carried as these numbers; no real length comes near them. */
const SYMBOL_BASE = 2 ** 50;

/** Symbolic dimensions as numbers and back, for operators that only move elements. */
class Symbols {
  private readonly names: Dim[] = [];
  private readonly places = new Map<string, number>();

  encode(d: Dim): number {
    if (typeof d === "number") return d;
    // Two unknown dimensions are never the same one.
    const known = d === null ? undefined : this.places.get(d);
    if (known !== undefined) return SYMBOL_BASE + known;
    const place = this.names.push(d) - 1;
    if (d !== null) this.places.set(d, place);
    return SYMBOL_BASE + place;
  }

  decode(v: number): Dim {
    return v >= SYMBOL_BASE && v - SYMBOL_BASE < this.names.length ? this.names[v - SYMBOL_BASE] : v;
  }

  has = (t: Tensor): boolean =>
    t.elemType === "int64" && toNumberArray(t).some((v) => typeof this.decode(v) !== "number");
}

/**
 * Fills `valueTypes` for every value and updates the types of graph outputs; computes shape arithmetic and other
 * constants and turns them into initializers. Dynamic dimensions stay symbolic where the operators allow.
 * Expects a tidy graph (initializers not listed as inputs). Linear in the number of nodes.
 * Throws ModelError when shapes do not fit, for an operator without a rule (unless `o.unknown`), and when a dynamic
 * dimension is needed as a number: the hint names the flag that gives it.
 */
export function inferShapes(g: Graph, o: InferOptions = {}): Graph {
  const out = cloneGraph(g);
  out.inputs = g.inputs.map((v) => ({ ...v, type: givenType(v.name, v.type, o) }));
  checkOptions(g, o);
  const types = new Map<string, ValueType>(out.inputs.map((v) => [v.name, v.type]));
  const constants = new Map<string, Tensor>(g.initializers);
  for (const [name, t] of g.initializers) types.set(name, { elemType: t.elemType, dims: t.dims });
  const symbols = new Symbols();
  const budget = new FoldBudget(g.initializers.values());
  const partial = new Map<string, Tensor>();
  const outputs = new Set(g.outputs.map((v) => v.name));
  const nodes: OpNode[] = [];
  const unique = namer(g);
  const constant = (base: string, value: Tensor): string => {
    const name = unique(base);
    constants.set(name, value);
    return name;
  };

  const queue = [...g.nodes].reverse();
  for (let n = queue.pop(); n; n = queue.pop()) {
    const branch = branchOf(n, constants.get(n.inputs[0] ?? ""));
    if (branch) {
      // The branch that is always taken is walked in the node's place.
      const inlined = inlineBranch(n, branch, unique);
      for (const [name, t] of inlined.initializers) {
        constants.set(name, t);
        types.set(name, { elemType: t.elemType, dims: t.dims });
      }
      for (const inner of inlined.nodes.reverse()) queue.push(inner);
      continue;
    }
    const opset = opsetOf(g, n.domain);
    checkSignature(n, opset, (i) => types.get(n.inputs[i])?.elemType);
    const rule = ruleFor(n, opset);
    const context = contextOf(n, opset, { types, constants, partial, symbols });
    const found = rule ? typesBy(rule, n, context, out) : typesByCaller(n, types, o);
    n.outputs.forEach((y, i) => {
      if (y && found[i]) types.set(y, refined(found[i], rule ? undefined : g.valueTypes.get(y)));
    });
    const values = rule && known(rule, n, opset, { types, constants, partial, symbols }, budget);
    const whole = values?.every((t) => !symbols.has(t)) && !n.outputs.some((y) => outputs.has(y));
    n.outputs.forEach((y, i) => {
      if (!values?.[i] || !y) return;
      if (whole) constants.set(y, values[i]);
      else partial.set(y, values[i]);
    });
    if (!whole) nodes.push(rule?.simplify?.(n, context, constant) ?? n);
  }

  out.nodes = removeDead({ ...out, nodes, initializers: constants }).nodes;
  out.initializers = usedConstants(out, constants);
  out.valueTypes = new Map();
  for (const n of out.nodes) {
    for (const y of n.outputs) {
      const t = y && types.get(y);
      if (t && !outputs.has(y)) out.valueTypes.set(y, t);
    }
  }
  out.outputs = g.outputs.map((v) => ({ ...v, type: outputType(v.name, v.type, types.get(v.name)) }));
  return out;
}

interface Known {
  types: Map<string, ValueType>;
  constants: Map<string, Tensor>;
  partial: Map<string, Tensor>;
  symbols: Symbols;
}

function contextOf(n: OpNode, opset: number, k: Known): ShapeContext {
  return {
    opset,
    input: (i) => {
      const name = n.inputs[i];
      if (!name) return undefined;
      const t = k.types.get(name);
      if (!t) throw new ModelError("unknown-value", `${at(n)} reads "${name}", which nothing makes`, { where: at(n) });
      return t;
    },
    constant: (i) => k.constants.get(n.inputs[i]),
    shapeValue: (i) => {
      const t = k.constants.get(n.inputs[i]) ?? k.partial.get(n.inputs[i]);
      return t && toNumberArray(t).map((v) => k.symbols.decode(v));
    },
  };
}

function typesBy(rule: OpRule, n: OpNode, c: ShapeContext, g: Graph): ValueType[] {
  try {
    return rule.shape(n, c).map((t) => checked(n, t));
  } catch (e) {
    if (!(e instanceof ModelError) || e.code !== "dynamic-dimension") throw e;
    throw new ModelError(e.code, e.message, { where: e.where, hint: dimensionHint(g), cause: e });
  }
}

/** A weight that is taken for a shape would give a value of thousands of axes. */
const MAX_RANK = 64;

/** Rules may read axes that an input does not have and subtract more than there is: the one place that notices. */
function checked(n: OpNode, t: ValueType): ValueType {
  if (t.dims && t.dims.length > MAX_RANK)
    throw new ModelError(
      "shape-mismatch",
      `${at(n)} would give a value of ${t.dims.length} axes; ${MAX_RANK} is the most`,
      {
        where: at(n),
      },
    );
  const odd = t.dims?.find((d) => d === undefined || (typeof d === "number" && !(Number.isSafeInteger(d) && d >= 0)));
  if (!t.dims || (odd === undefined && !t.dims.includes(undefined as never))) return t;
  const what =
    odd === undefined ? "its inputs lack an axis that it needs" : `an axis of its output would be ${odd} long`;
  throw new ModelError("shape-mismatch", `${at(n)}: ${what}`, { where: at(n) });
}

function dimensionHint(g: Graph): string {
  const names = dynamicDimensions(g);
  if (names.length > 0) return `give the dynamic dimension a value: ${names.map((d) => `--dim ${d}=1`).join(" ")}`;
  return "all input dimensions are fixed: the model computes this size from its data";
}

/** Names of the dynamic dimensions of the inputs. One without a name is called after its place: `image.0`. */
function dynamicDimensions(g: Graph): string[] {
  const names = g.inputs.flatMap((v) => (v.type.dims ?? []).map((d, axis) => dimensionName(v.name, d, axis)));
  return [...new Set(names.filter((d) => typeof d === "string"))];
}

const dimensionName = (input: string, d: Dim, axis: number): Dim => d ?? `${input}.${axis}`;

function typesByCaller(n: OpNode, types: Map<string, ValueType>, o: InferOptions): ValueType[] {
  const inputs = n.inputs.map((name) => (name ? types.get(name) : undefined));
  if (o.unknown) return o.unknown(n, inputs);
  throw new ModelError(
    "unknown-operator",
    `${at(n)}: edgefit has no rule for operator ${n.domain ? `${n.domain}.` : ""}${n.opType}`,
    {
      where: at(n),
      hint: "its output shapes cannot be told without running it",
    },
  );
}

/** Where nothing better is known, what the file says. */
const refined = (t: ValueType, declared: ValueType | undefined): ValueType => (t.dims || !declared ? t : declared);

/** Values of the outputs, as far as they follow from constants and types; symbolic dimensions are encoded in them. */
function known(
  rule: OpRule,
  n: OpNode,
  opset: number,
  { types, constants, partial, symbols }: Known,
  budget: FoldBudget,
): Tensor[] | undefined {
  const inputTypes = n.inputs.map((name) => (name ? types.get(name) : undefined));
  const lengths = rule.fromTypes?.(n, inputTypes, opset);
  if (lengths) {
    return lengths.map((dims, i) =>
      ints(
        dims.map((d) => symbols.encode(d)),
        types.get(n.outputs[i])?.dims?.length === 0 ? [] : undefined,
      ),
    );
  }
  if (!rule.evaluate || rule.folds === false) return undefined;
  const symbolic = rule.movesElements === true;
  const inputs = n.inputs.map((name) =>
    name ? (constants.get(name) ?? (symbolic ? partial.get(name) : undefined)) : undefined,
  );
  if (n.inputs.some((name, i) => name !== "" && inputs[i] === undefined)) return undefined;
  // Lists of axes and the like must be real numbers: only the first input (all, where alike) may hold symbols.
  if (symbolic && inputs.some((t, i) => i > 0 && t && symbols.has(t) && t.elemType !== inputs[0]?.elemType))
    return undefined;
  const outputs = n.outputs.flatMap((y) => (y ? [types.get(y)?.dims] : []));
  if (!budget.allows(inputs, outputs)) return undefined;
  return rule.evaluate(n, inputs, opset);
}

/** Names come from the file: `constructor` is one like any other. */
const own = <T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  record && Object.hasOwn(record, name) ? record[name] : undefined;

function givenType(name: string, type: ValueType, o: InferOptions): ValueType {
  const given = own(o.inputs, name);
  if (given) {
    if (type.dims && type.dims.length !== given.length) {
      throw new ModelError(
        "input-rank",
        `input "${name}" has ${type.dims.length} axes, the given shape ${given.length}`,
        { where: name },
      );
    }
    type.dims?.forEach((d, k) => {
      if (typeof d === "number" && d !== given[k]) {
        throw new ModelError(
          "input-shape",
          `input "${name}" is ${d} long on axis ${k}, the given shape says ${given[k]}`,
          { where: name },
        );
      }
    });
    return { ...type, dims: given };
  }
  const named = type.dims?.map((d, axis) => dimensionName(name, d, axis));
  return { ...type, dims: named?.map((d) => (typeof d === "string" ? (own(o.dims, d) ?? d) : d)) };
}

function checkOptions(g: Graph, o: InferOptions): void {
  const symbols = dynamicDimensions(g);
  for (const name of Object.keys(o.dims ?? {})) {
    if (!symbols.includes(name)) {
      const hint =
        symbols.length > 0 ? `its dynamic dimensions are: ${symbols.join(", ")}` : "all its dimensions are fixed";
      throw new ModelError("dimension-name", `the model has no dynamic dimension "${name}"`, {
        where: `--dim ${name}`,
        hint,
      });
    }
  }
  for (const name of Object.keys(o.inputs ?? {})) {
    if (!g.inputs.some((v) => v.name === name)) {
      throw new ModelError("input-name", `the model has no input "${name}"`, {
        hint: `its inputs are: ${g.inputs.map((v) => v.name).join(", ")}`,
      });
    }
  }
}

/** What inference found, with names of dynamic dimensions from the file where inference knows no better. */
function outputType(name: string, declared: ValueType, found: ValueType | undefined): ValueType {
  if (!found) throw new ModelError("unknown-value", `graph output "${name}" is made by nothing`, { where: name });
  if (!found.dims) return { elemType: found.elemType, dims: declared.dims };
  const dims = found.dims.map((d, k) =>
    d === null && typeof declared.dims?.[k] !== "undefined" ? declared.dims[k] : d,
  );
  return { elemType: found.elemType, dims };
}

function usedConstants(g: Graph, constants: Map<string, Tensor>): Map<string, Tensor> {
  const read = new Set<string>([
    ...g.nodes.flatMap(readsOf),
    ...g.outputs.map((v) => v.name),
    ...g.inputs.map((v) => v.name),
  ]);
  return new Map([...constants].filter(([name]) => read.has(name)));
}
