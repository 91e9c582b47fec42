/** Which operators of the default domain edgefit wants to know, and which of them pick elements by their values. */

/** Newest operator set that counts. */
export const LAST_OPSET = 23;

/** Training losses, control flow, sequences and optionals, strings: none of them stands in a vision model that is cut. */
const outside =
  /Loss$|^(If|Loop|Scan)$|^Sequence|^ConcatFromSequence$|^SplitToSequence$|^Optional|^String|^Regex|^TfIdf/;

/** Whether an operator that changed in these operator sets counts. */
export const inScope = (opType: string, versions: readonly number[]): boolean =>
  Math.min(...versions) <= LAST_OPSET && !outside.test(opType);

/** Operators with outputs whose length only the values tell (of an image: its bytes). */
export const picksByValue: ReadonlySet<string> = new Set([
  "Compress",
  "ImageDecoder",
  "NonMaxSuppression",
  "NonZero",
  "Unique",
]);
