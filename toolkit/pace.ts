/** Frame rates and durations as people write them. Pure text and arithmetic. */
import { UsageError } from "./graph/errors.js";

/** Milliseconds between frames for `30fps`. Throws UsageError for anything else and for rates that are not above zero. */
export function parsePace(text: string): number {
  const match = /^\s*(\d+\.?\d*|\.\d+)\s*fps\s*$/i.exec(text);
  const rate = Number(match?.[1]);
  if (rate > 0 && rate <= 1000) return 1000 / rate;
  throw new UsageError("pace", "this is no frame rate", { where: `--paced ${text}`, hint: "write e.g. 30fps" });
}

const UNITS: Record<string, number> = { s: 1 / 60, min: 1, h: 60 };

/** Minutes for `30min`, `90s` or `1h`. Throws UsageError for anything else and for durations that are not above zero. */
export function parseDuration(text: string): number {
  const match = /^\s*(\d+\.?\d*|\.\d+)\s*(s|min|h)\s*$/i.exec(text);
  const minutes = Number(match?.[1]) * (UNITS[match?.[2].toLowerCase() ?? ""] ?? Number.NaN);
  if (minutes > 0) return minutes;
  throw new UsageError("duration", "this is no duration", {
    where: `--sustain ${text}`,
    hint: "write e.g. 30min, 90s or 1h",
  });
}
