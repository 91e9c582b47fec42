/** A camera that is a file: rendered pictures as Y4M, which Chromium plays in place of a camera. */
import { writeFileSync } from "node:fs";
import { renderDriver } from "../../../samples/driver-monitoring/face/renderFace.js";
import { driveOf, watchableLook } from "../../../samples/driver-monitoring/face/sequence.js";
import type { Frame } from "../../../samples/driver-monitoring/pipeline/frame.js";
import type { Action } from "../../../samples/driver-monitoring/scripts/script.js";

/** RGB to planes of BT.601 limited-range luma and halved chroma. */
function toI420({ data, width, height, channels }: Frame): Uint8Array {
  const area = width * height;
  const out = new Uint8Array(area * 1.5);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const p = (y * width + x) * channels;
      const [r, g, b] = [data[p], data[p + 1], data[p + 2]];
      out[y * width + x] = 16 + 0.257 * r + 0.504 * g + 0.098 * b;
      if (x % 2 || y % 2) continue;
      const c = (y >> 1) * (width >> 1) + (x >> 1);
      out[area + c] = 128 - 0.148 * r - 0.291 * g + 0.439 * b;
      out[area * 1.25 + c] = 128 + 0.439 * r - 0.368 * g - 0.071 * b;
    }
  return out;
}

/** Writes a scripted drive, to be repeated for as long as it is looked at. */
export async function writeFakeCamera(
  path: string,
  o: { actions: readonly Action[]; lengthMs: number; rate: number; width: number; driver?: number },
): Promise<void> {
  const drive = driveOf(o.actions, watchableLook(11, 30, o.driver ?? 0));
  const parts: Uint8Array[] = [];
  const count = Math.round((o.lengthMs * o.rate) / 1000);
  for (let i = 0; i < count; i++) {
    const t = (i * 1000) / o.rate;
    const frame = await renderDriver(drive.look(t), drive.moment(t), o.width, i);
    if (i === 0) parts.push(Buffer.from(`YUV4MPEG2 W${frame.width} H${frame.height} F${o.rate}:1 Ip A1:1 C420jpeg\n`));
    parts.push(Buffer.from("FRAME\n"), toI420(frame));
  }
  writeFileSync(path, Buffer.concat(parts));
}
