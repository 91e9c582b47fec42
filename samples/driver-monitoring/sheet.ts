/**
 * Command: writes a picture of what the renderer draws. Each pair of rows shows the same eyes, first as drawn, then as
 * the camera delivers them (32x32, enlarged).
 *
 *     npx tsx samples/driver-monitoring/sheet.ts --out eyes.png --seed 3
 */
import { parseArgs } from "node:util";
import sharp, { type OverlayOptions } from "sharp";
import { CROP_SIDE } from "./appearance.js";
import { drawAppearance } from "./population.js";
import { CROP_BYTES, renderEyes, renderSheet } from "./render.js";

const COLUMNS = 10;
const ROWS = 3;
const CELL = 96;

const { values } = parseArgs({
  options: { out: { type: "string", default: "eyes.png" }, seed: { type: "string", default: "3" } },
});

const eyes = Array.from({ length: COLUMNS * ROWS }, (_, i) => drawAppearance(Number(values.seed), 0, i));
const drawn = await renderSheet(eyes, COLUMNS, CELL);
const crops = await renderEyes(eyes);

const drawnRaw = { width: drawn.width, height: drawn.height, channels: 3 } as const;
const tiles: OverlayOptions[] = [];
for (let row = 0; row < ROWS; row++) {
  const input = await sharp(drawn.pixels, { raw: drawnRaw })
    .extract({ left: 0, top: row * CELL, width: drawn.width, height: CELL })
    .png()
    .toBuffer();
  tiles.push({ input, left: 0, top: 2 * row * CELL });
}
for (const index of eyes.keys()) {
  const crop = crops.subarray(index * CROP_BYTES, (index + 1) * CROP_BYTES);
  const input = await sharp(crop, { raw: { width: CROP_SIDE, height: CROP_SIDE, channels: 3 } })
    .resize({ width: CELL, kernel: "nearest" })
    .png()
    .toBuffer();
  tiles.push({ input, left: (index % COLUMNS) * CELL, top: (2 * Math.floor(index / COLUMNS) + 1) * CELL });
}
await sharp({ create: { width: COLUMNS * CELL, height: 2 * ROWS * CELL, channels: 3, background: "black" } })
  .composite(tiles)
  .png({ palette: true, quality: 90 })
  .toFile(values.out);
