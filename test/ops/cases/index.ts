/** Every case of every operator, for passes that go over all of them and for the completeness check. */
import type { Cases } from "../case.js";
import { attention, einsum } from "./attention.js";
import { contrib } from "./contrib.js";
import { controlFlow } from "./controlFlow.js";
import { convolution, fusedConvolution } from "./convolution.js";
import { elementwise } from "./elementwise.js";
import { activations, bitwise, causal, matrices, trigonometry } from "./functions.js";
import { gathering, indexing, scatter } from "./indices.js";
import { linear } from "./linear.js";
import { movement, reshaping } from "./movement.js";
import { normalization } from "./normalization.js";
import { quantize, resize, shapes } from "./others.js";
import { pooling } from "./pooling.js";
import { reduction, softmax } from "./reduction.js";
import { random, signal } from "./signal.js";
import { integers, placing, recurrent, sampling } from "./vision.js";

export const families: Readonly<Record<string, Cases>> = {
  activations,
  attention,
  bitwise,
  contrib,
  controlFlow,
  convolution,
  einsum,
  elementwise,
  fusedConvolution,
  gathering,
  indexing,
  integers,
  linear,
  matrices,
  movement,
  normalization,
  placing,
  pooling,
  quantize,
  random,
  recurrent,
  reduction,
  reshaping,
  resize,
  sampling,
  scatter,
  causal,
  shapes,
  signal,
  softmax,
  trigonometry,
};
