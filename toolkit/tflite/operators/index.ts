/** The table of TFLite operators that have a counterpart in ONNX: the only place that knows all of them. */
import type { Call, Converter } from "../context.js";
import { converters as activation } from "./activation.js";
import { converters as convolution } from "./convolution.js";
import { converters as elementwise } from "./elementwise.js";
import { fold } from "./fold.js";
import { converters as linear } from "./linear.js";
import { converters as padding } from "./padding.js";
import { converters as pooling } from "./pooling.js";
import { converters as reduction } from "./reduction.js";
import { converters as reshaping } from "./reshaping.js";
import { converters as resize } from "./resize.js";
import { converters as selection } from "./selection.js";
import { converters as types } from "./types.js";

const table = new Map<string, Converter>(
  [
    activation,
    convolution,
    elementwise,
    linear,
    padding,
    pooling,
    reduction,
    reshaping,
    resize,
    selection,
    types,
  ].flatMap((family) => Object.entries(family)),
);

/** Names of the operators that can be imported, sorted. */
export const supportedOperators: readonly string[] = [...table.keys()].sort();

/** Converts one operator. Throws ModelError `tflite-operator`, naming it and its place, for those that are not known. */
export function convert(c: Call): void {
  const converter = table.get(c.op.type);
  if (!converter)
    throw c.fail(
      "tflite-operator",
      `the operator ${c.op.type} is not supported`,
      "cut it off before conversion: detection decoders and custom operators usually stand at the end of a model",
    );
  if (!fold(c)) converter(c);
}
