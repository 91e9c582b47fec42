/**
 * Raises an older graph to operator set 13, the first with per-channel DequantizeLinear, and rewrites the calls whose
 * form changed on the way (7 to 13). Source: the version history in ONNX's Changelog.md.
 */

import { GraphBuilder } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import {
  type Attribute,
  at,
  attr,
  attrFloat,
  attrInt,
  attrInts,
  attrString,
  cloneGraph,
  type Graph,
  type OpNode,
  opsetOf,
  typeOf,
} from "../graph/graph.js";
import { floats, ints, scalar, type Tensor, toNumberArray } from "../graph/tensor.js";

export const RAISED_OPSET = 13;
const OLDEST = 7;

/**
 * The graph at operator set 13 when it was older, else the graph itself. Names of values and nodes stay. Needs inferred
 * shapes only where an old Softmax runs over several axes at once. Throws ModelError for operator sets below 7 and
 * for calls that have no counterpart.
 */
export function raiseOpset(g: Graph): Graph {
  const from = opsetOf(g);
  if (from >= RAISED_OPSET) return g;
  if (from < OLDEST) {
    throw new ModelError(
      "opset-old",
      `the model uses operator set ${from}; ${OLDEST} is the oldest that is understood`,
      {
        hint: "export the model again with opset 13 or newer",
      },
    );
  }
  const out = cloneGraph(g);
  // The builder learns the names that are taken before the list of nodes is written anew.
  const raiser: Raiser = { from, builder: new GraphBuilder(out), source: g };
  out.nodes = [];
  for (const n of g.nodes) out.nodes.push(...raise(withRaisedSubgraphs(n), raiser));
  out.opsets.set("", RAISED_OPSET);
  // Operator set 13 came with IR version 7.
  out.model.irVersion = Math.max(out.model.irVersion, 7);
  return removeDead(out);
}

interface Raiser {
  from: number;
  /** Only makes names and constants; nodes are placed by `raise`. */
  builder: GraphBuilder;
  source: Graph;
}

function withRaisedSubgraphs(n: OpNode): OpNode {
  if (!Object.values(n.attributes).some((a) => a.type === "graph")) return n;
  throw new ModelError("opset-old", `${at(n)} holds a subgraph in an operator set older than ${RAISED_OPSET}`, {
    where: at(n),
    hint: `export the model again with opset ${RAISED_OPSET} or newer`,
  });
}

/** The node without some attributes, with inputs replaced. */
function moved(
  n: OpNode,
  inputs: readonly string[],
  drop: readonly string[],
  add: Record<string, Attribute> = {},
): OpNode {
  const attributes = Object.fromEntries(Object.entries(n.attributes).filter(([k]) => !drop.includes(k)));
  let used = inputs.length;
  while (used > 0 && inputs[used - 1] === "") used--;
  return { ...n, inputs: inputs.slice(0, used), attributes: { ...attributes, ...add } };
}

function raise(n: OpNode, r: Raiser): OpNode[] {
  if (n.domain !== "") return [n];
  const { from } = r;
  const constant = (suffix: string, t: Tensor): string => r.builder.initializer(`${n.name}_${suffix}`, t);
  const vector = (name: string): string => {
    const values = attrInts(n, name);
    return values ? constant(name, ints(values)) : "";
  };
  switch (n.opType) {
    case "Softmax":
    case "LogSoftmax":
    case "Hardmax":
      return raiseSoftmax(n, r, constant);
    case "Squeeze":
    case "Unsqueeze":
    case "ReduceSum":
      return [moved(n, [n.inputs[0], vector("axes")], ["axes"])];
    case "Split":
      return [moved(n, [n.inputs[0], vector("split")], ["split"])];
    case "Slice":
      return from >= 10
        ? [n]
        : [moved(n, [n.inputs[0], vector("starts"), vector("ends"), vector("axes")], ["starts", "ends", "axes"])];
    case "Clip": {
      if (from >= 11) return [n];
      const limit = (name: string): string => (n.attributes[name] ? constant(name, scalar(attrFloat(n, name, 0))) : "");
      return [moved(n, [n.inputs[0], limit("min"), limit("max")], ["min", "max"])];
    }
    case "Pad": {
      if (from >= 11) return [n];
      const value = attrFloat(n, "value", 0);
      return [
        moved(n, [n.inputs[0], vector("pads"), value === 0 ? "" : constant("value", scalar(value))], ["pads", "value"]),
      ];
    }
    case "Dropout":
      return from >= 12 ? [n] : [moved(n, n.inputs.slice(0, 1), ["ratio"])];
    case "TopK":
      return from >= 10 ? [n] : [moved(n, [n.inputs[0], constant("k", ints([attrInt(n, "k", 1)]))], ["k"])];
    case "Upsample": {
      const scales = n.attributes.scales;
      const given = scales?.type === "floats" ? [n.inputs[0], constant("scales", floats([...scales.value]))] : n.inputs;
      return [{ ...legacyResize(moved(n, given, ["scales"])), opType: "Resize" }];
    }
    case "BatchNormalization":
      if (from < 9 && attrInt(n, "spatial", 1) === 0)
        throw new ModelError(
          "opset-old",
          `${at(n)} normalises every position by itself (spatial=0), which no newer operator set can`,
          {
            where: at(n),
          },
        );
      return [moved(n, n.inputs, ["spatial"])];
    case "Resize":
      return from >= 11 ? [n] : raiseResize(n, r, constant);
    case "Scatter":
      return [{ ...n, opType: "ScatterElements" }];
    default:
      return [n];
  }
}

/** Upsample-9 and Resize-10 know scales only and map pixels by the ratio alone: Resize's `asymmetric`. */
function legacyResize(n: OpNode, nearest: "floor" | "ceil" = "floor"): OpNode {
  return moved(n, [n.inputs[0], "", n.inputs[1]], [], {
    coordinate_transformation_mode: attr.string("asymmetric"),
    nearest_mode: attr.string(nearest),
  });
}

/** Resize-10 takes the nearest pixel below on axes that grow, and the one above on axes that shrink. */
function raiseResize(n: OpNode, r: Raiser, constant: (suffix: string, t: Tensor) => string): OpNode[] {
  if (attrString(n, "mode", "nearest") !== "nearest") return [legacyResize(n)];
  const scales = r.source.initializers.get(n.inputs[1]);
  if (!scales) {
    throw new ModelError(
      "opset-old",
      `${at(n)} computes its scales at run time, which decide the pixels that it takes`,
      {
        where: at(n),
        hint: `export the model again with opset ${RAISED_OPSET} or newer`,
      },
    );
  }
  const values = toNumberArray(scales);
  const [grow, shrink] = [values.map((v) => Math.max(v, 1)), values.map((v) => Math.min(v, 1))];
  if (shrink.every((v) => v === 1)) return [legacyResize(n)];
  if (grow.every((v) => v === 1)) return [legacyResize(n, "ceil")];
  const between = r.builder.unique(`${n.outputs[0]}_grown`);
  const name = r.builder.unique(`${n.name}_grow`);
  const larger = { ...n, name, inputs: [n.inputs[0], constant("grow", floats(grow))], outputs: [between] };
  const smaller = { ...n, inputs: [between, constant("shrink", floats(shrink))] };
  return [legacyResize(larger), legacyResize(smaller, "ceil")];
}

/**
 * Before 13, Softmax flattened all axes from `axis` on into one; since 13 it runs along one axis. The same where only one
 * of the flattened axes is longer than 1; else the flattening is written out.
 */
function raiseSoftmax(n: OpNode, r: Raiser, constant: (suffix: string, t: Tensor) => string): OpNode[] {
  const dims = typeOf(r.source, n.inputs[0])?.dims;
  if (!dims) {
    throw new ModelError(
      "shape-unknown",
      `${at(n)}: its meaning depends on the rank of "${n.inputs[0]}", which is not known`,
      {
        where: at(n),
      },
    );
  }
  const axis = attrInt(n, "axis", 1);
  const first = axis < 0 ? axis + dims.length : axis;
  const long = dims.flatMap((d, k) => (k >= first && d !== 1 ? [k] : []));
  if (long.length <= 1) return [moved(n, n.inputs, [], { axis: attr.int(long[0] ?? dims.length - 1) })];
  const name = (suffix: string): string => r.builder.unique(`${n.outputs[0]}_${suffix}`);
  const node = (
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute>,
    output: string,
  ): OpNode => ({
    name: r.builder.unique(`${n.name}_${opType}`),
    opType,
    domain: "",
    inputs,
    outputs: [output],
    attributes,
  });
  const [flat, soft, shape] = [name("flat"), name("soft"), name("shape")];
  const flatten = constant("flat", ints([...dims.slice(0, first).map(() => 0), -1]));
  return [
    node("Shape", [n.inputs[0]], {}, shape),
    // 0 copies the axis, -1 takes the rest.
    node("Reshape", [n.inputs[0], flatten], {}, flat),
    { ...n, inputs: [flat], outputs: [soft], attributes: { axis: attr.int(first) } },
    node("Reshape", [soft, shape], {}, n.outputs[0]),
  ];
}
