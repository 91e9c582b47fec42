/** A case: one call of one operator, and the models that the passes make of it. */
import { emptyGraph, GENERATED_IR, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import type { Attribute, Graph, ValueType } from "../../toolkit/graph/graph.js";
import { type ElemType, floats, sizeOf, type Tensor } from "../../toolkit/graph/tensor.js";
import { uniform } from "../support/graphs.js";

/** An input that is fed at run time. */
export interface LiveInput {
  live: readonly number[];
  elemType?: ElemType;
  /** Axis on which the cut pass puts channels; null: none. Default 1, or 0 for rank 1. */
  channels?: number | null;
}

/** A trained parameter with random values. */
export interface ParameterInput {
  parameter: readonly number[];
}

/** A constant, a live input, a parameter, or an absent optional input. */
export type CaseInput = LiveInput | ParameterInput | Tensor | null;

/** One call of an operator. */
export interface OpCase {
  name?: string;
  /** Default 17. */
  opset?: number;
  domain?: string;
  inputs: readonly CaseInput[];
  attributes?: Record<string, Attribute>;
  outputs?: number;
  /** Values of live inputs and parameters. Default -1..1. */
  range?: readonly [number, number];
  /** Output types by the specification, where the runtime has no kernel to compare with. */
  specified?: readonly ValueType[];
  /** Some lengths of its result show only at run time. */
  dynamic?: boolean;
  /** The operator keeps every channel that it meets: the reason must name it. */
  frozen?: boolean;
  /** Reasons for those channels before it that stay while others go. */
  keeps?: readonly string[];
  /** Skips the cut pass, saying why. */
  uncut?: string;
  /** Seed of the random values. Default 1. */
  seed?: number;
}

/** What a pass needs to know; `skip` says why it has nothing to look at. */
export interface Pass {
  name: string;
  skip?(opType: string, c: OpCase): string | undefined;
  run(opType: string, c: OpCase): Promise<void> | void;
}

/** Cases by operator, as the files in `cases/` list them. */
export type Cases = Readonly<Record<string, readonly OpCase[]>>;

export const isLive = (i: CaseInput): i is LiveInput => i !== null && "live" in i;
export const isParameter = (i: CaseInput): i is ParameterInput => i !== null && "parameter" in i;
export const opsetOfCase = (c: OpCase): number => c.opset ?? 17;

/** Random values of a parameter, the same for the same case. */
export function parameterOf(c: OpCase, i: number): Tensor {
  const input = c.inputs[i];
  if (!input || !isParameter(input)) throw new Error(`input ${i} is no parameter`);
  const next = uniform((c.seed ?? 1) * 1000 + i);
  const [low, high] = c.range ?? [-1, 1];
  return floats(
    Float32Array.from({ length: sizeOf(input.parameter) }, () => low + next() * (high - low)),
    input.parameter,
  );
}

/** A builder for models with the case's operator sets. */
export function builderFor(c: OpCase): GraphBuilder {
  const g = emptyGraph("case", opsetOfCase(c), GENERATED_IR);
  if (c.domain) g.opsets.set(c.domain, 1);
  return new GraphBuilder(g);
}

/** Emits the case's call; `live` supplies the inputs that are fed. */
export function emitCase(b: GraphBuilder, opType: string, c: OpCase, live: (i: number) => Ref): Ref[] {
  const refs = c.inputs.map((input, i) => {
    if (input === null) return "";
    if (isLive(input)) return live(i);
    return b.initializer(`c${i}`, isParameter(input) ? parameterOf(c, i) : input);
  });
  return b.emitMany(opType, refs, c.attributes ?? {}, {
    domain: c.domain,
    outputs: c.outputs ?? 1,
    out: "y",
    name: "op",
  });
}

/** The one-node model of a case. `batch` replaces axis 0 of its live inputs. */
export function modelOf(opType: string, c: OpCase, batch?: string): Graph {
  const b = builderFor(c);
  const outputs = emitCase(b, opType, c, (i) => {
    const { live, elemType = "float32" } = c.inputs[i] as LiveInput;
    return b.input(`x${i}`, batch && live.length > 1 ? [batch, ...live.slice(1)] : live, elemType);
  });
  for (const y of outputs) b.output(y);
  return b.graph;
}
