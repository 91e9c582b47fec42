/** Operators that draw random numbers; their values are never computed beforehand. */
import { attrInt, attrInts } from "../graph/graph.js";
import type { ElemType } from "../graph/tensor.js";
import { inputDims, inputType } from "./dims.js";
import { elemTypeAttribute } from "./elemTypes.js";
import type { OpRule } from "./rule.js";

const frozenBecause = "draws random numbers";

/** Of a shape that the node says itself. */
const ofShape: OpRule = {
  shape: (n) => [{ elemType: elemTypeAttribute(n, "dtype", "float32"), dims: attrInts(n, "shape") ?? [] }],
  folds: false,
};

/** Of the shape of the input, and of its type unless `dtype` says otherwise. */
const likeFirst: OpRule = {
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    return [{ elemType: elemTypeAttribute(n, "dtype", elemType), dims }];
  },
  folds: false,
  frozenBecause,
};

/** Class numbers drawn from rows of log-probabilities (ONNX Multinomial-7). */
const Multinomial: OpRule = {
  shape: (n, c) => {
    const elemType: ElemType = elemTypeAttribute(n, "dtype", "int32");
    return [{ elemType, dims: [inputDims(n, c, 0)[0], attrInt(n, "sample_size", 1)] }];
  },
  folds: false,
  frozenBecause,
};

export const rules = {
  RandomNormal: { ...ofShape },
  RandomUniform: { ...ofShape },
  RandomNormalLike: { ...likeFirst },
  RandomUniformLike: { ...likeFirst },
  Bernoulli: { ...likeFirst },
  Multinomial,
} satisfies Record<string, OpRule | OpRule[]>;
