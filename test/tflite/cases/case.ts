/** What a case of one operator is, and the numbers that most of them work on. */
import type { OptionSpec, TensorSpec } from "../build.js";
import { random } from "../check.js";
import type { Numbers } from "../reference.js";

export interface Case {
  /** What is special about it. */
  title: string;
  type: string;
  /** Inputs in the file's order: numbers are fed, specs are constants. */
  inputs: readonly (Numbers | TensorSpec)[];
  wanted: readonly Numbers[];
  options?: OptionSpec;
  /** Type of the outputs. */
  out?: string;
}

export const i8 = (v: number) => ({ i8: v });
export const i32 = (v: number) => ({ i32: v });
export const f32 = (v: number) => ({ f32: v });

export const x = random([1, 7, 6, 4], 1);
export const other = random([1, 7, 6, 4], 2);
export const w = random([6, 3, 3, 4], 3);
export const b = random([6], 4);
export const rows = random([1, 5, 8], 13);
export const [RELU, RELU_N1, RELU6, TANH] = [1, 2, 3, 4];
export const sum = (v: number[]) => v.reduce((a, c) => a + c, 0);
