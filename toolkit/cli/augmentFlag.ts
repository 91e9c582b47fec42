/** What `--augment flip,crop=4,mixup=0.2` means. */
import { UsageError } from "../graph/errors.js";
import type { AugmentOptions } from "../train/index.js";

/** Amounts where a change is named without one. */
const usual: Record<string, number> = { flip: 1, crop: 4, colour: 0.3, cutout: 8, mixup: 0.2 };

/** The changes that are named; none for `none`; undefined without the flag. Throws UsageError for names that are not known. */
export function augmentOption(text: string | undefined): AugmentOptions | undefined {
  if (text === undefined) return undefined;
  const options: AugmentOptions = {};
  if (text.trim() === "none") return options;
  for (const part of String(text).split(",")) {
    const [name, given, ...more] = part.trim().split("=");
    const kind = name === "color" ? "colour" : name;
    const amount = given === undefined ? usual[kind] : Number(given.trim() || Number.NaN);
    if (!(kind in usual) || more.length > 0 || !Number.isFinite(amount)) {
      throw new UsageError("flag-value", `"${part.trim()}" is no change of images`, {
        where: `--augment ${text}`,
        hint: "write flip, crop=PIXELS, colour=SHARE, cutout=PIXELS and mixup=ALPHA with commas between them, or none",
      });
    }
    if (kind === "flip") options.flip = amount !== 0;
    if (kind === "crop") options.cropPadding = amount;
    if (kind === "colour") options.colour = { brightness: amount, contrast: amount, saturation: amount };
    if (kind === "cutout") options.cutout = amount;
    if (kind === "mixup") options.mixup = amount;
  }
  return options;
}
