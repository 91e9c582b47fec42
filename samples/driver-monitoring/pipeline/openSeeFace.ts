/**
 * The landmark nets of OpenSeeFace (emilianavt): a 224x224 face, RGB with ImageNet's mean and deviation in; 28x28 maps out, 66 of
 * confidence and twice 66 of offsets (rows, then columns) as probabilities whose logits, divided by 16, are parts of the crop.
 */
import type { PicturePoint } from "../geometry/headPose.js";
import type { FaceBox } from "./boxes.js";
import { type Region, sampleRegion } from "./frame.js";
import { headPoseOf, LEFT_EYE, mouthOpeningOf, opennessOf, RIGHT_EYE } from "./landmarks.js";
import type { Net, Values } from "./net.js";
import type { FaceReader, Signature } from "./stack.js";

const SIDE = 224;
const POINTS = 66;
const LOGIT_FACTOR = 16;
/** How far the crop reaches beyond the face's box, as parts of its width and height on either side. */
const MARGIN = { x: 0.1, y: 0.125 };
const MEAN = [0.485, 0.456, 0.406].map((v) => 255 * v);
const SCALE = [0.229, 0.224, 0.225].map((v) => 1 / (255 * v));

export const isOpenSeeFace = (s: Signature): boolean =>
  s.outputs.length === 1 && s.outputs[0].dims.length === 4 && s.outputs[0].dims[1] === 3 * POINTS;

const offset = (p: number): number => {
  const inside = Math.min(1 - 1e-7, Math.max(1e-7, p));
  return Math.log(inside / (1 - inside)) / LOGIT_FACTOR;
};

/** Landmarks as parts of the crop, with the confidence of each. */
export function decodeLandmarks({ data, dims }: Values): { x: number; y: number; confidence: number }[] {
  const side = dims[3];
  const area = dims[2] * side;
  return Array.from({ length: POINTS }, (_, k) => {
    let best = 0;
    for (let i = 1; i < area; i++) if (data[k * area + i] > data[k * area + best]) best = i;
    return {
      x: (best % side) / (side - 1) + offset(data[(2 * POINTS + k) * area + best]),
      y: Math.floor(best / side) / (dims[2] - 1) + offset(data[(POINTS + k) * area + best]),
      confidence: data[k * area + best],
    };
  });
}

function cropOf(face: FaceBox): Region {
  const [mx, my] = [MARGIN.x * face.width, MARGIN.y * face.height];
  return { x: face.x - mx, y: face.y - my, width: face.width + 2 * mx, height: face.height + 2 * my };
}

/** Reads a face by its landmarks. It cannot tell the direction of the eyes, nor dark glasses other than by low confidence. */
export function openSeeFaceReader(net: Net): FaceReader {
  return {
    name: "OpenSeeFace",
    tells: { gaze: false, sunglasses: false },
    async read(frame, face, now) {
      const start = now();
      const region = cropOf(face);
      const data = sampleRegion(frame, region, {
        width: SIDE,
        height: SIDE,
        order: "rgb",
        mean: MEAN,
        scale: SCALE,
        outside: "edge",
      });
      const prepared = now();
      const [maps] = Object.values(await net.run({ data, dims: [1, 3, SIDE, SIDE] }));
      const ran = now();
      const points = decodeLandmarks(maps);
      const landmarks: PicturePoint[] = points.map((p) => ({
        x: region.x + p.x * region.width,
        y: region.y + p.y * region.height,
      }));
      const head = headPoseOf(landmarks);
      const eye = (indices: readonly number[]) => ({
        openness: opennessOf(landmarks, indices, head.yaw),
        confidence: indices.reduce((sum, i) => sum + points[i].confidence, 0) / indices.length,
      });
      return {
        reading: {
          leftEye: eye(LEFT_EYE),
          rightEye: eye(RIGHT_EYE),
          head,
          mouthOpening: mouthOpeningOf(landmarks),
          sunglasses: 0,
        },
        landmarks,
        times: { prepareMs: prepared - start, runMs: ran - prepared },
      };
    },
    close: () => net.close(),
  };
}
