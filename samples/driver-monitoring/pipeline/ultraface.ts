/** Ultra-Light-Fast-Generic-Face-Detector (Linzaer): RGB, (v - 127) / 128 in; scores and corner boxes in 0..1 out. */
import { bestBoxes, type FaceBox } from "./boxes.js";
import { letterbox, sampleRegion } from "./frame.js";
import type { Net } from "./net.js";
import type { FaceLocator, Signature } from "./stack.js";

const WIDTH = 320;
const HEIGHT = 240;

export function isUltraface(s: Signature): boolean {
  const dims = (name: string) => s.outputs.find((o) => o.name === name)?.dims.at(-1);
  return dims("scores") === 2 && dims("boxes") === 4;
}

export function ultrafaceLocator(net: Net, minScore = 0.6): FaceLocator {
  const [height, width] = net.inputDims.slice(2).map((d, i) => (typeof d === "number" ? d : [HEIGHT, WIDTH][i]));
  return {
    name: "UltraFace",
    async locate(frame, now) {
      const start = now();
      const region = letterbox(frame, width, height);
      const data = sampleRegion(frame, region, {
        width,
        height,
        order: "rgb",
        mean: [127, 127, 127],
        scale: [1 / 128, 1 / 128, 1 / 128],
        outside: 0,
      });
      const prepared = now();
      const { scores, boxes } = await net.run({ data, dims: [1, 3, height, width] });
      const ran = now();
      const found: FaceBox[] = [];
      for (let i = 0; i < scores.data.length / 2; i++) {
        const score = scores.data[2 * i + 1];
        if (score < minScore) continue;
        const [x1, y1, x2, y2] = boxes.data.subarray(4 * i, 4 * i + 4);
        found.push({
          x: x1 * region.width,
          y: y1 * region.height,
          width: (x2 - x1) * region.width,
          height: (y2 - y1) * region.height,
          score,
        });
      }
      return { faces: bestBoxes(found), times: { prepareMs: prepared - start, runMs: ran - prepared } };
    },
    close: () => net.close(),
  };
}
