/**
 * TFLite to ONNX. Convolutions are written for [n, channels, height, width]; values are brought from one layout to the
 * other only where an operator cannot do without, which leaves the borders of the model. Constants are turned at import.
 */
import { emptyGraph, GENERATED_OPSET, GraphBuilder, type Ref } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Dim, type Graph } from "../graph/graph.js";
import { type ElemType, fromNumbers, toNumbers } from "../graph/tensor.js";
import { Call, type Import, shortName } from "./context.js";
import { asInFile, channelsFirst, type Layout, physical } from "./layout.js";
import { readTflite, type TfliteModel, type TfliteTensor } from "./model.js";
import { convert } from "./operators/index.js";
import { unsigned, type Value, Values } from "./values.js";

export interface TfliteOptions {
  /** Layout of the inputs and outputs that have four axes. Default `nhwc`, as in the file. */
  layout?: "nhwc" | "nchw";
  /** Float weights and activations instead of the file's integers. Default false. */
  dequantize?: boolean;
  /** Quantised inputs and outputs become float32, with the same quantisation behind and before them. Default false. */
  floatIo?: boolean;
  /**
   * Whether the first axis of the inputs may have any size: as the file says, `any` (refused where an operator depends on
   * the file's batch), or `possible` (any, except there). Default `file`.
   */
  batch?: "file" | "any" | "possible";
  /** What error messages call the model: usually its file name. */
  where?: string;
}

/** Metadata key of a float model that was made from a quantised one. */
export const DEQUANTIZED = "tflite.dequantized";

/** Name of the open first axis. */
const BATCH = "batch";

/** Operator set whose QuantizeLinear knows 16-bit integers. */
const OPSET_INT16 = 21;
const IR_INT16 = 10;

/**
 * A TFLite model as an ONNX graph. Quantised models become QDQ graphs, whose integer arithmetic ONNX Runtime fuses; their
 * values equal TFLite's to the last step or two of the grid. Inputs and outputs keep the names, types and layout of the file
 * unless options say otherwise. Throws ModelError with `where`: `not-tflite`, `truncated` and `damaged` for files that are
 * none or contradict themselves, `tflite-operator` and `tflite-feature` for what has no counterpart.
 */
export function importTflite(bytes: Uint8Array, o: TfliteOptions = {}): Graph {
  try {
    return new Importer(readTflite(bytes), bytes.length, o).run();
  } catch (e) {
    if (!(e instanceof ModelError) || o.where === undefined) throw e;
    const where = e.where ? `${o.where}: ${e.where}` : o.where;
    throw new ModelError(e.code, e.message, { where, hint: e.hint, cause: e });
  }
}

class Importer implements Import {
  readonly values: Values;
  readonly tensors: readonly TfliteTensor[];
  readonly known = new Map<number, Value>();
  private readonly b: GraphBuilder;
  private batchFixed = false;

  constructor(
    private readonly model: TfliteModel,
    fileBytes: number,
    private readonly o: TfliteOptions,
  ) {
    const wide = !o.dequantize && model.tensors.some((t) => t.elemType === "int16" && t.quantization);
    const graph = wide ? emptyGraph("tflite", OPSET_INT16, IR_INT16) : emptyGraph("tflite", GENERATED_OPSET);
    if (model.description) graph.model.metadata.set("tflite.description", model.description);
    const whole = (i: number): boolean => model.tensors[i].quantization !== undefined;
    if (o.dequantize && model.operators.some((op) => op.outputs.some(whole)))
      graph.model.metadata.set(DEQUANTIZED, "yes");
    this.b = new GraphBuilder(graph);
    this.tensors = model.tensors;
    this.values = new Values(this.b, o.dequantize !== true, fileBytes);
  }

  run(): Graph {
    const { model } = this;
    if (model.outputs.length === 0 || new Set(model.outputs).size !== model.outputs.length)
      throw new ModelError("damaged", "the outputs are missing or listed twice");
    for (const t of model.tensors) if (t.constant) this.known.set(t.index, constantValue(t));
    for (const i of model.inputs) this.declareInput(model.tensors[i]);
    for (const op of model.operators) convert(new Call(op, this));
    const outputs = model.outputs.map((i) => this.declareOutput(model.tensors[i]));
    if (this.values.batchIn !== undefined) this.fix(`"${this.values.batchIn}" is computed from a shape`);
    return this.finished(outputs);
  }

  fixBatch(op: Call, why: string): void {
    if (this.o.batch === "any" && !this.batchFixed)
      throw op.fail("batch", `the batch cannot be left open: ${why}`, "import the model with the batch of the file");
    this.batchFixed = true;
  }

  private fix(why: string): void {
    if (this.o.batch === "any") throw new ModelError("batch", `the batch cannot be left open: ${why}`);
    this.batchFixed = true;
  }

  private border(rank: number): Layout {
    return this.o.layout === "nchw" && rank === 4 ? channelsFirst(4) : asInFile(rank);
  }

  /** Whether a quantised value is float32 to the model's caller. */
  private floatBorder(t: TfliteTensor): boolean {
    return t.quantization !== undefined && (this.o.floatIo === true || !this.values.integers);
  }

  private declareInput(t: TfliteTensor): void {
    if (this.known.has(t.index)) throw new ModelError("damaged", `input "${t.name}" is listed twice or is a constant`);
    const open = t.signature.findIndex((d, axis) => d === -1 && axis > 0);
    if (open > 0)
      throw new ModelError("tflite-feature", `input "${t.name}" has no fixed size along axis ${open}`, {
        hint: "convert the model with a fixed input size",
      });
    if (t.dims.some((d) => d < 1)) throw new ModelError("damaged", `input "${t.name}" has the shape [${t.dims}]`);
    const layout = this.border(t.dims.length);
    const elemType: ElemType = this.floatBorder(t) ? "float32" : t.elemType;
    const x = this.b.input(t.name, physical(t.dims, layout), elemType);
    const { name, quantization } = t;
    if (!quantization || !this.values.integers) {
      this.known.set(t.index, this.values.computed(name, t.dims, { elemType }, [{ layout, ref: x }]));
      return;
    }
    const facts = unsigned({ elemType: t.elemType, quantization });
    const real = elemType === "float32" ? x : this.values.dequantize(x, t);
    const asIs = elemType === facts.elemType;
    const ref = asIs ? x : this.values.quantize(real, { ...facts, name: `${name}/stored` });
    this.known.set(t.index, this.values.computed(name, t.dims, facts, [{ layout, ref }]));
  }

  private declareOutput(t: TfliteTensor): { ref: Ref; name: string; elemType: ElemType; dims: Dim[] } {
    const v = this.known.get(t.index);
    if (!v) throw new ModelError("damaged", `nothing makes the output "${t.name}"`);
    const layout = this.border(v.dims.length);
    const real = v.quantization !== undefined && (this.o.floatIo === true || !this.values.integers);
    const dims = physical(v.dims, layout);
    if (real) return { ref: this.values.real(v, layout), name: t.name, elemType: "float32", dims };
    const asIs = !v.quantization || v.elemType === t.elemType;
    if (asIs) return { ref: this.values.stored(v, layout), name: t.name, elemType: v.elemType, dims };
    const ref = this.values.quantize(this.values.real(v, layout), t);
    return { ref, name: t.name, elemType: t.elemType, dims };
  }

  private finished(outputs: readonly { ref: Ref; name: string; elemType: ElemType; dims: Dim[] }[]): Graph {
    const { graph } = this.b;
    const taken = new Map<Ref, string>();
    const fixed = new Set([...graph.inputs.map((v) => v.name), ...graph.initializers.keys()]);
    for (const out of outputs) {
      // A graph may not give away its inputs and constants, nor one value under two names.
      const own = fixed.has(out.ref) || taken.has(out.ref);
      taken.set(own ? this.b.identity(out.ref, { name: `${out.name}/Identity` }) : out.ref, out.name);
    }
    const open = this.o.batch === undefined || this.o.batch === "file" ? undefined : true;
    const isOpen = (signature: readonly number[], dims: readonly Dim[]): boolean =>
      !this.batchFixed && dims.length > 0 && (open ?? signature[0] === -1);
    const inputs = this.model.inputs.map((i) => this.tensors[i]);
    graph.inputs.forEach((v, i) => {
      if (isOpen(inputs[i].signature, v.type.dims!)) v.type = { ...v.type, dims: [BATCH, ...v.type.dims!.slice(1)] };
    });
    const anyOpen = graph.inputs.some((v) => v.type.dims?.[0] === BATCH);
    for (const { name, elemType, dims } of outputs)
      graph.outputs.push({
        name,
        type: { elemType, dims: anyOpen && dims.length > 0 ? [BATCH, ...dims.slice(1)] : dims },
      });
    return removeDead(renamed(graph, taken));
  }
}

/** float16 is a way to store weights; computing is done in float32. */
function constantValue(t: TfliteTensor): Value {
  const half = t.elemType === "float16" || t.elemType === "bfloat16";
  const constant = half ? fromNumbers("float32", toNumbers(t.constant!), t.dims) : t.constant!;
  const { dims, quantization } = t;
  return {
    name: shortName(t.name),
    dims,
    elemType: constant.elemType,
    constant,
    forms: [],
    reals: [],
    ...(quantization && !half ? { quantization } : {}),
  };
}

/** Values get the names that the outputs must have; whatever had such a name before gets another. */
function renamed(g: Graph, names: ReadonlyMap<Ref, string>): Graph {
  const wanted = new Set(names.values());
  const fixed = new Set(g.inputs.map((v) => v.name));
  const clash = [...wanted].find((name) => fixed.has(name));
  if (clash !== undefined) throw new ModelError("damaged", `an input and an output are both called "${clash}"`);
  if (wanted.size !== names.size) throw new ModelError("damaged", "two outputs have the same name");
  const all = new Set([...g.initializers.keys(), ...g.nodes.flatMap((n) => n.outputs)]);
  const map = new Map(names);
  for (const name of wanted) {
    if (!all.has(name) || map.has(name)) continue;
    let other = `${name}/inner`;
    for (let i = 1; all.has(other) || wanted.has(other); i++) other = `${name}/inner_${i}`;
    all.add(other);
    map.set(name, other);
  }
  const to = (name: string): string => map.get(name) ?? name;
  return {
    ...cloneGraph(g),
    nodes: g.nodes.map((n) => ({ ...n, inputs: n.inputs.map(to), outputs: n.outputs.map(to) })),
    initializers: new Map([...g.initializers].map(([name, t]) => [to(name), t])),
  };
}
