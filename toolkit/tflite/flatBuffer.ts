/**
 * Tables of a FlatBuffer, read with every offset checked: a file that points outside itself is an error, never a crash.
 * Knows the encoding (https://flatbuffers.dev/internals), not what any table means.
 */
import { ByteBuffer } from "flatbuffers";
import { ModelError } from "../graph/errors.js";

/** Elements that vectors may hold in all: many times what a file without shared vectors has room for. */
const budgetFor = (bytes: number): number => 1_000_000 + 8 * bytes;

/** The bytes of one FlatBuffer, and how much of them was read: vectors that share memory could make a small file endless. */
export class FlatBuffer {
  private readonly buffer: ByteBuffer;
  private left: number;

  constructor(readonly bytes: Uint8Array) {
    this.buffer = new ByteBuffer(bytes);
    this.left = budgetFor(bytes.length);
  }

  /** The four letters that name the schema; "" in a file too short to have them. */
  get identifier(): string {
    return this.bytes.length < 8 ? "" : String.fromCharCode(...this.bytes.subarray(4, 8));
  }

  root(): Table {
    return new Table(this, this.follow(0));
  }

  /** Throws ModelError `truncated` unless `size` bytes lie at `offset`. */
  check(offset: number, size: number): number {
    if (offset >= 0 && size >= 0 && offset + size <= this.bytes.length) return offset;
    throw new ModelError(
      "truncated",
      `the file points at bytes ${offset} to ${offset + size} and has only ${this.bytes.length}: it is cut off or damaged`,
      { hint: "fetch or convert the model again" },
    );
  }

  /** Counts elements that are about to be read. */
  spend(elements: number): void {
    this.left -= elements;
    if (this.left < 0)
      throw new ModelError("damaged", "the file lists more than it can hold: it is damaged", {
        hint: "fetch or convert the model again",
      });
  }

  i8 = (at: number): number => this.buffer.readInt8(this.check(at, 1));
  u8 = (at: number): number => this.buffer.readUint8(this.check(at, 1));
  u16 = (at: number): number => this.buffer.readUint16(this.check(at, 2));
  i32 = (at: number): number => this.buffer.readInt32(this.check(at, 4));
  u32 = (at: number): number => this.buffer.readUint32(this.check(at, 4));
  f32 = (at: number): number => this.buffer.readFloat32(this.check(at, 4));
  i64 = (at: number): number => Number(this.buffer.readInt64(this.check(at, 8)));

  /** Where the unsigned offset that is stored at `at` leads. */
  follow = (at: number): number => this.check(at + this.u32(at), 4);
}

/** One table. Fields are asked for by their number in the schema; an absent field gives its default. */
export class Table {
  private readonly vtable: number;
  private readonly vtableBytes: number;

  constructor(
    readonly file: FlatBuffer,
    private readonly position: number,
  ) {
    this.vtable = position - file.i32(position);
    this.vtableBytes = file.u16(this.vtable);
    file.spend(1);
  }

  /** Where the field lies; undefined when the table has none. */
  private at(field: number): number | undefined {
    const slot = 4 + 2 * field;
    const offset = slot + 2 <= this.vtableBytes ? this.file.u16(this.vtable + slot) : 0;
    return offset === 0 ? undefined : this.position + offset;
  }

  private scalar<T>(field: number, read: (at: number) => T, otherwise: T): T {
    const at = this.at(field);
    return at === undefined ? otherwise : read(at);
  }

  i8 = (field: number, otherwise = 0): number => this.scalar(field, this.file.i8, otherwise);
  u8 = (field: number, otherwise = 0): number => this.scalar(field, this.file.u8, otherwise);
  bool = (field: number): boolean => this.u8(field) !== 0;
  i32 = (field: number, otherwise = 0): number => this.scalar(field, this.file.i32, otherwise);
  u32 = (field: number, otherwise = 0): number => this.scalar(field, this.file.u32, otherwise);
  f32 = (field: number, otherwise = 0): number => this.scalar(field, this.file.f32, otherwise);
  /** A 64-bit number; beyond 2^53 it loses precision, and is beyond every file. */
  i64 = (field: number, otherwise = 0): number => this.scalar(field, this.file.i64, otherwise);

  table(field: number): Table | undefined {
    const at = this.at(field);
    return at === undefined ? undefined : new Table(this.file, this.file.follow(at));
  }

  string(field: number): string {
    const bytes = this.bytes(field) ?? new Uint8Array();
    this.file.spend(bytes.length);
    return new TextDecoder().decode(bytes);
  }

  /** The bytes of a vector of bytes, shared with the file; undefined when absent. */
  bytes(field: number): Uint8Array | undefined {
    const v = this.vector(field, 1);
    return v && this.file.bytes.subarray(v.start, v.start + v.length);
  }

  tables(field: number): Table[] {
    return this.elements(field, 4, (at) => new Table(this.file, this.file.follow(at)));
  }

  i32s = (field: number): number[] => this.elements(field, 4, this.file.i32);
  f32s = (field: number): number[] => this.elements(field, 4, this.file.f32);
  i64s = (field: number): number[] => this.elements(field, 8, this.file.i64);

  private elements<T>(field: number, size: number, read: (at: number) => T): T[] {
    const v = this.vector(field, size);
    if (!v) return [];
    this.file.spend(v.length);
    return Array.from({ length: v.length }, (_, i) => read(v.start + i * size));
  }

  private vector(field: number, size: number): { start: number; length: number } | undefined {
    const at = this.at(field);
    if (at === undefined) return undefined;
    const position = this.file.follow(at);
    const length = this.file.u32(position);
    this.file.check(position + 4, length * size);
    return { start: position + 4, length };
  }
}
