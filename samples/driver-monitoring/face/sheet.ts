/**
 * Command: writes a picture of rendered drivers, with their labels drawn in on request.
 *
 *     npx tsx samples/driver-monitoring/face/sheet.ts --out drivers.png --seed 3 --labels
 */
import { parseArgs } from "node:util";
import sharp from "sharp";
import { drawLook, drawMoment } from "./drawLook.js";
import { labelsOf } from "./labels.js";
import { SCENE } from "./look.js";
import { renderDriver } from "./renderFace.js";

const COLUMNS = 6;
const ROWS = 5;

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "drivers.png" },
    seed: { type: "string", default: "3" },
    labels: { type: "boolean", default: false },
  },
});

const tiles = await Promise.all(
  Array.from({ length: COLUMNS * ROWS }, async (_, i) => {
    const look = drawLook(Number(values.seed), 20, i);
    const moment = drawMoment(Number(values.seed), 20, i);
    const { data, width, height } = await renderDriver(look, moment);
    const { box, landmarks, gaze } = labelsOf(look, moment);
    const marks = box
      ? `<rect x="${box.x}" y="${box.y}" width="${box.width}" height="${box.height}" fill="none" stroke="yellow"/>${landmarks
          .map((p) => `<circle cx="${p.x}" cy="${p.y}" r="1.6" fill="lime"/>`)
          .join("")}<path d="M${look.x} ${look.y}l${gaze.yaw} ${-gaze.pitch}" stroke="red"/>`
      : "";
    const overlay = Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg" width="${SCENE.width}" height="${SCENE.height}">${marks}</svg>`,
    );
    const picture = sharp(data, { raw: { width, height, channels: 3 } });
    return {
      input: await (values.labels ? picture.composite([{ input: overlay }]) : picture).png().toBuffer(),
      left: (i % COLUMNS) * SCENE.width,
      top: Math.floor(i / COLUMNS) * SCENE.height,
    };
  }),
);
await sharp({ create: { width: COLUMNS * SCENE.width, height: ROWS * SCENE.height, channels: 3, background: "black" } })
  .composite(tiles)
  .png({ palette: true, quality: 90 })
  .toFile(values.out);
