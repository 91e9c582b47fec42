/**
 * Messages as bytes, for sockets: a header of JSON in which typed arrays are numbered, then the arrays themselves.
 * Layout: uint32 length of the header, header (UTF-8), arrays, each at a multiple of 8 bytes from the start; little-endian.
 */
import { DeviceError } from "./errors.js";

const KINDS = {
  f32: Float32Array,
  f64: Float64Array,
  i8: Int8Array,
  u8: Uint8Array,
  u16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
} as const;
type Kind = keyof typeof KINDS;
type TypedArray = InstanceType<(typeof KINDS)[Kind]>;

/** Stands for an array in the header: kind, offset in bytes after the header, number of elements. */
type Place = { $array: [Kind, number, number] };

const align = (n: number): number => (n + 7) & ~7;

const kindOf = (a: ArrayBufferView): Kind => {
  for (const [kind, type] of Object.entries(KINDS)) if (a instanceof type) return kind as Kind;
  throw new DeviceError("message", "the message holds an array of a kind that cannot travel");
};

/** Plain values with typed arrays in them, as bytes. NaN and infinities outside arrays travel as null. */
export function encodeMessage(message: unknown): Uint8Array<ArrayBuffer> {
  const arrays: ArrayBufferView[] = [];
  let size = 0;
  const header = new TextEncoder().encode(
    JSON.stringify(message, function (this: Record<string, unknown>, key, value) {
      const raw = this[key]; // `value` of a Node Buffer is already what its toJSON gave
      if (!ArrayBuffer.isView(raw)) return value;
      const place: Place = { $array: [kindOf(raw), size, (raw as TypedArray).length] };
      arrays.push(raw);
      size = align(size + raw.byteLength);
      return place;
    }),
  );
  const start = align(4 + header.length);
  const out = new Uint8Array(start + size);
  new DataView(out.buffer).setUint32(0, header.length, true);
  out.set(header, 4);
  let at = start;
  for (const a of arrays) {
    out.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), at);
    at += align(a.byteLength);
  }
  return out;
}

/** The message again. Throws DeviceError `message` for bytes that are none; never reads outside of them. */
export function decodeMessage(message: Uint8Array): unknown {
  // A Node Buffer is a Uint8Array whose `slice` does not copy.
  const bytes = new Uint8Array(message.buffer, message.byteOffset, message.byteLength);
  const fail = (cause?: unknown): never => {
    throw new DeviceError("message", "a message that is not well formed came in", { cause });
  };
  if (bytes.length < 4) return fail();
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (4 + length > bytes.length) return fail();
  const start = align(4 + length);
  const revive = (_: string, value: unknown): unknown => {
    const place = (value as Place | null)?.$array;
    if (place === undefined) return value;
    if (!Array.isArray(place) || place.length !== 3) return fail();
    const [kind, offset, count] = place;
    if (!Object.hasOwn(KINDS, kind)) return fail();
    const type = KINDS[kind];
    const size = count * type.BYTES_PER_ELEMENT;
    const inside =
      [offset, count].every((n) => Number.isSafeInteger(n) && n >= 0) && start + offset + size <= bytes.length;
    if (!inside) return fail();
    // A copy: the view would hold the whole message in memory, and its offset need not suit the type.
    return new type(bytes.slice(start + offset, start + offset + size).buffer);
  };
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(4, 4 + length)), revive);
  } catch (cause) {
    return fail(cause);
  }
}
