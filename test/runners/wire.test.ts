/** Messages as bytes: what goes in comes out, and bytes that are no message are refused without reading outside of them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeMessage, encodeMessage } from "../../runners/wire.js";

const arrays = fc.oneof(
  fc.float32Array(),
  fc.float64Array(),
  fc.int8Array(),
  fc.uint8Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.bigInt64Array(),
);
const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), arrays);
const name = fc.string().filter((key) => key !== "__proto__" && key !== "$array" && key !== "toJSON");
const message = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(name, tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

describe("messages", () => {
  test("come out as they went in", () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(decodeMessage(encodeMessage(m))).toEqual(m);
      }),
      { numRuns: 300 },
    );
  });

  test("a Buffer and a view into a larger one travel as bytes of their own", () => {
    const view = new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4);
    const out = decodeMessage(encodeMessage({ a: Buffer.from([4, 5]), b: view })) as Record<string, Uint8Array>;
    expect([[...out.a], [...out.b]]).toEqual([
      [4, 5],
      [1, 2, 3],
    ]);
    expect(out.b.buffer.byteLength).toBe(3);
  });

  test("are read from a Buffer that is part of a larger one", () => {
    const bytes = encodeMessage({ x: Float32Array.of(1, 2, 3) });
    const pool = Buffer.concat([Buffer.from([7, 7, 7]), bytes, Buffer.from([7])]);
    expect(decodeMessage(pool.subarray(3, 3 + bytes.length))).toEqual({ x: Float32Array.of(1, 2, 3) });
  });

  test("are read from a position that suits no type", () => {
    const bytes = encodeMessage({ x: Float64Array.of(1.5, -2), n: BigInt64Array.of(-3n) });
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(decodeMessage(shifted.subarray(1))).toEqual({ x: Float64Array.of(1.5, -2), n: BigInt64Array.of(-3n) });
  });

  test("damaged bytes are a message or a DeviceError, nothing else", () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(), (m, at, value, cut) => {
        const bytes = encodeMessage(m);
        bytes[at % bytes.length] = value;
        for (const damaged of [bytes, bytes.subarray(0, cut % (bytes.length + 1))]) {
          try {
            decodeMessage(damaged);
          } catch (e) {
            expect(e).toMatchObject({ name: "DeviceError", code: "message" });
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["a header longer than the message", Uint8Array.of(255, 255, 255, 255, 1)],
    ["an array outside of the message", header({ $array: ["f32", 0, 1e9] })],
    ["an array of a kind that there is not", header({ $array: ["constructor", 0, 0] })],
    ["an array at a negative place", header({ $array: ["u8", -8, 4] })],
    ["half a place", header({ $array: ["u8"] })],
  ])("%s is refused", (_, bytes) => {
    expect(() => decodeMessage(bytes)).toThrow(expect.objectContaining({ code: "message" }));
  });
});

function header(value: unknown): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const out = new Uint8Array(4 + text.length);
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 4);
  return out;
}
