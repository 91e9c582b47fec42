/** The kinds of models that the pipeline knows, by name. */
import type { Net } from "./net.js";
import { isOpenSeeFace, openSeeFaceReader } from "./openSeeFace.js";
import { ownLocator, ownReader } from "./ownModels.js";
import type { FaceLocator, FaceReader, Signature } from "./stack.js";
import { isUltraface, ultrafaceLocator } from "./ultraface.js";
import { isYunet, yunetLocator } from "./yunet.js";

const has = (s: Signature, name: string, dims: readonly (number | null)[]): boolean =>
  s.outputs.some((o) => o.name === name && dims.every((d, i) => d === null || o.dims[i] === d));

interface Kind<T> {
  is(s: Signature): boolean;
  make(net: Net, eyes?: Net): T;
}

/** In the order in which they are preferred. */
export const locatorKinds = {
  own: {
    is: (s) => has(s, "score", [null, 1, 9, 12]) && has(s, "box", [null, 4, 9, 12]),
    make: (net) => ownLocator(net),
  },
  yunet: { is: isYunet, make: (net) => yunetLocator(net) },
  ultraface: { is: isUltraface, make: (net) => ultrafaceLocator(net) },
} satisfies Record<string, Kind<FaceLocator>>;
export type LocatorKind = keyof typeof locatorKinds;

export const readerKinds: Record<"own" | "openSeeFace", Kind<FaceReader>> = {
  own: { is: (s) => has(s, "face", [null, 28]), make: ownReader },
  openSeeFace: { is: isOpenSeeFace, make: (net) => openSeeFaceReader(net) },
};
export type ReaderKind = keyof typeof readerKinds;

/** Which models make up a pipeline; `at` is a file or an address. */
export interface StackChoice {
  locator: { kind: LocatorKind; at: string };
  /** `eyes` is the eye-state classifier of the project's own reader. */
  reader: { kind: ReaderKind; at: string; eyes?: string };
}
