import { expect, test } from "vitest";
import { type ElemType, fromNumbers, type Tensor, toFloat32, toNumbers } from "../../toolkit/graph/tensor.js";

const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const all = (elemType: ElemType): Tensor => ({ elemType, dims: [65_536], data: patterns });
const bitsOf = (elemType: ElemType, values: readonly number[]): number[] =>
  Array.from(fromNumbers(elemType, values, [values.length]).data as Uint16Array);

/** Sign, exponent and fraction read by the definition of the formats (IEEE 754; bfloat16 is the upper half of float32). */
function byDefinition(bits: number, fractionBits: number): number {
  const exponentBits = 15 - fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const formats: [ElemType, number][] = [
  ["float16", 10],
  ["bfloat16", 7],
];

test.each(formats)("every %s value reads as the standard says and comes back bit by bit", (elemType, fractionBits) => {
  const values = toNumbers(all(elemType));
  const back = fromNumbers(elemType, values, [65_536]).data as Uint16Array;
  let wrong = 0;
  for (let i = 0; i < 65_536; i++) {
    const expected = byDefinition(i, fractionBits);
    if (!Object.is(values[i], expected)) wrong++;
    if (Number.isNaN(expected) ? !Number.isNaN(byDefinition(back[i], fractionBits)) : back[i] !== i) wrong++;
  }
  expect(wrong).toBe(0);
  expect(toFloat32(all(elemType))[0x3f80]).toBe(values[0x3f80]);
});

test.each(formats)("numbers between two %s values go to the nearer, ties to the even one", (elemType, fractionBits) => {
  const infinity = (2 ** (15 - fractionBits) - 1) << fractionBits;
  let wrong = 0;
  for (let low = 0; low < infinity - 1; low++) {
    const [a, b] = [byDefinition(low, fractionBits), byDefinition(low + 1, fractionBits)];
    const middle = (a + b) / 2;
    // Nearest doubles on either side: float32 holds neither of them.
    const hair = (b - a) * 2 ** -30;
    const [down, tie, up, negative] = bitsOf(elemType, [middle - hair, middle, middle + hair, -middle - hair]);
    if (down !== low || up !== low + 1 || tie !== low + (low % 2) || negative !== ((low + 1) | 0x8000)) wrong++;
  }
  expect(wrong).toBe(0);
});

test("numbers beyond the largest become infinite, NaN stays, zeros keep their sign", () => {
  expect(bitsOf("float16", [65_504, 65_519.99, 65_520, -1e300, Number.NaN, -0])).toEqual([
    0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000,
  ]);
  expect(bitsOf("bfloat16", [3.4e38, -1e300, Number.NaN, -0])).toEqual([0x7f80, 0xff80, 0x7fc0, 0x8000]);
});
