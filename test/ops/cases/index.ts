/** Every case of every operator, for passes that go over all of them and for the completeness check. */
import type { Cases } from "../case.js";
import { attention, einsum } from "./attention.js";
import { convolution, fusedConvolution } from "./convolution.js";
import { elementwise } from "./elementwise.js";
import { linear } from "./linear.js";
import { movement, reshaping } from "./movement.js";
import { normalization } from "./normalization.js";
import { quantize, resize, shapes } from "./others.js";
import { pooling } from "./pooling.js";
import { reduction, softmax } from "./reduction.js";

export const families: Readonly<Record<string, Cases>> = {
  attention,
  convolution,
  einsum,
  elementwise,
  fusedConvolution,
  linear,
  movement,
  normalization,
  pooling,
  quantize,
  reduction,
  reshaping,
  resize,
  shapes,
  softmax,
};
