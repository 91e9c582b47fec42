/** Operators that pick single elements or slices by index or by condition: all but Gather itself. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, type Dim } from "../graph/graph.js";
import { sizeOf, toNumbers } from "../graph/tensor.js";
import { axisOf, checkElementIndices, inputDims, inputType, positionOf, unknownDimension } from "./dims.js";
import { sameTypeAsFirst } from "./elementwise.js";
import { move, stridesOf, takeAxis } from "./layout.js";
import { passAxes } from "./links.js";
import { gatherElementsGradient } from "./movementGradient.js";
import type { OpRule } from "./rule.js";

const frozenBecause = "picks elements by index";

/** One element per index, on one axis (ONNX GatherElements-11). */
const GatherElements: OpRule = {
  gradient: gatherElementsGradient,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const indices = inputType(n, c, 1).dims;
    if (dims && indices) checkElementIndices(n, dims, indices, axisOf(n, attrInt(n, "axis", 0), dims.length));
    return [{ elemType, dims: indices }];
  },
  evaluate: (n, [x, indices]) => {
    if (!x || !indices) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", 0), x.dims.length);
    const [to, from] = [stridesOf(indices.dims), stridesOf(x.dims)];
    const source = Int32Array.from(toNumbers(indices), (index, i) => {
      let place = 0;
      for (let k = 0; k < from.length; k++) {
        const own = Math.floor(i / to[k]) % indices.dims[k];
        place += from[k] * (k === axis ? positionOf(n, index, x.dims[k]) : own);
      }
      return place;
    });
    return [move(x, { dims: indices.dims, from: source })];
  },
  frozenBecause,
};

/** Slices at the index tuples of the last axis of `indices`, within each batch (ONNX GatherND-11, -12). */
const GatherND: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [x, indices] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    const tuple = indices[indices.length - 1];
    if (typeof tuple !== "number") throw unknownDimension(n, `the last dimension of "${n.inputs[1]}"`);
    const batch = attrInt(n, "batch_dims", 0);
    if (batch < 0 || batch >= indices.length || batch + tuple > x.length) {
      throw new ModelError(
        "shape-mismatch",
        `${at(n)}: ${batch} batch axes and index tuples of ${tuple} for a value of rank ${x.length}`,
        { where: at(n) },
      );
    }
    return [{ elemType, dims: [...indices.slice(0, -1), ...x.slice(batch + tuple)] }];
  },
  evaluate: (n, [x, indices]) => {
    if (!x || !indices) return undefined;
    const batch = attrInt(n, "batch_dims", 0);
    const tuple = indices.dims[indices.dims.length - 1];
    const rest = x.dims.slice(batch + tuple);
    const inner = sizeOf(rest);
    const strides = stridesOf(x.dims);
    const perBatch = sizeOf(indices.dims.slice(batch, -1));
    const batchStep = batch > 0 ? strides[batch - 1] : 0;
    const index = toNumbers(indices);
    const tuples = sizeOf(indices.dims.slice(0, -1));
    const from = new Int32Array(tuples * inner);
    for (let t = 0; t < tuples; t++) {
      let start = Math.floor(t / perBatch) * batchStep;
      for (let k = 0; k < tuple; k++)
        start += positionOf(n, index[t * tuple + k], x.dims[batch + k]) * strides[batch + k];
      for (let i = 0; i < inner; i++) from[t * inner + i] = start + i;
    }
    return [move(x, { dims: [...indices.dims.slice(0, -1), ...rest], from })];
  },
  frozenBecause,
};

/** The slices (elements, without an axis) for which a condition holds (ONNX Compress-9). */
const Compress: OpRule = {
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const condition = c.constant(1);
    if (dims?.length === 0)
      throw new ModelError("shape-mismatch", `${at(n)}: a scalar has no slices`, { where: at(n) });
    const count: Dim = condition ? toNumbers(condition).filter((v) => v !== 0).length : null;
    if (!n.attributes.axis) return [{ elemType, dims: [count] }];
    const axis = dims && axisOf(n, attrInt(n, "axis", 0), dims.length);
    return [{ elemType, dims: dims?.map((d, k) => (k === axis ? count : d)) }];
  },
  evaluate: (n, [x, condition]) => {
    if (!x || !condition) return undefined;
    const chosen = [...toNumbers(condition)].flatMap((v, i) => (v ? [i] : []));
    if (!n.attributes.axis) {
      const from = Int32Array.from(chosen, (i) => positionOf(n, i, sizeOf(x.dims)));
      return [move(x, { dims: [from.length], from })];
    }
    const axis = axisOf(n, attrInt(n, "axis", 0), x.dims.length);
    return [
      takeAxis(
        x,
        axis,
        chosen.map((i) => positionOf(n, i, x.dims[axis])),
      ),
    ];
  },
  frozenBecause: "keeps elements by a condition",
};

/** Turns the beginning of every sequence of a batch round (ONNX ReverseSequence-10). */
const ReverseSequence: OpRule = {
  shape: sameTypeAsFirst,
  channels: (n, c) => {
    const [time, batch] = [attrInt(n, "time_axis", 0), attrInt(n, "batch_axis", 1)];
    passAxes((axis) => axis !== time && axis !== batch, "turns sequences round along it")(n, c);
  },
};

export const rules = { GatherElements, GatherND, Compress, ReverseSequence } satisfies Record<
  string,
  OpRule | OpRule[]
>;
